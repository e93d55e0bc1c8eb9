"""Pairs told apart: counted one video at a time from what a run predicts of it, on a real store and real runs."""

from pathlib import Path

import pytest

from pipelines.demo.hard_pairs import HardPair, PairAccuracy, hard_pairs, overall
from schemas.labels import Label
from tests.vimoclip.made_up_runs import VIDEOS, run_on
from tests.vimoclip.stores import make_store
from vimoclip.api import Store
from vimoclip.config.fusion import Fusion
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.splits import videos_of_split

SHOWN = (("walking",), ("stalking",), ("walking", "stalking"), ("standing",))
"""In turn. No video shows any of the other pairs."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = make_store(tmp_path_factory.mktemp("store") / "store", VIDEOS)
    with writer_lock(made.place):
        writer = StoreWriter(made)
        labels = [
            Label(video_id=name, label=label, source="t")
            for n, name in enumerate(VIDEOS)
            for label in SHOWN[n % len(SHOWN)]
        ]
        writer.set_labels(labels, VIDEOS, "t")
        writer.flush()
    return made.refresh()


@pytest.fixture(scope="module")
def runs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[Fusion, list[Path]]:
    folder = tmp_path_factory.mktemp("runs")
    fusions: tuple[Fusion, ...] = ("image", "cross")
    return {fusion: [run_on(store, folder / fusion, fusion)] for fusion in fusions}


def test_told_adds_up() -> None:
    assert PairAccuracy(3.5, 5) + PairAccuracy(1, 3) == PairAccuracy(4.5, 8) and PairAccuracy(4.5, 8).share == 0.5625
    assert PairAccuracy(0, 0).share is None


def test_each_video_that_shows_one_of_a_pair_is_judged(store: Store, runs: dict[Fusion, list[Path]]) -> None:
    pairs = hard_pairs(store, videos_of_split(store), runs)
    assert [(pair.one, pair.other, pair.videos) for pair in pairs] == [("walking", "stalking", 8)]
    for fusion, (folder,) in runs.items():
        walking = [_right(store, folder, name, "walking", "stalking") for name in _showing("walking")]
        stalking = [_right(store, folder, name, "stalking", "walking") for name in _showing("stalking")]
        assert pairs[0].told[fusion] == PairAccuracy(sum(walking + stalking), len(walking + stalking))


def test_runs_of_several_seeds_are_judged_together(store: Store, runs: dict[Fusion, list[Path]]) -> None:
    (folder,) = runs["cross"]
    once, twice = (hard_pairs(store, videos_of_split(store), {"cross": [folder] * n})[0] for n in (1, 2))
    assert twice.told["cross"] == once.told["cross"] + once.told["cross"] and twice.videos == once.videos


def test_only_the_videos_that_are_asked_for_count(store: Store, runs: dict[Fusion, list[Path]]) -> None:
    rows = {row.video_id: row for row in videos_of_split(store)}
    for shown, other in (("walking", "stalking"), ("stalking", "walking")):
        for name in _showing(shown):
            (pair,) = hard_pairs(store, [rows[name]], runs)
            assert (pair.one, pair.other, pair.videos) == ("walking", "stalking", 1)
            for fusion, (folder,) in runs.items():
                assert pair.told[fusion] == PairAccuracy(_right(store, folder, name, shown, other), 1)


def test_all_pairs_together() -> None:
    pairs = [
        HardPair("a", "b", 4, {"image": PairAccuracy(1, 4), "cross": PairAccuracy(4, 4)}),
        HardPair("c", "d", 1, {"image": PairAccuracy(1, 1), "cross": PairAccuracy(0.5, 1)}),
    ]
    assert overall(pairs) == {"image": PairAccuracy(2, 5), "cross": PairAccuracy(4.5, 5)}
    assert overall([]) == {}


def _showing(label: str) -> list[str]:
    """Videos that show it and not the other of its pair."""
    return [name for n, name in enumerate(VIDEOS) if SHOWN[n % len(SHOWN)] == (label,)]


def _right(store: Store, folder: Path, name: str, shown: str, other: str) -> bool:
    (predicted,) = store.predict(name, folder)
    scores = dict(predicted.labels())
    return scores[shown] > scores[other]
