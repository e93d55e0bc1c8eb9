"""Random pairs: of two videos, weighted as asked, and percentiles that count what is less alike.

A query that is a mean of segments is compared with random means: what means nothing is at the median, for whatever
structure the vectors have or lack.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.index import IndexRequest, run
from schemas.labels import Label
from tests.vimoclip.searches import make, segments
from tests.vimoclip.stores import FPS, make_store, ok_row
from vimoclip.api import Store
from vimoclip.frames import Embeddings, FrameBatch
from vimoclip.search.corpus import Corpus
from vimoclip.search.filters import Filters
from vimoclip.search.options import Space
from vimoclip.search.query import MeanOf, from_label, from_span
from vimoclip.search.ranking import BASELINE_ROWS, RandomPairBaseline, space_scores
from vimoclip.store.labels import label_spans
from vimoclip.store.writer import StoreWriter


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


VIDEOS, FRAMES, DIM = 40, 101, 512
WINDOW_S, STRIDE_S = 2 / FPS, 3 / FPS  # segments of two frames that do not touch: each is a bout
WITHOUT = Filters(without=("nothing",))


def noise(rng: np.random.Generator, alike: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Unit vectors, (n, DIM), whose squared cosines with the direction `towards` are `alike`."""
    found = rng.standard_normal((len(alike), DIM))
    found -= np.outer(found @ towards, towards)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.sqrt(alike)[:, None] * towards + np.sqrt(1 - alike)[:, None] * found)


def write(where: Path, vectors: Iterable[np.ndarray]) -> Store:
    """A store of videos with these vectors, (FRAMES, DIM) each, and their mirror images as motion; indexed."""
    store = make_store(where, {}, {"clip": DIM, "moclip": DIM}, keep_flow=False)
    writer = StoreWriter(store)
    for n, z in enumerate(vectors):
        video_id, ones = f"{n:03d}.mp4", np.ones(len(z), np.float32)
        made = {
            "clip": Embeddings(z.astype(np.float16), ones),
            "moclip": Embeddings(z[:, ::-1].astype(np.float16), np.where(np.arange(len(z)) > 0, ones, 0)),
        }
        index, flow = np.arange(len(z)), [None, *[b""] * (len(z) - 1)]
        writer.add(take := writer.new_take(), FrameBatch(video_id, index, index, index / FPS, ones, made, flow))
        writer.put(ok_row(video_id, take, len(z), store.fingerprint))
    writer.flush()
    run(IndexRequest(where, window_s=WINDOW_S, stride_s=STRIDE_S))
    return Store.open(where)


def label(store: Store, name: str, rows: np.ndarray) -> Store:
    """Give a label to segments."""
    corpus, writer = store.search.corpus, StoreWriter(store)
    spans = [(corpus.video_ids[corpus.video[row]], corpus.start_s[row], corpus.end_s[row]) for row in rows.tolist()]
    made = [Label(video_id=id, label=name, source=name, start_s=float(a), end_s=float(b)) for id, a, b in spans]
    writer.set_labels(made, {each.video_id for each in made}, name)
    writer.flush()
    return store.refresh()


