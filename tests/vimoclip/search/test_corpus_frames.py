"""Searching among single frames, against all of them one by one."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from tests.vimoclip.search.test_search import add
from tests.vimoclip.searches import HOSTILE, LABELS, PLAIN, make, mean_of
from tests.vimoclip.stores import FPS, make_store
from vimoclip.api import Store
from vimoclip.bouts import Bout, bouts
from vimoclip.errors import SearchError
from vimoclip.frames import vectors
from vimoclip.search.filters import Filters
from vimoclip.search.results import Hits


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make(tmp_path_factory.mktemp("frames") / "store")


def check(store: Store, hits: Hits, query: np.ndarray, feature: str, without: tuple[str, float, float]) -> None:
    """Hold hits against a ranking of all frames but those of a span."""
    names = sorted({*PLAIN, *HOSTILE})
    ranking: list[Bout] = []
    for number, video_id in enumerate(names):
        rows = store.sequence(video_id)
        time_s = [*rows["time_s"].to_pylist(), len(rows) / FPS]
        for n, z in enumerate(vectors(rows[feature]).astype(np.float64)):
            inside = video_id == without[0] and time_s[n + 1] > without[1] and time_s[n] < without[2]
            if not np.isnan(z[0]) and not inside:
                score = float(z @ query / np.linalg.norm(z))
                ranking.append(Bout(number, time_s[n], time_s[n + 1], score, len(ranking)))
    expected, _ = bouts(sorted(ranking, key=lambda hit: -hit.score), 10)
    assert [hit.video_id for hit in hits] == [names[bout.key] for bout in expected]
    assert [hit.start_s for hit in hits] == pytest.approx([bout.start_s for bout in expected])
    assert [hit.end_s for hit in hits] == pytest.approx([bout.end_s for bout in expected])
    assert [hit.score for hit in hits] == pytest.approx([min(1, bout.score) for bout in expected], abs=2e-6)


@pytest.mark.parametrize("video_id", [*PLAIN, *HOSTILE])
def test_a_span_of_every_id(store: Store, video_id: str) -> None:
    end_s = min(0.8, (PLAIN.get(video_id) or 60) / FPS)
    hits = store.search(video=video_id, start_s=0, end_s=end_s, unit="frames")
    check(store, hits, mean_of(store, video_id, 0, end_s), "clip", (video_id, 0, end_s))
    assert hits.exact and "frames, exactly" in hits.summary
    assert hits.to_dict()["unit"] == "frames"


@pytest.mark.parametrize("piece", [7, 1 << 16])
def test_by_motion_in_pieces_that_memory_holds(store: Store, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vimoclip.search.corpus.PACKED_BYTES", 0)
    monkeypatch.setattr("vimoclip.search.corpus._CHUNK_ROWS", piece)
    query = mean_of(store, "a.mp4", 1, 2, "moclip")
    hits = store.refresh().search(video="a.mp4", start_s=1, end_s=2, by="motion", unit="frames")
    check(store, hits, query, "moclip", ("a.mp4", 1, 2))


def test_frames_that_follow_each_other_are_one_bout(store: Store) -> None:
    rows = store.sequence("a.mp4", ["clip"])
    query = vectors(rows["clip"])[40:43].astype(np.float64).mean(axis=0)
    best = store.search(vector=query, unit="frames", filters=Filters(videos=("a.mp4",)), top=1)[0]
    assert best.best_s[1] - best.best_s[0] == pytest.approx(1 / FPS)
    every = store.search(vector=query, unit="frames", filters=Filters(videos=("b/d.mp4",)), top=1000)
    ends = sorted((hit.start_s, hit.end_s) for hit in every)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(ends))  # those that touch are one


def test_labels_filters_and_vectors(store: Store) -> None:
    for asked in ({"label": LABELS[1]}, {"vector": np.arange(8.0)}):
        hits = store.search(**asked, unit="frames", filters=Filters(videos=("b/*",)))
        assert {hit.video_id for hit in hits} <= {"b/c.mp4", "b/d.mp4"} and hits.searched == 175


def test_without_an_index_and_with_what_came_after_it(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 30, HOSTILE[0]: 20})
    assert {hit.video_id for hit in store.search(video="a.mp4", unit="frames")} == {HOSTILE[0]}
    add(store, "new.mp4", 20)
    add(store, HOSTILE[0], 25)  # another take
    hits = store.refresh().search(video="a.mp4", unit="frames")
    assert hits.searched == 45 and hits.notes == ()


def test_frames_have_no_behaviour(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"frames of .* have no behaviour.*without --unit frames"):
        store.search(video="a.mp4", by="behaviour", unit="frames")
    odd = make_store(tmp_path / "store", {"a.mp4": 5}, {"odd": 4})
    with pytest.raises(SearchError, match=r"nothing to be compared by.*Received: odd"):
        odd.search(video="a.mp4", unit="frames")


def test_a_frame_lasts_until_the_next_and_the_last_one_to_the_end(store: Store) -> None:
    corpus = store.search.frames
    live = store.tables["frames"].read(["take"], pc.field("take").isin(store.live_takes())).num_rows
    assert len(corpus) == live
    for video, video_id in enumerate(corpus.video_ids):
        rows = corpus.of_video(video)
        start, end = np.sort(corpus.start_s[rows]), np.sort(corpus.end_s[rows])
        assert np.array_equal(start[1:], end[:-1]) and end[-1] == corpus.durations[video], video_id


def test_any_query_may_be_asked(store: Store) -> None:
    asked: list[dict[str, Any]] = [{"video": HOSTILE[0]}, {"label": "grazing", "by": "mix"}]
    for query in asked:
        assert store.search(**query, unit="frames", min_percentile=100).found == ()
