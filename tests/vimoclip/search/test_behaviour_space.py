"""The behaviour space: the vectors of segments against the model frame by frame, every query, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.index import IndexReport, IndexRequest, run
from schemas.models import MODELS
from tests.vimoclip.search.test_search import add, check, outside
from tests.vimoclip.searches import HOSTILE, LABELS, PLAIN, Row, make, make_run, mean_of, segments
from tests.vimoclip.stores import embedded, make_store, ok_row
from vimoclip.api import Store
from vimoclip.config.fusion import Fusion, SequenceConfig
from vimoclip.errors import CheckpointError, SearchError, UsageError
from vimoclip.frames import vectors
from vimoclip.models.checkpoint import META, WEIGHTS, read_checkpoint
from vimoclip.search.filters import Filters
from vimoclip.store import vector_index
from vimoclip.store.features import put_feature
from vimoclip.store.segments import read_segment_settings
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def indexed(store: Store, **asked: Any) -> IndexReport:
    return run(IndexRequest(store.place, **asked))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, of which nothing is left to the store but what it has copied."""
    folder = tmp_path_factory.mktemp("runs")
    return make_run(make_store(folder / "store", {"a.mp4": 2}), folder / "run")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, finished: Path) -> Store:
    made = make(tmp_path_factory.mktemp("behaviour") / "store")
    indexed(made, behaviour=finished)
    return made.refresh()


@pytest.fixture
def own(store: Store, tmp_path: Path) -> Store:
    """A copy to change."""
    return Store.open(shutil.copytree(str(store.place), tmp_path / "store"))


def by_model(folder: Path, store: Store) -> Callable[[str, int, int], np.ndarray | None]:
    """The unit vector of frames [first, last) of a video, in float64, one stretch at a time and without padding."""
    model, meta = read_checkpoint(folder)
    model = model.double()
    config = meta.config.sequences

    def pooled(video_id: str, first: int, last: int) -> np.ndarray | None:
        rows = store.sequence(video_id)
        steps = list(range(first + (last - first > 1), last))
        if config.most_frames is not None and len(steps) > config.most_frames:
            steps = [steps[n * len(steps) // config.most_frames] for n in range(config.most_frames)]
        given, present = {}, {}
        for role, source in meta.features.items():
            z = vectors(rows[source.name]).astype(np.float64)[steps]
            norm = np.array(rows[f"{source.name}_norm"].to_pylist(), np.float64)[steps]
            there = ~np.isnan(z[:, 0]) & (role == "image" or last - first > 1)
            given[role] = torch.from_numpy(z * norm[:, None] if config.lengths == "raw" else z)[None]
            present[role] = torch.from_numpy(there)[None]
        with torch.inference_mode():
            found: np.ndarray = model.pooled(given, present)[0].double().numpy()
        length = float(np.linalg.norm(found))
        return found / length if length > 0 else None

    return pooled


def frames_in(store: Store, video_id: str, start_s: float, end_s: float) -> tuple[int, int]:
    time_s = store.sequence(video_id, ["time_s"])["time_s"].to_numpy()
    first, last = np.searchsorted(time_s, [start_s - 1e-6, end_s - 1e-6])
    return int(first), int(last)


@pytest.mark.parametrize(
    ("fusion", "sequences"),
    [
        ("cross", SequenceConfig()),
        ("cross", SequenceConfig(lengths="raw", most_frames=None)),
        ("temporal", SequenceConfig(most_frames=7)),
        ("embedding", SequenceConfig()),
        ("image", SequenceConfig()),
        ("motion", SequenceConfig()),
    ],
)
def test_segments_are_what_the_model_makes_of_their_frames_alone(
    tmp_path: Path, fusion: Fusion, sequences: SequenceConfig
) -> None:
    videos = {"a.mp4": 130, HOSTILE[0]: 60, "one.mp4": 1, "two.mp4": 2}
    store = make_store(tmp_path / "store", videos, chunk=37)
    folder = make_run(store, tmp_path / "run", fusion, sequences)
    report = indexed(store, behaviour=folder)
    pooled = by_model(folder, store)
    rows = segments(store.refresh())
    assert len(rows) == report.total == 5 + 2 + 1 + 1
    for row in rows:
        expected = pooled(row["video_id"], row["start_frame"], row["end_frame"])
        if expected is None:
            assert (fusion, row["video_id"]) == ("motion", "one.mp4") and row["behaviour"] is None
        else:
            assert row["behaviour"] == pytest.approx(expected, abs=2e-3)
    assert verify(store.place) == []


@pytest.mark.parametrize("fusion", ["cross", "motion"])
def test_of_a_single_frame_the_image_is_read(tmp_path: Path, fusion: Fusion) -> None:
    store = make_store(tmp_path / "store", {"fast.mp4": 9})  # so that windows of 80 ms are not refused
    writer = StoreWriter(store)
    writer.add(take := writer.new_take(), replace(embedded("a.mp4", 0, 9), time_s=np.arange(9) / 5))
    writer.put(ok_row("a.mp4", take, 9, store.fingerprint, fps=5.0, duration_s=1.8))
    writer.flush()
    store = store.refresh()
    folder = make_run(store, tmp_path / "run", fusion)
    indexed(store, behaviour=folder, window_s=0.08, stride_s=0.08)
    pooled = by_model(folder, store)
    found = [row for row in segments(store.refresh()) if row["video_id"] == "a.mp4"]
    assert len(found) == 9
    for row in found:
        expected = pooled("a.mp4", row["start_frame"], row["end_frame"])
        assert row["end_frame"] - row["start_frame"] == 1 and (expected is None) == (fusion == "motion")
        assert row["behaviour"] is None if expected is None else row["behaviour"] == pytest.approx(expected, abs=2e-3)


def test_the_pieces_that_frames_come_in_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 130, "b.mp4": 60}, chunk=37)
    indexed(store, behaviour=make_run(store, tmp_path / "run"), stride_s=0.3)
    expected = {(row["video_id"], row["start_frame"]): row["behaviour"] for row in segments(store.refresh())}
    indexed(store, stride_s=0.5)
    monkeypatch.setattr("vimoclip.search.segments._ROWS", 17)
    monkeypatch.setattr("vimoclip.search.behaviour_space.BATCH", 3)
    indexed(store, stride_s=0.3)
    found = {(row["video_id"], row["start_frame"]): row["behaviour"] for row in segments(store.refresh())}
    assert found.keys() == expected.keys() and len(found) > 10
    assert all(found[key] == pytest.approx(expected[key], abs=1e-3) for key in found)


