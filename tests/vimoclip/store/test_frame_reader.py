"""Frames in order, however they lie: from workers in turns, with rows deleted between them, in any cut."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vimoclip.stores import embedded, make_store, ok_row
from vimoclip.errors import StoreDamagedError
from vimoclip.frames import FrameBatch, VideoDone, vectors
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.frame_reader import FrameReader
from vimoclip.store.table import Table
from vimoclip.store.writer import StoreWriter

COLUMNS = ["video_id", "frame_index", "clip", "moclip", "flow_speed"]
LENGTHS = {"b.mp4": 7, "a.mp4": 10, "c.mp4": 1, "a/z.mp4": 4}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Videos that were written in turns, two frames at a time, over several commits, between rows that were deleted."""
    where = tmp_path_factory.mktemp("turns") / "store"
    store = make_store(where, {"first.mp4": 3})
    writer = StoreWriter(store)
    takes = {video_id: writer.new_take() for video_id in LENGTHS}
    dropped = writer.new_take()
    for first in range(0, 10, 2):
        writer.add(dropped, embedded("dropped", first, 2))
        for video_id, take in takes.items():
            if first < LENGTHS[video_id]:
                writer.add(take, embedded(video_id, first, min(2, LENGTHS[video_id] - first)))
        if first in (2, 6):
            writer.flush()
    for video_id, take in takes.items():
        writer.put(ok_row(video_id, take, LENGTHS[video_id], store.fingerprint))
    writer.flush()
    writer.drop_orphan_rows()
    return store.refresh()


@settings(max_examples=30, deadline=None)
@given(st.permutations([*LENGTHS, "first.mp4"]), st.integers(1, 5), st.integers(1, 30))
def test_every_video_as_the_store_has_it_in_the_order_asked_for(
    store: FeatureStore, ids: list[str], count: int, rows: int
) -> None:
    videos = [row for row in store.live_videos() if row.video_id in ids[:count]]
    chunks = list(FrameReader(store, videos).chunks(ids[:count], COLUMNS, rows))
    expected = pa.concat_tables([store.sequence(video_id, COLUMNS) for video_id in ids[:count]])
    assert pa.concat_tables(chunks).equals(expected)
    assert all(rows <= chunk.num_rows <= 2 * rows for chunk in chunks[:-1])
    assert 1 <= chunks[-1].num_rows <= 2 * rows


def test_frames_that_lie_together_are_read_together(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_store(Path(str(store.place) + "-even"), {f"{n:02}.mp4": 5 for n in range(20)}, chunk=2)
    frames = FrameReader(made, made.live_videos())
    reads: list[tuple[int, int]] = []
    real = Table.slice

    def counted(self: Table, first: int, count: int, columns: list[str]) -> pa.Table:
        reads.append((first, count))
        return real(self, first, count, columns)

    monkeypatch.setattr(Table, "slice", counted)
    assert sum(chunk.num_rows for chunk in frames.chunks(made.videos()["video_id"], COLUMNS, 40)) == 100
    assert reads == [(0, 40), (40, 40), (80, 20)]


@pytest.mark.parametrize(
    ("lost", "found"), [(0, "4 rows, in order up to frame 0"), (2, "4 rows, in order up to frame 2"), (4, "4 rows")]
)
def test_a_video_with_a_frame_missing_is_refused(tmp_path: Path, lost: int, found: str) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 5, "b.mp4": 3})
    store.tables["frames"].delete((pc.field("video_id") == "a.mp4") & (pc.field("frame_index") == lost))
    store = store.refresh()
    with pytest.raises(StoreDamagedError, match=rf"a\.mp4.*{found}.*5 frames.*verify"):
        FrameReader(store, store.live_videos())
    good = [row for row in store.live_videos() if row.video_id == "b.mp4"]
    assert [rows.num_rows for rows in FrameReader(store, good).chunks(["b.mp4"], COLUMNS)] == [3]


def test_a_video_with_a_frame_twice_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 5})
    frames = store.tables["frames"]
    frames.append(frames.read(where=pc.field("frame_index") == 3))
    store = store.refresh()
    with pytest.raises(StoreDamagedError, match="6 rows"):
        FrameReader(store, store.live_videos())


@settings(max_examples=10, deadline=None)
@given(st.permutations([*LENGTHS, "first.mp4"]), st.integers(1, 30))
def test_a_stream_of_videos_holds_the_frames_of_each_and_ends_each(
    store: FeatureStore, ids: list[str], rows: int
) -> None:
    live = {row.video_id: row for row in store.live_videos()}
    parts: dict[str, list[FrameBatch]] = {}
    ended = []
    for event in FrameReader(store, live.values()).iter_videos([live[video_id] for video_id in ids], ["clip"], rows):
        if isinstance(event, VideoDone):
            ended.append((event.video_id, event.info.duration_s))
        else:
            assert event.video_id not in [video_id for video_id, _ in ended]
            parts.setdefault(event.video_id, []).append(event)
    assert ended == [(video_id, live[video_id].duration_s) for video_id in ids]
    for video_id, own in parts.items():
        found, stored = FrameBatch.concat(own), store.sequence(video_id)
        assert found.frame_index.tolist() == list(range(live[video_id].frames or 0))
        assert np.array_equal(found.features["clip"].values, vectors(stored["clip"]))
        assert np.array_equal(found.time_s, stored["time_s"].to_numpy())
