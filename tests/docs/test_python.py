"""Every block of docs/python.md, docs/store.md and of the README, in order, and what the pages say that they print."""

import contextlib
import io
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.labels import Label
from tests.docs.pages import code
from tests.object_store import Server
from tests.vimoclip.stores import make_store
from vimoclip.store.location import LocationLike
from vimoclip.store.writer import StoreWriter

VIDEOS = {"site/IMG_0001.MP4": 50, "site/IMG_0002.MP4": 25, "still.mp4": 1}


def fill(where: LocationLike) -> None:
    store = make_store(where, VIDEOS, {"clip": 512, "moclip": 512})
    writer = StoreWriter(store)
    first, second, _ = VIDEOS
    spans = [(first, "swimming", None), (first, "diving", (0.5, 1.2)), (second, "resting", (0.0, 0.4))]
    labels = [
        Label(video_id=video_id, label=label, source="labels.csv")
        if span is None
        else Label(video_id=video_id, label=label, source="labels.csv", start_s=span[0], end_s=span[1])
        for video_id, label, span in spans
    ]
    writer.set_labels(labels, VIDEOS, "labels.csv")
    row = writer.videos[first]
    writer.put(type(row)(**{**vars(row), "split": "train", "metadata": '{"species": "otter"}'}))
    writer.flush()


def run(blocks: list[tuple[str, str]]) -> None:
    names: dict[str, Any] = {}
    for block, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pl.Config(tbl_width_chars=120):
            exec(compile(block, "page", "exec"), names)
        assert printed.getvalue() == expected, block


def test_every_block_runs_and_prints_what_the_page_says(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill("vimoclip-store")
    fill("s3://animals/vimoclip-store")
    assert len(code("docs/python.md")) > 10
    run(code("docs/python.md"))
    run(code("README.md"))


def test_a_store_is_read_without_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill("vimoclip-store")
    names: dict[str, Any] = {}
    for block, _ in code("docs/store.md"):
        assert "vimoclip." not in block
        exec(compile(block, "page", "exec"), names)
    assert names["frames"]["frame_index"].to_pylist() == list(range(names["videos"]["frames"][0].as_py()))
    assert set(names["frames"]["video_id"].to_pylist()) == {names["videos"]["video_id"][0].as_py()}
