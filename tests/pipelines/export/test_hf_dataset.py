"""A folder that `datasets` reads as it is: splits, columns and values as the store has them."""

import math
import socket
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from pipelines.export import hf_dataset
from pipelines.export.run import ExportReport, run
from pipelines.export.selection import Query
from tests.pipelines.export.scene import DIMS, GAPPED, HOSTILE, SPLITS, bits, expected
from vimoclip.store.feature_store import FeatureStore

NAMES = {"train": "train", "val": "val", "test set: 1/2": "test_set__1_2", None: "unsplit"}


def offline(*_: object) -> None:
    raise AssertionError("it asked the network")


@pytest.fixture(scope="module")
def exported(store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    out = tmp_path_factory.mktemp("datasets") / "out"
    return out, run(store.place, out, "datasets")


@pytest.fixture(scope="module")
def loaded(exported: tuple[Path, ExportReport], tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket.socket, "connect", offline)
        return datasets.load_dataset(str(exported[0]), cache_dir=str(tmp_path_factory.mktemp("cache")))


def rows(loaded: Any) -> dict[str, dict[str, Any]]:
    return {row["video_id"]: row for split in loaded.values() for row in split}


def test_every_split_has_its_videos_in_order(store: FeatureStore, loaded: Any) -> None:
    assert set(loaded) == set(NAMES.values())
    for split in SPLITS:
        ids = store.videos().filter(pl.col("split").eq_missing(split))["video_id"].to_list()
        assert loaded[NAMES[split]]["video_id"][:] == ids
        assert set(loaded[NAMES[split]]["split"][:]) == {split}


def test_the_report_says_what_splits_are_called(exported: tuple[Path, ExportReport]) -> None:
    assert exported[1].split_names == {split or "": name for split, name in NAMES.items()}


def test_every_value_is_the_stores(store: FeatureStore, loaded: Any) -> None:
    found = rows(loaded)
    assert sorted(found) == sorted(HOSTILE)
    videos = {row["video_id"]: row for row in store.videos().iter_rows(named=True)}
    for video_id, row in found.items():
        stored = store.sequence(video_id)
        for name in ("frame_index", "source_frame", "time_s"):
            assert row[name] == stored[name].to_pylist()
        speeds = [None if math.isnan(speed) else speed for speed in row["flow_speed"]]
        assert speeds == stored["flow_speed"].to_pylist()
        for name in ("clip", "moclip", "bio"):
            vectors, norms, present = expected(store, video_id, name)
            assert bits(np.array(row[name], np.float16)) == bits(vectors)
            assert bits(np.array(row[f"{name}_norm"], np.float32)) == bits(norms)
            assert row[f"{name}_present"] == present.tolist()
        assert (row["fps"], row["site"]) == (videos[video_id]["fps"], videos[video_id]["site"])
        assert row["metadata.labels"] == videos[video_id]["labels"]  # metadata of the name of a column of ours


def test_labels_are_the_stores(store: FeatureStore, loaded: Any) -> None:
    found = {(name, *span.values()) for name, row in rows(loaded).items() for span in row["labels"]}
    assert found == set(store.labels().select("video_id", "label", "start_s", "end_s").iter_rows())
    assert sum(len(row["labels"]) for row in rows(loaded).values()) == store.labels().height


def test_numpy_and_torch_get_whole_arrays(store: FeatureStore, loaded: Any) -> None:
    at = loaded["train"]["video_id"][:].index(video_id := store.videos().filter(split="train")["video_id"][0])
    vectors, _, _ = expected(store, video_id, "moclip")
    as_numpy = loaded["train"].with_format("numpy", dtype=np.float16)[at]["moclip"]
    as_torch = loaded["train"].with_format("torch", dtype=torch.float16)[at]["moclip"]
    assert bits(as_numpy) == bits(as_torch.numpy()) == bits(vectors)
    gapped = next(split for split in loaded.values() if GAPPED in split["video_id"][:])
    row = gapped.with_format("torch")[gapped["video_id"][:].index(GAPPED)]
    assert row["bio"].shape == (9, DIMS["bio"])
    assert torch.nonzero(~row["bio_present"]).flatten().tolist() == [0, 4, 8]


def test_the_card_and_the_files_say_the_same(exported: tuple[Path, ExportReport], loaded: Any) -> None:
    _, front, text = (exported[0] / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    info = yaml.safe_load(front)["dataset_info"]
    files = sorted((exported[0] / "data").iterdir())
    from_files = datasets.Features.from_arrow_schema(pq.read_schema(files[0]))
    assert datasets.Features._from_yaml_list(info["features"]) == from_files == loaded["train"].features
    assert {split["name"]: split["num_examples"] for split in info["splits"]} == loaded.num_rows
    assert f"{len(HOSTILE)} videos" in text
    assert all(f"| `{name}` |" in text for name in ("clip", "moclip", "bio"))
    assert "hidden" not in text


def test_a_split_in_many_files_is_one(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_dataset, "GROUP_BYTES", 500)
    monkeypatch.setattr(hf_dataset, "SHARD_BYTES", 1500)
    run(store.place, tmp_path / "out", "datasets", Query(splits=("val", "train")))
    files = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert len([name for name in files if name.startswith("train-")]) > 1
    groups = [pq.ParquetFile(path).num_row_groups for path in (tmp_path / "out" / "data").iterdir()]
    assert max(groups) > 1
    made = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(made) == {"train", "val"}
    for split in made:
        assert made[split]["video_id"][:] == store.videos().filter(split=split)["video_id"].to_list()
