"""Splits: as the label files say, or by a lot that no other video changes."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.vimoclip.stores import make_store, ok_row
from vimoclip.errors import RunError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.splits import (
    SplitRequest,
    folds,
    group_names,
    hold_out,
    splits,
    training_split,
    videos_of_split,
)


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


def many(folder: Path, count: int, name: str = "{n}.mp4", **column: int) -> FeatureStore:
    """A store of videos without frames; `site=3` gives the n-th the site n % 3, and every tenth no site."""
    made = make_store(folder / "store", {})
    with writer_lock(made.place):
        writer = StoreWriter(made)
        for n in range(count):
            facts = {key: str(n % values) for key, values in column.items() if n % 10 != 9}
            row = ok_row(name.format(n=n, folder=n % 7), n, 1, made.fingerprint, metadata=json.dumps(facts))
            writer.put(row)
        writer.flush()
    return made.refresh()


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return many(tmp_path_factory.mktemp("thousand"), 1000, "{folder}/{n}.mp4", site=25)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.5])
def test_a_second_draw_takes_its_share_of_what_the_first_one_left(thousand: FeatureStore, share: float) -> None:
    for seed in (49, 1):
        split = training_split(thousand, SplitRequest(seed=seed), share, 49)
        left = len(split.train) + len(split.select)
        error = 3.5 * (share * (1 - share) / left) ** 0.5
        assert abs(len(split.select) / left - share) < error, (len(split.select), left)
        assert abs(len(split.held_out) / 1000 - 0.2) < 0.045


def test_what_is_held_out_follows_from_the_split_seed_and_by_default_is_what_it_was(thousand: FeatureStore) -> None:
    split = training_split(thousand, SplitRequest(), None, 50)
    lots = {
        row.video_id: int.from_bytes(hashlib.sha256(f"49 {row.video_id}".encode()).digest()[:8], "big") / 2**64
        for row in thousand.live_videos()
    }
    assert {row.video_id for row in split.held_out} == {name for name, lot in lots.items() if lot < 0.2}
    assert split.held_out == training_split(thousand, SplitRequest(), 0.1, 51).held_out
    assert split.held_out != training_split(thousand, SplitRequest(seed=50), None, 49).held_out
    assert split.rule == {"seed": 49, "by": None, "share": 0.2}


def test_runs_from_before_draw_by_the_training_seed_and_both_parts_by_one_draw(thousand: FeatureStore) -> None:
    before = SplitRequest(seed=None)
    split = training_split(thousand, before, 0.3, 50)
    assert split.rule is None
    assert split.held_out == training_split(thousand, SplitRequest(seed=50), None, 1).held_out
    assert 60 < len(split.select) < 140  # 0.3 - 0.2 of all
    with pytest.raises(RunError, match="Too few"):
        training_split(thousand, before, 0.1, 50)


@pytest.mark.parametrize("by", ["site", "folder"])
def test_groups_stay_on_one_side_of_every_cut(thousand: FeatureStore, by: str) -> None:
    split = training_split(thousand, SplitRequest(by=by, share=0.3), 0.3, 49)
    sides = {name: set(group_names(videos, by)) for name, videos in split.parts.items()}
    assert len(sides) == 3 and sum(map(len, sides.values())) == len(set.union(*sides.values()))
    assert sum(len(videos) for videos in split.parts.values()) == 1000
    assert split.held_out_description == f"0.3, by lot, each {by} whole" and split.divided_folders == 0
    parts = folds(split.train, 3, 49, by)
    pairs = set(zip(group_names(split.train, by), parts, strict=True))
    assert len(pairs) == len(sides["train"]) and set(parts) == ({0, 1, 2} if len(sides["train"]) > 2 else {0, 1})


def test_a_video_without_a_site_is_a_group_of_its_own(thousand: FeatureStore) -> None:
    videos = sorted(thousand.live_videos(), key=lambda row: row.take or 0)
    names = group_names(videos, "site")
    assert names[9] == videos[9].video_id and names[0] == names[25] == "site=0"
    assert len(set(names)) == 100 + 25


def test_an_unknown_column_is_named_with_those_there_are(thousand: FeatureStore) -> None:
    with pytest.raises(RunError, match=r"Received: sight\. Expected: site, folder"):
        training_split(thousand, SplitRequest(by="sight"), None, 49)
    with pytest.raises(RunError, match=r"in 7 groups by folder.*--hold-out 0\.4.*--split-seed 1"):
        training_split(thousand, SplitRequest(by="folder", share=1e-9), None, 49)


def test_folders_whose_videos_are_on_both_sides_are_counted(thousand: FeatureStore, store: FeatureStore) -> None:
    assert training_split(thousand, SplitRequest(), None, 49).divided_folders == 7
    assert training_split(store, SplitRequest(), None, 49).divided_folders == 0  # splits by name


def test_folds_are_even_and_follow_from_the_seed(thousand: FeatureStore) -> None:
    videos = videos_of_split(thousand)
    parts = folds(videos, 3, 49)
    assert sorted(parts.count(part) for part in range(3)) == [333, 333, 334]
    assert parts == folds(videos, 3, 49) != folds(videos, 3, 50)