@pytest.mark.parametrize("video_id", [*PLAIN, *HOSTILE])
def test_a_span_and_a_video_of_every_id(store: Store, finished: Path, video_id: str) -> None:
    frames = PLAIN.get(video_id) or 60 + 5 * HOSTILE.index(video_id)
    end_s = min(1.5, frames / 25)
    query = by_model(finished, store)(video_id, *frames_in(store, video_id, 0, end_s))
    assert query is not None
    hits = store.search(video=video_id, start_s=0, end_s=end_s, by="behaviour")
    assert hits.by == {"behaviour": 1.0} and hits.exact
    check(store, hits, lambda row: row["behaviour"] @ query, outside(video_id, 0, end_s))
    whole = by_model(finished, store)(video_id, 0, frames)
    assert whole is not None
    hits = store.search(video=video_id, by="behaviour", filters=Filters(videos=tuple(HOSTILE)), exclude="video")
    check(store, hits, lambda row: row["behaviour"] @ whole, lambda row: row["video_id"] in {*HOSTILE} - {video_id})


def test_a_label_is_the_mean_of_its_segments_and_a_vector_is_itself(store: Store) -> None:
    total = np.sum([row["behaviour"] for row in segments(store) if row["video_id"] in HOSTILE], axis=0)
    query = total / np.linalg.norm(total)
    for asked in ({"label": LABELS[2]}, {"vector": 3 * total}):
        hits = store.search(**asked, by="behaviour")
        check(store, hits, lambda row: row["behaviour"] @ query, lambda row: True)
    with pytest.raises(SearchError, match=r"not a vector of the behaviour space.*16 finite numbers"):
        store.search(vector=np.ones(8), by="behaviour")


def test_a_mix_of_three(store: Store, finished: Path) -> None:
    weights: Any = {"appearance": 1, "motion": 2, "behaviour": 5}
    hits = store.search(video="a.mp4", by="mix", weights=weights, exclude="video")
    image, motion = mean_of(store, "a.mp4", 0, 1e9), mean_of(store, "a.mp4", 0, 1e9, "moclip")
    behaviour = by_model(finished, store)("a.mp4", 0, PLAIN["a.mp4"])
    assert behaviour is not None

    def score(row: Row) -> float:
        seen = float(row["appearance"] @ image + 5 * row["behaviour"] @ behaviour)
        return seen / 6 if row["motion"] is None else (seen + 2 * float(row["motion"] @ motion)) / 8

    check(store, hits, score, lambda row: row["video_id"] != "a.mp4")
    assert store.search(video="a.mp4", by="mix").by == {"appearance": 0.5, "motion": 0.5}


def test_new_videos_are_added_and_until_then_searched_from_their_frames(own: Store, tmp_path: Path) -> None:
    add(own, "new.mp4", 90)
    fresh = own.refresh().search(video="b/c.mp4", by="behaviour", exclude="video", top=50)
    assert "1 video came after the index" in fresh.notes[0]
    assert "new.mp4" in {hit.video_id for hit in fresh}
    report = indexed(own)
    assert (report.videos, report.rebuilt) == (1, [])
    there = own.refresh().search(video="b/c.mp4", by="behaviour", exclude="video", top=50)
    assert [(hit.video_id, hit.start_s, hit.end_s) for hit in there] == [
        (hit.video_id, hit.start_s, hit.end_s) for hit in fresh
    ]
    assert [hit.score for hit in there] == pytest.approx([hit.score for hit in fresh], abs=1e-3)
    assert verify(own.place) == []


