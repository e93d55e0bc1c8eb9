"""Search on a real store: every query, against answers worked out the slow way; filters, percentiles, staleness."""

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vimoclip
from pipelines.index import IndexRequest, run
from schemas.labels import Label
from tests.vimoclip.searches import HOSTILE, LABELS, PLAIN, Row, make, mean_of, ranked, segments
from tests.vimoclip.stores import embedded, make_store, ok_row
from tests.vimoclip.test_bouts import slowly
from vimoclip.api import Store
from vimoclip.bouts import Bout
from vimoclip.errors import SearchError, UnknownVideoError, UsageError
from vimoclip.search.filters import Filters
from vimoclip.search.results import Hits
from vimoclip.store import vector_index
from vimoclip.store.features import put_feature
from vimoclip.store.writer import StoreWriter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make(tmp_path_factory.mktemp("search") / "store")


def check(store: Store, hits: Hits, score: Callable[[Row], float | None], wanted: Callable[[Row], bool]) -> None:
    """Hold hits against the slow way."""
    rows = ranked(store, score, wanted)
    numbers = {video_id: n for n, video_id in enumerate(sorted({row["video_id"] for row in rows}))}
    ranking = [
        Bout(numbers[row["video_id"]], row["start_s"], row["end_s"], row["score"], n) for n, row in enumerate(rows)
    ]
    names = list(numbers)
    expected, _ = slowly(ranking, 10)
    assert [(hit.video_id, hit.start_s, hit.end_s) for hit in hits] == [
        (names[bout.key], bout.start_s, bout.end_s) for bout in expected
    ]
    assert [hit.score for hit in hits] == pytest.approx([min(1, bout.score) for bout in expected], abs=2e-6)


def outside(video_id: str, start_s: float, end_s: float) -> Callable[[Row], bool]:
    return lambda row: row["video_id"] != video_id or row["end_s"] <= start_s or row["start_s"] >= end_s


@pytest.mark.parametrize("video_id", [*PLAIN, *HOSTILE])
def test_a_span_of_every_id(store: Store, video_id: str) -> None:
    end_s = min(1.5, (PLAIN.get(video_id) or 60) / 25)
    hits = store.search(video=video_id, start_s=0, end_s=end_s)
    query = mean_of(store, video_id, 0, end_s)
    check(store, hits, lambda row: row["appearance"] @ query, outside(video_id, 0, end_s))
    assert hits.exact and not hits.notes


@pytest.mark.parametrize("video_id", HOSTILE)
def test_a_whole_video_of_every_id_finds_others(store: Store, video_id: str) -> None:
    hits = store.search(video=video_id, by="motion")
    query = mean_of(store, video_id, 0, 1e9, "moclip")
    score = lambda row: None if row["motion"] is None else row["motion"] @ query  # noqa: E731
    check(store, hits, score, lambda row: row["video_id"] != video_id)
    assert video_id not in {hit.video_id for hit in hits}


def test_a_mix_weighs_cosines_and_goes_by_appearance_where_there_is_no_motion(store: Store) -> None:
    hits = store.search(video="a.mp4", by="mix", weights={"appearance": 1, "motion": 3}, exclude="video")
    assert hits.by == {"appearance": 0.25, "motion": 0.75}
    image, motion = mean_of(store, "a.mp4", 0, 1e9), mean_of(store, "a.mp4", 0, 1e9, "moclip")

    def score(row: Row) -> float:
        if row["motion"] is None:
            return float(row["appearance"] @ image)
        return float(0.25 * row["appearance"] @ image + 0.75 * row["motion"] @ motion)

    check(store, hits, score, lambda row: row["video_id"] != "a.mp4")


def test_a_vector_of_any_length(store: Store) -> None:
    query = np.random.default_rng(5).normal(size=8)
    hits = store.search(vector=37 * query)
    check(store, hits, lambda row: row["appearance"] @ query / np.linalg.norm(query), lambda row: True)
    assert store.search(vector=(37 * query).tolist()).found == hits.found


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_the_mean_of_its_segments(store: Store, label: str) -> None:
    def has(row: Row) -> bool:
        if label == "grazing":
            inside = {"a.mp4": (1.0, 4.0), "b/c.mp4": (0.0, 1.5)}.get(row["video_id"])
            if inside is None:
                return False
            shared = min(row["end_s"], inside[1]) - max(row["start_s"], inside[0])
            return bool(shared >= 0.5 * min(row["end_s"] - row["start_s"], inside[1] - inside[0]))
        return row["video_id"] in (HOSTILE if label == LABELS[2] else ["b/d.mp4"])

    total = np.sum([row["appearance"] for row in segments(store) if has(row)], axis=0)
    query = total / np.linalg.norm(total)
    check(store, store.search(label=label), lambda row: row["appearance"] @ query, lambda row: True)
    found = store.search(label=label, filters=Filters(labels=(label,)))
    check(store, found, lambda row: row["appearance"] @ query, has)
    assert found and all(label in hit.labels for hit in found)
    others = store.search(label=label, filters=Filters(without=(label,)))
    check(store, others, lambda row: row["appearance"] @ query, lambda row: not has(row))


