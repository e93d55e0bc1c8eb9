"""Segments hold the very flow, image vectors and labels of the store; what cannot be learned from is counted."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import Label
from tests.vimoclip.stores import flow_bytes, make_store
from vimoclip.errors import RunError, StoreDamagedError
from vimoclip.flow.encoding import decode_flow
from vimoclip.frames import vectors
from vimoclip.sequences.sequences import FrameSampling
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.motion_dataset import MotionClips, cut_clips, read_flow, read_motion_clips, rows_by_take
from vimoclip.training.splits import videos_of_split

pytestmark = pytest.mark.slow

VIDEOS = {"a.mp4": 12, "b.mp4": 5, "one.mp4": 1, "two.mp4": 2, "without.mp4": 4}


def labelled(folder: Path, keep_flow: bool = True) -> FeatureStore:
    store = make_store(folder / "store", VIDEOS, keep_flow=keep_flow)
    with writer_lock(store.place):
        writer = StoreWriter(store)
        said = {"a.mp4": "xy", "b.mp4": "y", "one.mp4": "x", "two.mp4": "x"}
        labels = [Label(video_id=name, label=label, source="t") for name, both in said.items() for label in both]
        writer.set_labels(labels, VIDEOS, "t")
        writer.flush()
    return store.refresh()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return labelled(tmp_path_factory.mktemp("segments"))


def read(store: FeatureStore, segment: int = 4, hold_flow: bool | None = None) -> MotionClips:
    return read_motion_clips(store, "clip", segment, videos_of_split(store), ["x", "y"], hold_flow=hold_flow)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=20), st.integers(1, 40))
def test_every_step_is_in_one_segment_and_none_is_too_long(lengths: list[int], segment: int) -> None:
    video, first, count = cut_clips(np.array(lengths), segment)
    for number, length in enumerate(lengths):
        own = video == number
        assert sorted(zip(first[own], count[own], strict=True)) == list(zip(first[own], count[own], strict=True))
        assert [0, *np.cumsum(count[own])][:-1] == first[own].tolist() and count[own].sum() == length
        assert own.sum() == -(-length // segment)
    assert count.min() >= 1 and count.max() <= segment


@pytest.mark.parametrize("hold", [True, False])
def test_a_segment_is_of_consecutive_frames(store: FeatureStore, hold: bool) -> None:
    segments = read(store, hold_flow=hold)
    assert segments.flow.held == hold
    assert segments.count.tolist() == [3, 4, 4, 4, 1] and segments.classes == ["x", "y"]
    ids = segments.sequences.video_ids
    batch = segments.batch(np.array([4, 1, 3]))
    assert [ids[video] for video in batch.videos] == ["two.mp4", "a.mp4", "b.mp4"]
    assert batch.counts.tolist() == [1, 4, 4] and batch.targets.tolist() == [[1, 0], [1, 1], [0, 1]]
    row = 0
    for video_id, frames in (("two.mp4", range(1, 2)), ("a.mp4", range(4, 8)), ("b.mp4", range(1, 5))):
        flow = dict(zip(*store.flow(video_id).to_pydict().values(), strict=True))
        images = vectors(store.sequence(video_id, ["clip"])["clip"])
        for frame in frames:
            assert flow[frame] == flow_bytes(zlib.crc32(video_id.encode()) + frame)
            np.testing.assert_array_equal(batch.planes[row], decode_flow(flow[frame]))
            np.testing.assert_array_equal(batch.images[row].numpy(), images[frame].astype(np.float32))
            row += 1
    assert row == len(batch.planes) == len(batch.images)


def test_what_is_left_out_is_counted(store: FeatureStore) -> None:
    report = read(store).report
    assert (report.videos, report.frames, report.segments) == (3, 16, 5)
    assert (report.unlabelled, report.one_frame, report.flowless, report.unembedded) == (1, 1, 0, 0)


def test_a_video_that_has_lost_flow_is_left_out(tmp_path: Path) -> None:
    store = labelled(tmp_path)
    (take,) = [row.take for row in store.rows() if row.video_id == "b.mp4"]
    store.tables["flow"].latest().delete((pc.field("take") == take) & (pc.field("frame_index") == 2))
    store = store.refresh()
    assert rows_by_take(store.tables["flow"])[take or 0] == 3
    segments = read(store)
    assert (segments.report.videos, segments.report.flowless) == (2, 1)
    steps = FrameSampling.of(np.array([take]), np.array([5]), None)
    with pytest.raises(StoreDamagedError, match=r"lacks frames. Received: 3 frames. Expected: 4"):
        read_flow(store.tables["flow"], steps)


def test_rows_are_found_behind_deleted_ones(tmp_path: Path) -> None:
    store = labelled(tmp_path)
    (take,) = [row.take for row in store.rows() if row.video_id == "a.mp4"]
    with writer_lock(store.place):
        writer = StoreWriter(store)
        writer.put(*(replace(row, status="removed", take=None) for row in store.rows() if row.take == take))
        writer.flush()
    store.tables["flow"].latest().delete(pc.field("take") == take)
    store = store.refresh()
    for hold in (True, False):
        batch = read(store, hold_flow=hold).batch(np.array([0]))
        flow = store.flow("b.mp4")["flow"].to_pylist()
        np.testing.assert_array_equal(batch.planes, np.stack([decode_flow(data) for data in flow]))


def test_a_store_without_flow_and_videos_without_motion_are_refused(tmp_path: Path, store: FeatureStore) -> None:
    with pytest.raises(RunError, match=r"keeps no flow.*without --no-keep-flow"):
        read(labelled(tmp_path, keep_flow=False))
    still = [row for row in store.rows() if row.frames == 1]
    with pytest.raises(RunError, match=r"to learn from. Received: 1 videos, 1 of them of one frame"):
        read_motion_clips(store, "clip", 4, still, ["x"])
    unlabelled = [row for row in store.rows() if row.video_id == "without.mp4"]
    with pytest.raises(RunError, match="1 of them without a label"):
        read_motion_clips(store, "clip", 4, unlabelled, ["x"])