@pytest.fixture(scope="module")
def structureless(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Frames have nothing in common but a direction that all have: pairs have cosines of 0.3 to 0.8."""
    rng, towards = np.random.default_rng(1), np.eye(DIM)[0]
    vectors = (noise(rng, rng.uniform(0.3, 0.8, FRAMES), towards) for _ in range(VIDEOS))
    return write(tmp_path_factory.mktemp("structureless") / "store", vectors)


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Each video is of its own place: frames of one are alike, and more or less so from place to place."""
    rng, towards = np.random.default_rng(2), np.eye(DIM)[0]
    places = noise(rng, rng.uniform(0.2, 0.7, VIDEOS), towards)
    vectors = (noise(rng, np.full(FRAMES, 0.8), place) for place in places)
    return write(tmp_path_factory.mktemp("cameras") / "store", vectors)


@pytest.fixture(params=["structureless", "cameras"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of either store."""
    made: Store = request.getfixturevalue(request.param)
    return Path(shutil.copytree(str(made.place), tmp_path / "store"))


def at_random(store: Store, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([n, seed]).choice(len(store.search.corpus), n, replace=False)


@pytest.mark.parametrize(("segments", "labels"), [(2, 10), (10, 3), (50, 1), (300, 1), (1000, 1)])
@pytest.mark.parametrize("by", ["appearance", "mix"])
def test_labels_of_random_segments_are_at_the_median(place: Path, segments: int, labels: int, by: Any) -> None:
    """Among pairs of single segments, most of the others were above 90 of 100. Two places alone say little: several."""
    store, found = Store.open(place), []
    for n in range(labels):
        store = label(store, f"nothing {n}", at_random(store, segments, n))
        without = Filters(without=(f"nothing {n}",))
        hits = store.search(label=f"nothing {n}", by=by, top=10_000, filters=without)
        assert len(hits) == len(store.search.corpus) - segments
        assert Store.open(place).search(label=f"nothing {n}", by=by, top=10_000, filters=without) == hits
        found += [hit.percentile for hit in hits if hit.percentile is not None]
    assert np.median(found) == pytest.approx(50, abs=5)


def test_filters_do_not_move_it(place: Path) -> None:
    store = Store.open(place)
    store = label(store, "nothing", at_random(store, 60))
    every = {(hit.video_id, hit.best_s): hit for hit in store.search(label="nothing", top=10_000)}
    some = store.search(label="nothing", top=10_000, filters=Filters(without=("nothing",), videos=("00*", "01*")))
    assert all(every[hit.video_id, hit.best_s] == hit for hit in some)
    percentiles = [hit.percentile for hit in some if hit.percentile is not None]
    assert np.median(percentiles) == pytest.approx(50, abs=12)  # of 20 places out of 40
    half = store.search(label="nothing", top=10_000, min_percentile=50, filters=WITHOUT)
    assert 0.4 < len(half) / (len(every) - 60) < 0.6


def test_single_frames_too(place: Path) -> None:
    store = Store.open(place)
    store = label(store, "nothing", at_random(store, 50))
    corpus, spans = store.search.frames, label_spans(store)
    query = from_label(corpus, spans, ("appearance",), "nothing")
    assert query.mean_of == MeanOf(50, 2)
    baseline = RandomPairBaseline(corpus, {"appearance": 1.0}, mean_of=query.mean_of)
    scores = space_scores(corpus, query, {"appearance": 1.0}, np.arange(len(corpus)))
    assert np.median([baseline.percentile(score) or 0.0 for score in scores.tolist()]) == pytest.approx(50, abs=5)


@pytest.mark.parametrize("end_s", [None, 1.0])
def test_a_whole_video_is_compared_with_whole_videos(place: Path, end_s: float | None) -> None:
    """And a long span with spans as long, whose segments follow each other."""
    run(IndexRequest(place, window_s=WINDOW_S, stride_s=WINDOW_S))  # of all frames, as a span is
    store = Store.open(place)
    corpus, weights, found = store.search.corpus, {"appearance": 1.0}, list[float]()
    spaces: list[Space] = ["appearance"]
    for n, video_id in enumerate(corpus.video_ids):
        query = from_span(store, corpus, spaces, video_id, end_s=end_s)
        assert query.mean_of == MeanOf(1, 13 if end_s else 51)
        baseline = RandomPairBaseline(corpus, weights, mean_of=query.mean_of)
        others = np.flatnonzero(corpus.video != n)
        found += [baseline.percentile(s) or 0.0 for s in space_scores(corpus, query, weights, others).tolist()]
    assert np.median(found) == pytest.approx(50, abs=5)


def test_a_label_that_means_something_stays_high(cameras: Store, tmp_path: Path) -> None:
    """Every third segment shows it, a tenth of those are labelled, and the others are found."""
    rng, towards = np.random.default_rng(3), np.eye(DIM)[1]
    places = noise(rng, np.full(VIDEOS, 0.5), np.eye(DIM)[0])
    frames = [noise(rng, np.full(FRAMES, 0.8), at) for at in places]
    for z in frames:
        z[np.arange(FRAMES) % 9 < 3] += 0.7 * towards
        z /= np.linalg.norm(z, axis=1, keepdims=True)
    store = write(tmp_path / "store", frames)
    corpus = store.search.corpus
    shows = np.flatnonzero(np.rint(corpus.start_s * FPS) % 9 == 0)
    store = label(store, "digging", shows[::10])
    hits = store.search(label="digging", top=10_000, filters=Filters(without=("digging",)))
    showing = [hit.percentile or 0.0 for hit in hits if round(hit.start_s * FPS) % 9 == 0]
    others = [hit.percentile or 0.0 for hit in hits if round(hit.start_s * FPS) % 9 != 0]
    assert min(showing) > 70
    assert np.median(showing) > 95
    assert np.median(others) < 80


def test_a_bounded_sample_whatever_the_query(structureless: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, read = Corpus(structureless), []
    unit_vectors = corpus.unit_vectors

    def counted(space: str, rows: np.ndarray) -> np.ndarray:
        read.append(len(rows))
        return unit_vectors(space, rows)

    monkeypatch.setattr(corpus, "unit_vectors", counted)
    for mean_of in (MeanOf(1, 34), MeanOf(1, 10**6), MeanOf(5000, 1), MeanOf(300, 40), MeanOf(2, 2)):
        found = RandomPairBaseline(corpus, {"appearance": 1.0}, mean_of=mean_of)
        assert 0 < len(found.cosines) <= 512 * 512 and np.isfinite(found.cosines).all()
        assert max(read) <= BASELINE_ROWS and sum(read) <= BASELINE_ROWS + 512
        read.clear()
        again = RandomPairBaseline(corpus, {"appearance": 1.0}, mean_of=mean_of)
        assert np.array_equal(found.cosines, again.cosines)
        read.clear()


def test_a_label_of_everything_is_compared_with_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    store = write(tmp_path / "store", [noise(rng, np.full(9, 0.5), np.eye(DIM)[0]) for _ in range(2)])
    store = label(store, "nothing", np.arange(len(store.search.corpus)))
    hits = store.search(label="nothing", top=100)
    percentiles = [hit.percentile for hit in hits if hit.percentile is not None]
    assert len(percentiles) == len(hits) > 0 and percentiles == sorted(percentiles, reverse=True)
