"""Every command and every piece of Python in docs/export.md, run in a folder with a store."""

import re
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
import polars as pl
import pytest

from schemas.labels import Label
from tests.docs.pages import code, commands, run, text
from tests.vimoclip.stores import make_store
from vimoclip.store.writer import StoreWriter


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page's Python leaves in its variables, after its commands have run; and `here`, where."""
    here = tmp_path_factory.mktemp("page")
    writer = StoreWriter(make_store(here / "vimoclip-store"))
    for video_id, split in (("a.mp4", "train"), ("b/c.mp4", "val")):
        writer.put(replace(writer.videos[video_id], split=split, metadata='{"site": "Taï"}'))
    writer.flush()
    labels = [
        Label(video_id="a.mp4", label="grazing", source="s", start_s=0.04, end_s=0.12),
        Label(video_id="a.mp4", label="zebra", source="s"),
        Label(video_id="b/c.mp4", label="alert", source="s", start_s=0.0, end_s=0.04),
    ]
    writer.set_labels(labels, ["a.mp4", "b/c.mp4"], "s")
    names: dict[str, Any] = {"here": here}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        patched.setattr(datasets.config, "HF_DATASETS_CACHE", here / "cache")
        run(commands("docs/export.md"))
        for block, _ in code("docs/export.md"):
            exec(block, names)
    return names


def test_the_page_shows_every_form() -> None:
    shown = text("docs/export.md")
    assert {f"--format {form}" in shown for form in ("arrow", "npz", "datasets")} == {True}
    assert len(code("docs/export.md")) == 5


def test_polars(namespace: dict[str, Any]) -> None:
    assert namespace["clip"].dtype == np.float16
    assert namespace["clip"].shape == (5, 8)
    assert namespace["moving"]["frame_index"].to_list() == [1, 2, 3, 4]
    assert namespace["table"].num_rows == 9


def test_labels_at_frames(namespace: dict[str, Any]) -> None:
    found = namespace["at"].group_by("video_id", "label").agg(pl.col("frame_index").sort()).sort("label")
    assert found.rows() == [
        ("b/c.mp4", "alert", [0]),
        ("a.mp4", "grazing", [1, 2]),
        ("a.mp4", "zebra", [0, 1, 2, 3, 4]),
    ]


def test_numpy(namespace: dict[str, Any]) -> None:
    assert namespace["video"]["video_id"] == "one.mp4"
    assert namespace["motion"].shape == (0, 8)


def test_datasets(namespace: dict[str, Any]) -> None:
    assert set(namespace["animals"]) == {"train", "val", "unsplit"}
    assert namespace["row"]["clip"].shape == (5, 8)
    assert namespace["row"]["clip"].dtype == np.float16


def test_a_query(namespace: dict[str, Any]) -> None:
    some = pl.read_parquet(namespace["here"] / "some" / "frames.parquet")
    assert set(some["video_id"]) == {"a.mp4"}
    assert set(some.columns) & {"clip", "moclip"} == {"clip"}


def test_arrays_are_those_of_the_table_on_the_page(namespace: dict[str, Any]) -> None:
    named = set(re.findall(r"`([a-z_<>]+)`", "".join(re.findall(r"^\| (`.*?) \|", text("docs/export.md"), re.M))))
    expected = {name.replace("<feature>", feature) for name in named for feature in ("clip", "moclip")}
    with np.load(namespace["here"] / "arrays" / "videos" / "a.mp4.npz") as arrays:
        assert set(arrays) == expected