def filtered(store: Store, **parts: Any) -> set[str]:
    hits = store.search(video="a.mp4", start_s=0, end_s=1, top=100, filters=Filters(**parts))
    return {hit.video_id for hit in hits}


def test_filters(store: Store) -> None:
    ids = sorted([*PLAIN, *HOSTILE])
    assert filtered(store, splits=("val",)) == set(ids[1::2])
    assert filtered(store, splits=("val", "train")) == set(ids)
    assert filtered(store, where={"site": ("Taï",)}) == set(ids[1::2])
    assert filtered(store, where={"site": ("Taï", "other"), "split": ("train",)}) == set(ids[::2])
    assert filtered(store, where={"note": ("x' OR 1=1",)}) == set(ids[1::2])
    assert filtered(store, where={"frames": ("100", "75")}) >= {"b/c.mp4", "b/d.mp4"}
    assert filtered(store, videos=("b/*",)) == {"b/c.mp4", "b/d.mp4"}
    assert filtered(store, videos=("*/*",)) == {name for name in ids if "/" in name}
    for video_id in HOSTILE:
        assert filtered(store, videos=(video_id,)) == {video_id}
    assert filtered(store, labels=(LABELS[1],)) == {"b/d.mp4"}
    assert filtered(store, without=(LABELS[2],), splits=("val", "train")) == set(PLAIN)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"splits": ("test",)}, "no such split"),
        ({"labels": ("grasing",)}, "Expected: grazing"),
        ({"without": ("' OR ''='",)}, "no such label"),
        ({"where": {"sight": ("Taï",)}}, "no such column of videos.*site"),
        ({"where": {"site": ("%",)}}, "matches no segment"),
        ({"videos": ("nowhere/*",)}, "video nowhere"),
        ({"labels": ("grazing",), "videos": ("b/d.mp4",)}, "label grazing and video b/d.mp4"),
    ],
)
def test_filters_that_match_nothing_say_so(store: Store, parts: dict[str, Any], says: str) -> None:
    with pytest.raises(SearchError, match=says):
        filtered(store, **parts)


def test_what_of_its_own_video_a_query_finds(store: Store) -> None:
    def own(exclude: Any) -> list[tuple[float, float]]:
        hits = store.search(video="a.mp4", start_s=2, end_s=4, exclude=exclude, top=50)
        return [(hit.start_s, hit.end_s) for hit in hits if hit.video_id == "a.mp4"]

    assert own("video") == []
    rows = segments(store)
    touching = [row for row in rows if row["video_id"] == "a.mp4" and 2.0 in (row["end_s"], row["start_s"])]
    assert len(touching) == 2
    left = store.search(video="a.mp4", start_s=2, end_s=4).searched
    assert left == sum(outside("a.mp4", 2, 4)(row) for row in rows)  # the one that ends where it begins is left
    assert all(end <= 2 or start >= 4 for start, end in own("span")) and own("span")
    best = store.search(video="a.mp4", start_s=2, end_s=4, exclude="nothing")[0]
    assert (best.video_id, best.best_s) == ("a.mp4", (2.0, 4.0))
    assert best.score == pytest.approx(1, abs=1e-3)


def test_percentiles_are_those_of_random_pairs_of_two_videos(store: Store) -> None:
    rows = segments(store)
    pairs = [a["appearance"] @ b["appearance"] for a in rows for b in rows if a["video_id"] != b["video_id"]]
    hits = store.search(vector=rows[0]["appearance"], top=40)
    for hit in hits:
        assert hit.percentile == pytest.approx(100 * np.mean(np.array(pairs) < hit.score), abs=8)  # of a sample
    percentiles = [hit.percentile for hit in hits if hit.percentile is not None]
    assert percentiles == sorted(percentiles, reverse=True)
    assert percentiles[0] == 100


