"""The benchmark of behaviours on a tiny rendered world: halves, examples and the share that is right."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.search_behaviours import (
    HELD_OUT,
    LEARNT,
    by_example,
    examples,
    made,
    main,
    precision,
    structureless,
    without_label,
)
from benchmarks.speed.vectors import make_store
from vimoclip.api import Store
from vimoclip.config.store import RunConfig
from vimoclip.search.filters import Filters
from vimoclip.search.options import Space
from vimoclip.store.labels import label_spans

ONE = RunConfig(device="cpu", threads=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, savannah: Path) -> Store:
    """As `made` makes it, of clips that are rendered already."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "videos").symlink_to(savannah)
    return made(folder, 10, 16, 1, 0.2, ONE)


def test_half_of_each_behaviour_is_held_out(store: Store) -> None:
    rows = store.videos()
    for behaviour in {video_id.split("/")[0] for video_id in rows["video_id"]}:
        own = [split for video_id, split in rows.select("video_id", "split").iter_rows() if behaviour in video_id]
        assert sorted(own) == [HELD_OUT, LEARNT]
    assert store.search.corpus.settings.names == ["appearance", "motion", "behaviour"]


def test_precision_is_the_share_that_has_the_label(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.quality.search_behaviours.SHORTEST_S", 0.1)
    asked = examples(store)
    assert len(asked) == 5
    found = by_example(store, asked)
    spaces: list[Space] = ["appearance", "motion", "behaviour"]
    for own in found.values():
        assert own["chance"] == [0.0]  # the other clip of each behaviour is in the other half
        assert [own[space] for space in spaces] == [[0.0]] * 3
    every = store.search(label="running", filters=Filters(videos=("running/*",)))
    assert precision(every, label_spans(store), "running") == len(every) / 10 > 0


def test_a_label_that_means_nothing_was_above_chance(tmp_path: Path) -> None:
    corpus = make_store(tmp_path / "store", structureless(np.random.default_rng(0))).search.corpus
    before, now = without_label(corpus, np.random.default_rng(1).choice(len(corpus), 50, replace=False))
    assert before > 90 and now == pytest.approx(50, abs=5)


def test_a_folder_or_percentiles() -> None:
    with pytest.raises(SystemExit):
        main([])
