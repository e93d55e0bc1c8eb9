"""`vimoclip index` on real stores: what it makes, adds, drops and makes anew; and what readers and verify see of it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pipelines import index
from pipelines.index import IndexReport, IndexRequest, run
from schemas.features import Feature
from tests.vimoclip.stores import embedded, features, make_store, ok_row
from vimoclip.api import Store
from vimoclip.errors import ConfigError, FeatureError, SearchError, StoreDamagedError
from vimoclip.frames import vectors
from vimoclip.store import table as lance_table
from vimoclip.store import vector_index
from vimoclip.store.features import FeatureWriter, put_feature
from vimoclip.store.segments import read_segment_settings
from vimoclip.store.table import Table
from vimoclip.store.vector_index import nearest_vectors, unindexed
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

VIDEOS = {"a.mp4": 130, "b/c.mp4": 50, "one.mp4": 1, "x' OR '1'='1.mp4": 75}
SEGMENTS = 5 + 1 + 1 + 2


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store", VIDEOS, chunk=37)


def indexed(store: Store, **asked: object) -> IndexReport:
    return run(IndexRequest(store.place, **asked))  # type: ignore[arg-type]


def rows(store: Store) -> list[tuple[object, ...]]:
    """Every segment, vectors as bytes."""
    found = Store.open(store.place).tables["segments"].read()
    columns = [found[name].to_pylist() for name in found.schema.names[:6]]
    arrays = [[value.tobytes() for value in vectors(found[name].combine_chunks())] for name in found.schema.names[6:]]
    return sorted(zip(*columns, *arrays, strict=True))


def add(store: Store, video_id: str, frames: int) -> None:
    writer = StoreWriter(store.refresh())
    for first in range(0, frames, 20):
        if first == 0:
            take = writer.new_take()
        writer.add(take, embedded(video_id, first, min(20, frames - first)))
    writer.put(ok_row(video_id, take, frames, store.fingerprint))
    writer.flush()


def remove(store: Store, video_id: str) -> None:
    writer = StoreWriter(store.refresh())
    writer.put(replace(writer.videos[video_id], status="removed"))
    writer.flush()


def test_means_of_the_frames_that_the_store_gives(store: Store) -> None:
    report = indexed(store)
    assert (report.videos, report.segments, report.known, report.total) == (4, SEGMENTS, 0, SEGMENTS)
    assert report.exact and not report.rebuilt
    found = store.refresh().tables["segments"].read()
    assert found["motion"].null_count == 1  # the video of one frame
    for row in found.to_pylist():
        frames = store.sequence(row["video_id"]).slice(row["start_frame"], row["end_frame"] - row["start_frame"])
        assert frames["time_s"][0].as_py() >= row["start_s"] - 1e-6
        for space, feature in (("appearance", "clip"), ("motion", "moclip")):
            mean = np.nansum(vectors(frames[feature]).astype(np.float64), axis=0)
            if np.linalg.norm(mean) == 0:
                assert row[space] is None
            else:
                assert np.array_equal(
                    np.array(row[space], np.float16), (mean / np.linalg.norm(mean)).astype(np.float16)
                )
    assert verify(store.place) == []


def test_new_videos_are_added_as_if_all_had_been_there(store: Store, tmp_path: Path) -> None:
    indexed(store)
    add(store, "new.mp4", 90)
    report = indexed(store)
    assert (report.videos, report.known, report.total) == (1, 4, SEGMENTS + 3)
    whole = make_store(tmp_path / "whole", {**VIDEOS, "new.mp4": 90})
    indexed(whole)
    without_takes = [[row[:1] + row[2:] for row in rows(each)] for each in (store, whole)]
    assert without_takes[0] == without_takes[1]
    version = store.refresh().tables["segments"].version
    assert indexed(store).segments == 0
    assert store.refresh().tables["segments"].version == version  # nothing is written for nothing


def test_it_takes_any_order_and_batches_of_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    indexed(store)
    before = rows(store)
    indexed(store, stride_s=0.5)
    monkeypatch.setattr("vimoclip.search.segments._ROWS", 7)
    assert indexed(store, stride_s=1.0).rebuilt == ["the stride was 0.5 s and is 1 s"]
    assert rows(store) == before


def test_takes_that_are_gone_lose_their_segments_and_removed_ones_when_optimized(store: Store) -> None:
    indexed(store)
    add(store, "a.mp4", 60)  # another take
    remove(store, "b/c.mp4")
    assert {fault.name for fault in verify(store.place)} == {"leftover-rows"}
    report = indexed(store)
    assert (report.dropped, report.videos, report.total) == (5, 1, SEGMENTS - 5 + 2)
    StoreWriter(store.refresh()).optimize(timedelta(0))
    assert {row[0] for row in rows(store)} == set(VIDEOS) - {"b/c.mp4"}
    assert verify(store.place) == []


def test_an_ingest_or_optimize_drops_segments_of_old_takes(store: Store) -> None:
    indexed(store)
    add(store, "a.mp4", 60)
    assert StoreWriter(store.refresh()).drop_orphan_rows() == 1
    assert {row[0] for row in rows(store)} == set(VIDEOS) - {"a.mp4"}
    assert verify(store.place) == []


def change(store: Store, name: str) -> Feature:
    """The feature's row as another model's."""
    feature = replace(store.features[name], weights_sha256="1" * 64)
    put_feature(store.tables["features"], feature)
    return feature


def test_a_changed_feature_makes_all_anew_and_says_so(store: Store) -> None:
    indexed(store)
    change(store, "moclip")
    report = indexed(store)
    assert report.rebuilt == ["moclip has changed since"]
    assert (report.videos, report.total) == (4, SEGMENTS)
    settings = read_segment_settings(store.refresh())
    assert settings is not None
    assert settings.spaces["motion"].fingerprint == store.refresh().features["moclip"].fingerprint


def test_what_is_not_asked_is_as_the_index_has_it(store: Store) -> None:
    indexed(store, window_s=1.0, stride_s=0.25)
    assert indexed(store).rebuilt == []
    report = indexed(store, window_s=2.0)
    assert report.rebuilt == ["the window was 1 s and is 2 s"]
    assert (report.settings.window_s, report.settings.stride_s) == (2.0, 0.25)


def test_a_space_of_another_feature(store: Store) -> None:
    (feature,) = features({"bio": 6})
    writer = FeatureWriter(store, replace(feature, settings="{}"))
    for row in writer.todo():
        if row.video_id != "one.mp4":
            writer.add(row, embedded(row.video_id, 0, row.frames or 0, {"bio": 6}))
            writer.end(row, reduced_batch=False)
    writer.finish()
    report = indexed(store, features={"appearance": "bio"})
    assert report.settings.spaces["appearance"].feature == "bio"
    found = store.refresh().tables["segments"]
    assert found.schema.field("appearance").type.list_size == 6
    assert found.read()["appearance"].null_count == 1  # the video that has none keeps its place
    assert [fault.name for fault in verify(store.place)] == ["without-feature"]
    assert indexed(store).segments == 0
    assert indexed(store, features={"appearance": "clip"}).rebuilt == ["appearance was made from bio and is from clip"]


def test_what_cannot_be_asked_for(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"Received: bio\. Expected: clip"):
        indexed(store, features={"appearance": "bio"})
    with pytest.raises(FeatureError, match="a feature of kind motion"):
        indexed(store, features={"appearance": "moclip"})
    with pytest.raises(ConfigError, match="at least 1 ms"):
        indexed(store, stride_s=0.0)
    other = make_store(tmp_path / "other", {"a.mp4": 5}, {"odd": 4})
    with pytest.raises(SearchError, match="no feature to make segments from"):
        indexed(other)
    assert "segments" not in store.refresh().tables


def test_a_video_whose_frames_are_not_whole_is_named(store: Store) -> None:
    store.tables["frames"].delete((pc.field("video_id") == "a.mp4") & (pc.field("frame_index") == 60))
    with pytest.raises(StoreDamagedError, match=r"a\.mp4.*up to frame 60.*130 frames.*verify"):
        indexed(store.refresh())


def test_a_kill_between_commits_leaves_whole_videos_and_the_rest_follows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(store, stride_s=0.9)
    monkeypatch.setattr("pipelines.index.FLUSH_ROWS", 1)
    append = Table.append
    commits: list[object] = []

    def killed(table: Table, added: object) -> None:
        if len(commits) == 2:
            raise KeyboardInterrupt
        commits.append(added)
        append(table, added)

    with monkeypatch.context() as patched:
        patched.setattr(Table, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            indexed(store, stride_s=1.0)
    assert verify(store.place) == []
    report = indexed(store)
    assert (report.known, report.videos, report.total) == (2, 2, SEGMENTS)
    assert not report.rebuilt


def test_a_large_table_gets_an_index_of_vectors_that_grows_with_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "ROWS_TO_INDEX", 300)
    monkeypatch.setattr(lance_table, "ROWS_TO_INDEX", 10)
    assert indexed(store, window_s=0.5, stride_s=0.04).exact
    add(store, "long.mp4", 400)
    report = indexed(store)
    assert report.vectors["appearance"] == report.total > 300
    assert not report.exact
    add(store, "more.mp4", 60)
    report = indexed(store)
    assert report.vectors == {"appearance": report.segments, "motion": report.segments}
    table = store.refresh().tables["segments"]
    assert table.unindexed("take") == unindexed(table, "appearance") == 0
    remove(store, "long.mp4")
    StoreWriter(store.refresh()).optimize(timedelta(0))
    table = store.refresh().tables["segments"]
    own = table.read(["video_id", "start_frame", "appearance"]).to_pylist()
    for row in own[:: len(own) // 20]:
        found = nearest_vectors(table, "appearance", np.array(row["appearance"], np.float32), 1)
        assert found.cosine[0] == pytest.approx(1, abs=2e-3)
    add(store, "much.mp4", 900)  # more than was there
    assert indexed(store).vectors["appearance"] == store.refresh().tables["segments"].count()
    assert verify(store.place) == []


def test_in_an_object_store(remote: str) -> None:
    store = make_store(remote, VIDEOS, chunk=37)
    assert indexed(store).total == SEGMENTS
    add(store, "new.mp4", 90)
    assert indexed(store).videos == 1
    hits = store.refresh().search(video="a.mp4", start_s=1, end_s=2, exclude="video")
    assert {hit.video_id for hit in hits} == {*VIDEOS, "new.mp4"} - {"a.mp4"}
    assert verify(remote) == []


def test_fragments_are_merged_once_there_are_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "FRAGMENTS", 2)
    counts = []
    for n in range(5):
        add(store, f"more/{n}.mp4", 60)
        indexed(store)
        counts.append(len(Store.open(store.place).tables["segments"].fragments()))
    assert counts[:2] == [1, 2] and max(counts) == 2 and min(counts[2:]) == 1
    kept = rows(store)
    assert len(kept) == SEGMENTS + 5 * 2 and verify(store.place) == []