def test_nothing_passes_a_percentile_and_it_says_so(store: Store) -> None:
    every = store.search(video="a.mp4", exclude="video", top=100)
    least = every[3].percentile
    assert least is not None
    some = store.search(video="a.mp4", exclude="video", top=100, min_percentile=least)
    assert all(hit.percentile is not None and hit.percentile >= least for hit in some)
    assert len(some) >= 4
    none = store.search(video="a.mp4", exclude="video", min_percentile=100)
    assert len(none) == 0
    assert none.closest is not None and none.closest[0] == pytest.approx(every[0].score)
    assert "No match for a.mp4" in none.summary and "random pairs" in none.summary


def test_hits_name_labels_split_and_file(store: Store) -> None:
    hit = next(hit for hit in store.search(label="grazing", top=30) if hit.video_id == "b/d.mp4")
    assert hit.labels == (LABELS[1],)
    assert hit.path == "/videos/b/d.mp4"
    assert hit.split in ("train", "val")
    assert hit.start_s <= hit.best_s[0] < hit.best_s[1] <= hit.end_s


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"video": "a.mp44"}, "Expected: a.mp4"),
        ({"video": HOSTILE[0][:-1]}, "OR '1'='1.mp4"),
    ],
)
def test_unknown_videos_name_the_nearest(store: Store, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UnknownVideoError, match=says):
        store.search(**asked)


def test_ids_and_labels_in_another_spelling(store: Store) -> None:
    assert store.search(video="A.MP4").query == "a.mp4"
    assert store.search(label="Grazing").query == store.search(label="grazing").query
    ids = filtered(store, labels=("grazing",))
    assert filtered(store, labels=("GRAZING",)) == ids
    assert filtered(store, without=("GRAZING",)) == filtered(store, without=("grazing",))
    assert filtered(store, videos=("B/C.mp4",)) == {"b/c.mp4"}
    assert filtered(store, splits=("TRAIN",)) == filtered(store, splits=("train",))
    with pytest.raises(UnknownVideoError, match=r"Did you mean b/c\.mp4\?"):
        store.search(video="c")
    with pytest.raises(SearchError, match=r"Did you mean b/c\.mp4\?"):
        filtered(store, videos=("c",))


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2), (2, 2), (7, 8), (1, 7), (math.nan, 2), (0, math.inf)])
def test_spans_that_are_none_of_the_video(store: Store, start: float, end: float) -> None:
    with pytest.raises(SearchError, match=r"to <= 6\.400 s"):
        store.search(video="a.mp4", start_s=start, end_s=end)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "Nothing to search for"),
        ({"video": "a.mp4", "label": "grazing"}, "one thing at a time"),
        ({"label": "grazing", "start_s": 1.0}, "Only a stored video"),
        ({"video": "a.mp4", "top": 0}, "at least one bout"),
        ({"video": "a.mp4", "min_percentile": 101}, "0 to 100"),
        ({"video": "a.mp4", "weights": {"motion": 1}}, "Weights are for --by mix"),
        ({"video": "a.mp4", "by": "mix", "weights": {"motion": 0}}, "not all 0"),
        ({"video": "a.mp4", "by": "mix", "weights": {"motion": math.nan}}, "not all 0"),
        ({"text": "a zebra", "by": "motion"}, "appearance alone"),
        ({"image": "x.png", "by": "mix"}, "no motion"),
        ({"vector": np.ones(8), "by": "mix"}, "of one space"),
    ],
)
def test_what_cannot_be_meant(store: Store, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        store.search(**asked)


@pytest.mark.parametrize(
    "vector", [np.ones(7), np.ones((1, 8)), np.zeros(8), np.full(8, np.nan), ["a"] * 8, [1, [2]] * 4, np.full(8, 1e400)]
)
def test_vectors_that_are_none(store: Store, vector: Any) -> None:
    with pytest.raises(SearchError, match="not a vector"):
        store.search(vector=vector)


def test_a_label_that_is_none(store: Store) -> None:
    with pytest.raises(SearchError, match=r"no such label.*Expected: grazing"):
        store.search(label="grassing")


def test_a_video_of_one_frame_has_no_motion(store: Store) -> None:
    with pytest.raises(SearchError, match=r"one\.mp4 has no motion"):
        store.search(video="one.mp4", by="motion")
    assert store.search(video="one.mp4", by="mix").by == {"appearance": 0.5}


def test_a_span_between_two_frames_is_the_one_that_is_shown(store: Store) -> None:
    shown = store.search(video="a.mp4", start_s=1.001, end_s=1.002, exclude="nothing")
    assert shown.found == store.search(video="a.mp4", start_s=1.0, end_s=1.04, exclude="nothing").found


@pytest.mark.parametrize(("span", "frame"), [((1.001, 1.002), 25), ((1.03, 1.035), 26), ((6.37, 6.39), 159)])
def test_the_nearest_frame_of_a_span_between_two_is_no_answer(
    store: Store, span: tuple[float, float], frame: int
) -> None:
    """Frames of a.mp4 are 0.04 s apart: the query is one frame, which would find itself."""
    asked: dict[str, Any] = {"video": "a.mp4", "start_s": span[0], "end_s": span[1], "unit": "frames", "top": 1000}
    everything = store.search(**asked, exclude="nothing")
    best = next(hit for hit in everything if hit.score > 1 - 1e-5)
    assert best.video_id == "a.mp4" and best.best_s[0] == pytest.approx(frame / 25)
    others = store.search(**asked)
    assert others.found and others.searched == everything.searched - len({frame, int(span[0] * 25)})
    assert not any(
        hit.video_id == "a.mp4" and hit.start_s <= frame / 25 < hit.end_s - 1e-6 and hit.score > 1 - 1e-5
        for hit in others
    )


def test_without_an_index_or_a_space(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 60, "b.mp4": 60}, {"clip": 8})
    with pytest.raises(SearchError, match="vimoclip index"):
        store.search(video="a.mp4")
    run(IndexRequest(store.place))
    with pytest.raises(SearchError, match=r"have no motion.*Expected: appearance.*vimoclip index --motion"):
        store.refresh().search(video="a.mp4", by="motion")
    assert [hit.video_id for hit in store.refresh().search(video="a.mp4")] == ["b.mp4"]


