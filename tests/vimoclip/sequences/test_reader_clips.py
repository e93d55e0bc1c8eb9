"""Stretches: how videos are cut, and which labels each part has, against plain loops and by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import Label
from schemas.videos import Video
from tests.vimoclip.stores import FPS, embedded, make_store, ok_row, write_in_turns
from vimoclip.errors import StoreDamagedError
from vimoclip.frames import FrameBatch
from vimoclip.sequences.reader import TrainingClips, clip_at, clip_labels, clip_spans, read_training_clips
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter

VIDEOS = {"a.mp4": 50, "b.mp4": 10, "c.mp4": 26, "one.mp4": 1}  # 2 s, 0.4 s, 1.04 s, 0.04 s


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Videos that are written in turns, piece by piece."""
    made = make_store(tmp_path / "store", {})
    with writer_lock(made.place):
        writer = StoreWriter(made)
        takes = write_in_turns(writer, VIDEOS, 7)
        for video_id, count in VIDEOS.items():
            writer.put(ok_row(video_id, takes[video_id], count, made.fingerprint))
        writer.flush()
    return made.refresh()


def rows_of(store: FeatureStore) -> list[Video]:
    return sorted(store.rows(), key=lambda row: row.video_id)


def said(found: TrainingClips) -> list[tuple[int, int, int]]:
    return list(zip(found.video.tolist(), found.first.tolist(), found.frames.tolist(), strict=True))


def test_long_videos_are_cut_evenly_and_others_are_whole(store: FeatureStore) -> None:
    found = read_training_clips(store, rows_of(store), 0.6)
    # 2 s: four parts of 0.5 s, with the frames at 0 … 0.48, 0.52 … 0.96, 1.0 … 1.48, 1.52 … 1.96; 1.04 s: two of 0.52 s
    assert said(found) == [(0, 0, 13), (0, 13, 12), (0, 25, 13), (0, 38, 12), (1, 0, 10), (2, 0, 13), (2, 13, 13),
                           (3, 0, 1)]  # fmt: skip
    assert found.start_s.tolist() == [0, 0.5, 1.0, 1.5, -math.inf, 0, 0.52, -math.inf]
    assert found.end_s.tolist() == [0.5, 1.0, 1.5, 2.0, math.inf, 0.52, 1.04, math.inf]
    assert found.bounds.tolist() == [0, 4, 5, 7, 8]


@pytest.mark.parametrize("window_s", [None, 2.0, 60.0])
def test_a_window_as_long_as_the_longest_cuts_nothing(store: FeatureStore, window_s: float | None) -> None:
    found = read_training_clips(store, rows_of(store), window_s)
    assert said(found) == [(video, 0, count) for video, count in enumerate(VIDEOS.values())]
    assert np.isneginf(found.start_s).all() and np.isposinf(found.end_s).all()


def test_a_part_between_two_frames_is_no_stretch(store: FeatureStore) -> None:
    found = read_training_clips(store, rows_of(store), 0.01)
    assert said(found) == [(video, first, 1) for video, count in enumerate(VIDEOS.values()) for first in range(count)]
    own = found.video == 0
    assert np.allclose(found.start_s[own], np.arange(50) / FPS) and np.allclose(
        (found.end_s - found.start_s)[own], 0.01
    )


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=30).map(lambda gaps: np.cumsum([0, *gaps]) / 30),
    st.floats(0.0011, 3),
)
def test_frames_lie_in_the_part_that_a_plain_loop_finds(time_s: np.ndarray, window_s: float) -> None:
    duration = float(time_s[-1]) + 1 / 30
    (parts,) = clip_spans(np.array([duration]), window_s)
    assert duration / parts <= window_s + 1e-5 and (parts == 1 or duration / (parts - 1) > window_s)
    at = clip_at(time_s, np.array(duration), np.array(parts))
    for time, found in zip(time_s.tolist(), at.tolist(), strict=True):
        starts = [part for part in range(int(parts)) if part * duration / int(parts) - 1e-6 <= time]
        assert found == starts[-1]


def test_what_floats_round_does_not_decide() -> None:
    assert clip_spans(np.array([0.1 * 3, 3 * 0.7, 2.0000001, 2.1]), 0.1).tolist() == [3, 21, 20, 21]
    third = np.array(0.3), np.array(3)
    assert clip_at(np.array([0.1 - 1e-12, 0.2 - 1e-12, 0.2 + 1e-12, 0.30001]), *third).tolist() == [1, 2, 2, 2]


def labelled(store: FeatureStore, *labels: tuple[str, str, float, float]) -> FeatureStore:
    with writer_lock(store.place):
        writer = StoreWriter(store)
        rows = [Label(video_id=v, label=name, source="t", start_s=a, end_s=b) for v, name, a, b in labels]
        writer.set_labels(rows, VIDEOS, "t")
        writer.flush()
    return store.refresh()


def test_each_stretch_has_the_labels_it_shares_half_of(store: FeatureStore) -> None:
    store = labelled(
        store,
        ("a.mp4", "whole", -math.inf, math.inf),
        ("a.mp4", "runs", 0.3, 1.3),  # 0.2 s of the first part, all of the second, 0.3 s of the third
        ("a.mp4", "eats", 1.4, 1.55),  # 0.1 s in the third part
        ("a.mp4", "calls", 1.5, 1.5),
        ("b.mp4", "runs", 0.1, 0.2),
        ("b.mp4", "calls", 77.0, 77.0),
        ("c.mp4", "none of these", 0.0, 0.1),
    )
    rows, classes = rows_of(store), ["calls", "eats", "runs", "whole"]
    found = clip_labels(store, rows, read_training_clips(store, rows, 0.6), classes)
    assert found.tolist() == [
        [0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1],
        [1, 0, 1, 0],  # not cut: all labels of the video
        [0, 0, 0, 0], [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]  # fmt: skip


def test_a_video_of_unknown_length(store: FeatureStore) -> None:
    rows = rows_of(store)
    rows[2] = replace(rows[2], duration_s=None)
    with pytest.raises(StoreDamagedError, match=r"c\.mp4 does not say how long"):
        read_training_clips(store, rows, 1.0)
    assert len(read_training_clips(store, rows, None).video) == 4


def test_a_frame_that_is_missing(store: FeatureStore) -> None:
    take = next(row.take for row in store.rows() if row.video_id == "a.mp4")
    store.tables["frames"].delete((pc.field("take") == take) & (pc.field("frame_index") == 20))
    with pytest.raises(StoreDamagedError, match=r"Received: 49 of a\.mp4\. Expected: 50"):
        read_training_clips(store.refresh(), rows_of(store), 1.0)


def test_times_decide_and_not_the_number_of_frames(tmp_path: Path) -> None:
    """Of 40 frames, the first ten are a second apart, the others 40 ms."""
    store = make_store(tmp_path / "store", {})
    time_s = np.concatenate([np.arange(10.0), 10 + np.arange(30) / FPS])

    def at(frames: FrameBatch, first: int) -> FrameBatch:
        return replace(frames, time_s=time_s[first : first + len(frames.frame_index)])

    with writer_lock(store.place):
        writer = StoreWriter(store)
        writer.add(take := writer.new_take(), at(embedded("a.mp4", 0, 25), 0))
        writer.add(take, at(embedded("a.mp4", 25, 15), 25))
        writer.put(ok_row("a.mp4", take, 40, store.fingerprint, duration_s=float(time_s[-1]) + 1 / FPS))
        writer.flush()
    store = store.refresh()
    found = read_training_clips(store, store.rows(), 6.0)  # 11.2 s
    assert said(found) == [(0, 0, 6), (0, 6, 34)]
