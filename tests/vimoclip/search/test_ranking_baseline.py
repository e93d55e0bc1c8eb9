"""Random pairs: of two videos, weighted as asked, and percentiles that count what is less alike."""

from pathlib import Path

import numpy as np
import pytest

from tests.vimoclip.searches import make, segments
from vimoclip.api import Store
from vimoclip.search.corpus import Corpus
from vimoclip.search.ranking import RandomPairBaseline


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make(tmp_path_factory.mktemp("background") / "store")


@pytest.mark.parametrize("weights", [{"appearance": 1.0}, {"motion": 1.0}, {"appearance": 0.25, "motion": 0.75}])
def test_each_is_the_cosine_of_a_pair_of_two_videos(store: Store, weights: dict[str, float]) -> None:
    found = RandomPairBaseline(Corpus(store), weights).cosines
    pairs = set()
    for a in segments(store):
        for b in segments(store):
            both = {space: w for space, w in weights.items() if a[space] is not None and b[space] is not None}
            if a["video_id"] != b["video_id"] and both:
                score = sum(w * (a[space] @ b[space]) for space, w in both.items()) / sum(both.values())
                pairs.add(float(score))
    known = np.sort(list(pairs))
    nearest = known[np.clip(np.searchsorted(known, found), 1, len(known) - 1)]
    before = known[np.clip(np.searchsorted(known, found) - 1, 0, len(known) - 1)]
    assert np.minimum(abs(nearest - found), abs(before - found)).max() < 1e-6
    rows = len(Corpus(store))
    assert len(found) > 0.8 * (rows // 2) ** 2
    assert np.all(np.diff(found) >= 0)


def test_one_video_is_compared_with_itself(tmp_path: Path) -> None:
    from pipelines.index import IndexRequest, run
    from tests.vimoclip.stores import make_store

    store = make_store(tmp_path / "store", {"a.mp4": 130})
    run(IndexRequest(store.place))
    assert len(RandomPairBaseline(Corpus(store.refresh()), {"appearance": 1.0}).cosines) == 2 * 3


def test_percentiles(store: Store) -> None:
    background = RandomPairBaseline(Corpus(store), {"appearance": 1.0})
    cosines = np.unique(background.cosines)
    share = 100 * np.searchsorted(background.cosines, cosines, "left") / len(background.cosines)
    assert background.percentile(float(cosines[0])) == 0  # none is less alike than the least alike
    for score, expected in list(zip(cosines.tolist(), share.tolist(), strict=True))[:: len(cosines) // 20]:
        assert background.percentile(score) == pytest.approx(expected)
        least = background.least(expected)
        assert score >= least or expected == 0
        below = cosines[cosines < least]
        assert all((background.percentile(float(other)) or 0) < expected for other in below[-3:])
    assert background.percentile(2.0) == 100
    assert background.least(100) > cosines[-1]
    assert background.least(0) == -np.inf