def test_a_store_of_one_segment(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 20})
    run(IndexRequest(store.place))
    with pytest.raises(SearchError, match="no segment to find"):
        store.refresh().search(video="a.mp4")
    (hit,) = store.refresh().search(video="a.mp4", exclude="nothing", min_percentile=50)
    assert hit.percentile is None  # there are no pairs


def add(store: Store, video_id: str, frames: int) -> None:
    writer = StoreWriter(store.refresh())
    writer.add(take := writer.new_take(), embedded(video_id, 0, frames))
    writer.put(ok_row(video_id, take, frames, store.fingerprint))
    writer.flush()


def remove(store: Store, video_id: str) -> None:
    writer = StoreWriter(store.refresh())
    writer.put(replace(writer.videos[video_id], status="removed"))
    writer.flush()


def test_videos_that_came_after_the_index_are_found_and_it_says_so(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    add(store, "new.mp4", 90)
    add(store, "b/c.mp4", 55)  # another take
    remove(store, "a.mp4")
    stale = store.refresh().search(label=LABELS[2], top=100)
    assert "2 videos came after the index was made" in stale.notes[0] and "vimoclip index" in stale.notes[0]
    run(IndexRequest(store.place))
    fresh = store.refresh().search(label=LABELS[2], top=100)
    assert fresh.notes == ()
    assert stale.found == fresh.found
    assert {"new.mp4", "b/c.mp4"} <= {hit.video_id for hit in fresh}
    assert "a.mp4" not in {hit.video_id for hit in fresh}


def test_a_changed_feature_makes_the_index_stale_and_everything_is_searched(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    before = store.search(video="a.mp4", by="motion")
    put_feature(store.tables["features"], replace(store.features["moclip"], weights_sha256="1" * 64))
    stale = store.refresh().search(video="a.mp4", by="motion")
    assert "The index is stale: moclip changed" in stale.notes[0]
    assert stale.found == before.found


def test_a_feature_that_is_gone(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    store.tables["features"].delete(pc.field("name") == "moclip")
    with pytest.raises(SearchError, match=r"motion of the segments was made from moclip.*vimoclip index --motion"):
        store.refresh().search(video="a.mp4")


def test_a_snapshot_does_not_see_what_comes(store: Store, tmp_path: Path) -> None:
    own = make(tmp_path / "store")
    before = own.search(label="grazing")
    add(own, "new.mp4", 90)
    run(IndexRequest(own.place))
    assert own.search(label="grazing") == before


def test_by_the_index_it_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an index of vectors over a table that a few rows make large, and rows that it does not hold.

    Of vectors of 8 values its codes of a bit a value say little: so it compares more of them exactly than it would.
    """
    monkeypatch.setattr(vector_index, "REFINE", 50)
    store = make(tmp_path / "store")
    monkeypatch.setattr(vector_index, "ROWS_TO_INDEX", 300)
    assert not run(IndexRequest(store.place, window_s=0.4, stride_s=0.04)).exact
    add(store, "new.mp4", 90)
    remove(store, "b/d.mp4")
    store = store.refresh()
    filters = [Filters(), Filters(splits=("val",)), Filters(labels=("grazing",)), Filters(without=("grazing",))]
    asked: list[dict[str, Any]] = [
        {"video": "a.mp4", "start_s": 1.0, "end_s": 2.0},
        {"video": HOSTILE[0], "by": "motion", "exclude": "video"},
        {"label": LABELS[2], "by": "mix"},
        {"vector": np.arange(8.0), "top": 3},
        {"vector": np.arange(8.0), "min_percentile": 99.5},
        {"vector": np.arange(8.0), "min_percentile": 100},
    ]
    for query in asked:
        for of in filters:
            exact = store.search(**query, filters=of)
            with monkeypatch.context() as patched:
                patched.setattr("vimoclip.search.ranking.EXACT_ROWS", 10)
                found = store.search(**query, filters=of)
            assert exact.exact
            assert [hit.video_id for hit in found] == [hit.video_id for hit in exact]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in exact], abs=1e-6)
            assert len(found) == len(exact)


def test_the_index_is_used_where_rows_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(tmp_path / "store")
    monkeypatch.setattr(vector_index, "ROWS_TO_INDEX", 300)
    run(IndexRequest(store.place, window_s=0.4, stride_s=0.04))
    store = store.refresh()
    monkeypatch.setattr("vimoclip.search.ranking.EXACT_ROWS", 10)
    hits = store.search(vector=np.arange(8.0), top=2)
    assert not hits.exact and len(hits) == 2
    assert "by the index" in hits.summary
    assert store.search(vector=np.arange(8.0), top=2000).exact  # it goes on until there can be no more


def test_a_span_loads_no_torch_and_is_quick(store: Store) -> None:
    script = f"""
import sys, vimoclip
hits = vimoclip.open_store({str(store.place)!r}).search(video="a.mp4", start_s=1, end_s=2)
print(len(hits), *sorted({{"torch", "open_clip", "av", "cv2", "ray", "lancedb", "PIL"}} & set(sys.modules)))
"""
    home = str(Path(vimoclip.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10"]


def test_hits_as_tables_and_text(store: Store) -> None:
    hits = store.search(video="a.mp4", top=3)
    frame = hits.frame()
    assert frame["video_id"].to_list() == [hit.video_id for hit in hits]
    assert "3 bouts like a.mp4" in repr(hits)
    assert hits[0] == hits.found[0] and list(hits[1:]) == list(hits.found[1:])
    assert hits.to_dict()["hits"][0]["video_id"] == hits[0].video_id


def test_labels_past_the_end_of_their_videos(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 60, "b.mp4": 60})
    writer = StoreWriter(store)
    writer.set_labels([Label(video_id="a.mp4", label="late", source="s", start_s=2.5, end_s=2.8)], ["a.mp4"], "s")
    run(IndexRequest(store.place))
    with pytest.raises(SearchError, match="No segment has the label late"):
        store.refresh().search(label="late")


TEXTS = st.text(max_size=30) | st.sampled_from(
    ["' OR '1'='1", "a.mp4' OR video_id != '", "\udcff", "%", "*", "[", "\0"]
)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_any_text_is_a_name_and_nothing_more(store: Store, text: str) -> None:
    known = {*PLAIN, *HOSTILE}
    with pytest.raises(UnknownVideoError):
        store.search(video=f"{text}?")
    with pytest.raises(SearchError, match="no such label"):
        store.search(label=f"{text}?")
    for parts in ({"labels": (f"{text}?",)}, {"splits": (f"{text}?",)}, {"where": {f"{text}?": ("x",)}}):
        with pytest.raises(SearchError, match="no such"):
            filtered(store, **parts)
    with pytest.raises(SearchError, match="matches no segment"):
        filtered(store, where={"site": (f"{text}?",)})
    with pytest.raises(SearchError, match="matches no segment"):
        filtered(store, videos=(f"{text}/nowhere",))
    assert filtered(store, videos=("*",)) == known
