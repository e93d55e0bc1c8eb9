"""A film that was predicted, against what it shows: bouts beside spans, and how far they agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vimoclip.savannah import FPS, Span


@dataclass(frozen=True)
class Lane:
    """A label: what is to be seen of it, and what was predicted, in seconds."""

    label: str
    spans: tuple[Span, ...]
    bouts: tuple[Span, ...]


@dataclass(frozen=True)
class Film:
    """lanes: by when their label is first to be seen, those that only were predicted last. recall, precision: of frames
    and labels; precision is None where nothing was predicted."""

    duration_s: float
    lanes: tuple[Lane, ...]
    recall: float
    precision: float | None


def compared(duration_s: float, spans: Sequence[Span], predicted: dict[str, Any]) -> Film:
    """spans: some. predicted: a video of `Predictions.to_dict`."""
    bouts = [Span(bout["label"], bout["start_s"], bout["end_s"]) for bout in predicted["bouts"]]
    labels = list(dict.fromkeys(span.label for span in (*spans, *bouts)))
    lanes = tuple(Lane(label, _of(label, spans), _of(label, bouts)) for label in labels)
    times = (np.arange(round(duration_s * FPS)) + 0.5) / FPS
    true, seen, both = 0, 0, 0
    for lane in lanes:
        to_be_seen, was_seen = _at(times, lane.spans), _at(times, lane.bouts)
        true, seen = true + int(to_be_seen.sum()), seen + int(was_seen.sum())
        both += int((to_be_seen & was_seen).sum())
    return Film(duration_s, lanes, both / true, both / seen if seen else None)


def _of(label: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    return tuple(span for span in spans if span.label == label)


def _at(times: NDArray[np.float64], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which of the times lie in one of the spans."""
    inside = np.zeros(len(times), bool)
    for span in spans:
        inside |= (times >= span.start_s) & (times < span.end_s)
    return inside
