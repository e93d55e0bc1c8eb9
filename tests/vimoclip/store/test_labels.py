"""Which labels a stretch has: half of the shorter one, moments, and whole videos."""

import math
from pathlib import Path

import numpy as np
import pytest

from schemas.labels import Label, Span
from tests.vimoclip.stores import make_store
from vimoclip.store.labels import held_by, label_spans, labels_at
from vimoclip.store.writer import StoreWriter


@pytest.mark.parametrize(
    ("span", "stretch", "held"),
    [
        ((0, 10), (2, 4), True),
        ((3, 10), (2, 4), True),  # just half of the stretch
        ((3.1, 10), (2, 4), False),
        ((2.5, 2.9), (2, 4), True),  # a short label inside
        ((3.8, 4.2), (2, 4), True),  # half of the short label
        ((3.81, 4.3), (2, 4), False),
        ((4, 6), (2, 4), False),
        ((2, 2), (2, 4), True),  # moments
        ((4, 4), (2, 4), False),
        ((-math.inf, math.inf), (2, 4), True),
    ],
)
def test_half_of_the_shorter(span: tuple[float, float], stretch: tuple[float, float], held: bool) -> None:
    found = held_by(Span("x", *span), np.array([stretch[0]], float), np.array([stretch[1]], float))
    assert found.tolist() == [held]


def test_labels_of_a_store(tmp_path: Path) -> None:
    writer = StoreWriter(make_store(tmp_path / "store", {"a.mp4": 50, "b.mp4": 50}))
    labels = [
        Label(video_id="a.mp4", label="zebra", source="s"),
        Label(video_id="a.mp4", label="grazing", source="s", start_s=0.2, end_s=1.0),
        Label(video_id="a.mp4", label="grazing", source="s", start_s=1.0, end_s=1.4),
    ]
    writer.set_labels(labels, ["a.mp4"], "s")
    spans = label_spans(writer._store.refresh())
    assert labels_at(spans, "a.mp4", 0.2, 1.2) == ("grazing", "zebra")
    assert labels_at(spans, "a.mp4", 1.5, 2.0) == ("zebra",)
    assert labels_at(spans, "b.mp4", 0.0, 2.0) == ()