def test_by_the_index_it_finds_the_same(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "REFINE", 50)
    monkeypatch.setattr(vector_index, "ROWS_TO_INDEX", 300)
    report = indexed(own, window_s=0.4, stride_s=0.04)
    assert report.vectors["behaviour"] == report.total and not report.exact
    store = own.refresh()
    asked: list[dict[str, Any]] = [
        {"video": "a.mp4", "start_s": 1.0, "end_s": 2.0, "by": "behaviour"},
        {"label": LABELS[2], "by": "mix", "weights": {"appearance": 1, "motion": 1, "behaviour": 1}},
        {"label": LABELS[2], "by": "mix", "weights": {"motion": 1, "behaviour": 1}},
    ]
    for query in asked:
        exact = store.search(**query)
        with monkeypatch.context() as patched:
            patched.setattr("vimoclip.search.ranking.EXACT_ROWS", 10)
            found = store.search(**query)
        assert [hit.video_id for hit in found] == [hit.video_id for hit in exact]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in exact], abs=1e-6)


def test_another_run_or_none_makes_all_anew_and_says_so(own: Store, tmp_path: Path) -> None:
    before = read_segment_settings(own)
    assert before is not None and before.behaviour is not None
    assert indexed(own).rebuilt == []
    report = indexed(own, behaviour=make_run(own, tmp_path / "other", seed=1))
    after = report.settings.behaviour
    assert after is not None
    assert report.rebuilt == [f"behaviour was made by model {before.behaviour.id} and is by {after.id}"]
    assert indexed(own, behaviour="none").rebuilt == ["behaviour is no longer made"]
    with pytest.raises(SearchError, match=r"have no behaviour.*vimoclip index --behaviour RUN.*train-fusion"):
        own.refresh().search(video="a.mp4", by="behaviour")


def test_a_changed_feature_takes_the_space_away_and_says_so(own: Store) -> None:
    put_feature(own.tables["features"], replace(own.features["moclip"], weights_sha256="1" * 64))
    stale = own.refresh().search(video="a.mp4")
    assert "behaviour space is stale" in stale.notes[0] and "moclip changed" in stale.notes[1]
    with pytest.raises(SearchError, match=r"stale: a feature that its model reads.*--behaviour RUN"):
        own.refresh().search(video="a.mp4", by="behaviour")
    report = indexed(own)
    assert report.rebuilt == ["moclip has changed since", "behaviour is no longer made"]
    assert own.refresh().search(video="a.mp4").notes == ()


def test_runs_that_are_none(own: Store, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"meta\.json cannot be read.*finished run of `vimoclip train-fusion`"):
        indexed(own, behaviour=tmp_path / "begun")
    other = make_store(tmp_path / "others", {"a.mp4": 60}, {"clip": 8, "moclip": 6})
    with pytest.raises(CheckpointError, match="trained on other motion vectors"):
        indexed(other, behaviour=finished)
    assert "segments" not in other.refresh().tables


@pytest.mark.parametrize("name", [META, WEIGHTS])
def test_a_model_that_is_lost_or_damaged(own: Store, name: str) -> None:
    (path,) = Path(str(own.place)).glob(f"{MODELS}/*/{name}")
    kept = path.read_bytes()
    path.write_bytes(kept[:-10])
    with pytest.raises(CheckpointError, match=r"model of the behaviour space.*index --behaviour RUN"):
        own.refresh().search(video="a.mp4", by="behaviour")
    path.unlink()
    with pytest.raises(CheckpointError, match=f"{name} cannot be read"):
        own.refresh().search(video="a.mp4", by="behaviour")
    assert own.refresh().search(label=LABELS[2], by="behaviour").found  # which needs no model
    assert own.refresh().search(video="a.mp4").found


def test_a_text_or_an_image_has_no_behaviour(store: Store) -> None:
    with pytest.raises(UsageError, match="compared with appearance alone"):
        store.search(text="a zebra", by="behaviour")
    with pytest.raises(UsageError, match="has no motion"):
        store.search(image="x.png", by="behaviour")


def test_an_index_without_the_space_is_read_as_ever(own: Store) -> None:
    """As it was written before there was such a space."""
    settings = read_segment_settings(own)
    assert settings is not None
    body = json.loads(replace(settings, behaviour=None).to_json())
    del body["behaviour"]
    assert type(settings).from_json(json.dumps(body)) == replace(settings, behaviour=None)


def test_the_model_lies_where_the_store_lies(remote: str, tmp_path: Path) -> None:
    store = make_store(remote, {"a.mp4": 60, HOSTILE[0]: 75})
    indexed(store, behaviour=make_run(store, tmp_path / "run"))
    hits = store.refresh().search(video="a.mp4", by="behaviour")
    assert {hit.video_id for hit in hits} == {HOSTILE[0]}
    add(store, "new.mp4", 60)
    assert indexed(store.refresh()).videos == 1
    assert verify(remote) == []
