"""Splits: as the label files say, or by a lot that no other video changes."""

from pathlib import Path

import pytest

from tests.vimoclip.stores import make_store, ok_row
from vimoclip.errors import RunError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.splits import hold_out, splits, videos_of_split


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    made = make_store(tmp_path / "store")
    with writer_lock(made.place):
        writer = StoreWriter(made)
        for n, row in enumerate(made.rows()):
            writer.put(
                ok_row(row.video_id, row.take or 0, row.frames or 0, made.fingerprint, split=("train", "val")[n > 0])
            )
        writer.put(ok_row("gone.mp4", 7, 1, made.fingerprint, status="removed", split="test"))
        writer.flush()
    return made.refresh()


def test_videos_of_a_split(store: FeatureStore) -> None:
    ids = sorted(row.video_id for row in store.rows() if row.status == "ok")
    assert [row.video_id for row in videos_of_split(store)] == ids
    assert {row.video_id for split in ("train", "val") for row in videos_of_split(store, split)} == set(ids)
    assert all(row.split == "val" for row in videos_of_split(store, "val"))
    assert splits(store) == ["train", "val"]


def test_a_split_that_is_not_there(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"split test\. Expected: train, val"):
        videos_of_split(store, "test")
    with pytest.raises(RunError, match="No video is in the store"):
        videos_of_split(make_store(tmp_path / "empty", {}), "train")
    with pytest.raises(RunError, match="Expected: --hold-out"):
        videos_of_split(make_store(tmp_path / "none"), "train")


def test_a_share_is_held_out() -> None:
    videos = [ok_row(f"{n}.mp4", n, 1, "") for n in range(1000)]
    train, held = hold_out(videos, 0.2, 49)
    assert sorted([*train, *held], key=lambda row: row.take or 0) == videos
    assert 150 < len(held) < 250
    assert held != hold_out(videos, 0.2, 50)[1]
    assert [row for row in held if row in videos[:300]] == hold_out(videos[:300], 0.2, 49)[1]


def test_too_few_to_hold_some_out() -> None:
    with pytest.raises(RunError, match="1 videos"):
        hold_out([ok_row("a.mp4", 1, 1, "")], 0.5, 1)
