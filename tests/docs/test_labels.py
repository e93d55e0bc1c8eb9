"""Every command of docs/labels.md, in order, with the files that the page shows as examples."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.docs.pages import blocks, commands, run, small
from vimoclip.store.feature_store import FeatureStore
from vimoclip.video.encode import write_clip

pytestmark = pytest.mark.usefixtures("one_thread")


def labels() -> pl.DataFrame:
    return FeatureStore.open("vimoclip-store").labels().select("video_id", "label", "start_s", "end_s")


def test_the_examples_are_applied_as_the_page_says(
    tmp_path: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (3, 20, 32, 48, 3), np.uint8)
    Path("videos/clips").mkdir(parents=True)
    for name, frames in zip("abc", noise, strict=True):
        write_clip(tmp_path / "videos" / "clips" / f"{name}.avi", iter(frames), 2)
    whole, spans = blocks("docs/labels.md", "csv")
    lines = commands("docs/labels.md")
    assert len(lines) == 4

    Path("annotations.csv").write_text(whole.code)
    run(lines[:1], small(tiny_model))
    assert labels().select("video_id", "label").rows() == [
        ("clips/a.avi", "feeding"), ("clips/a.avi", "grooming"), ("clips/b.avi", "resting"),
    ]  # fmt: skip
    assert FeatureStore.open("vimoclip-store").videos().select("split", "site").rows() == [
        ("train", "Goualougo"), ("val", None), ("test", "Lopé"),
    ]  # fmt: skip

    run(lines[1:2])
    by_folder = [(f"clips/{name}.avi", "clips", None, None) for name in "abc"]
    assert set(by_folder) <= set(labels().rows())

    Path("annotations.csv").write_text(spans.code)  # the correction, which names one of the videos
    run(lines[2:])
    assert set(labels().rows()) == {
        *by_folder,
        ("clips/a.avi", "daylight", None, None),
        ("clips/a.avi", "feeding", 3.0, 9.25),
        ("clips/a.avi", "grooming", 1.5, 4.0),
        ("clips/b.avi", "resting", None, None),
    }
