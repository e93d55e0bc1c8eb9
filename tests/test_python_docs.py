"""Every block of docs/python.md and of the README, in order, on a real store; and what the page says they print."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.labels import Label
from tests.object_store import Server
from tests.vimoclip.stores import make_store
from vimoclip.place import Where
from vimoclip.writer import StoreWriter

ROOT = Path(__file__).resolve().parents[1]
VIDEOS = {"site/IMG_0001.MP4": 50, "site/IMG_0002.MP4": 25, "still.mp4": 1}


def blocks(page: str) -> list[tuple[str, str | None]]:
    """The page's blocks of Python, each with the output that is given right below it."""
    found = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", (ROOT / page).read_text(), re.M | re.S)
    return [(code, said or None) for code, said in found]


def fill(where: Where) -> None:
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


def run(page: str) -> None:
    names: dict[str, Any] = {}
    for code, expected in blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pl.Config(tbl_width_chars=120):
            exec(compile(code, page, "exec"), names)
        assert printed.getvalue() == (expected or ""), code


def test_every_block_runs_and_prints_what_the_page_says(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill("vimoclip-store")
    fill("s3://animals/vimoclip-store")
    assert len(blocks("docs/python.md")) > 10
    run("docs/python.md")
    assert len(blocks("README.md")) == 1
    run("README.md")
