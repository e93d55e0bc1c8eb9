"""Windows: where they lie, the frames of each, and their exact mean direction, however the frames come."""

import itertools
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vimoclip.stores import frames_of, info_of
from vimoclip.config.base import check_window
from vimoclip.errors import ConfigError
from vimoclip.frames import Embeddings, FrameBatch, Idle, VideoDone, VideoFailed, VideoReset
from vimoclip.windows import Window, check_window_rate, frames_in, iter_windows, mean_direction, spans, vector_sum


def test_one_begins_every_stride_and_the_last_ends_with_the_video() -> None:
    starts, ends = spans(5.2, 2.0, 1.0)
    assert starts.tolist() == [0, 1, 2, 3, pytest.approx(3.2)]
    assert ends[-1] == pytest.approx(5.2)
    assert spans(5.0, 2.0, 1.0)[0].tolist() == [0, 1, 2, 3]  # the last regular one reaches the end by itself


@pytest.mark.parametrize("duration", [0.04, 1.0, 2.0])
def test_a_video_no_longer_than_a_window_is_one(duration: float) -> None:
    starts, ends = spans(duration, 2.0, 1.0)
    assert (starts.tolist(), ends.tolist()) == ([0], [duration])


@given(st.floats(0.01, 500), st.floats(0.1, 20), st.floats(0.1, 20))
def test_windows_cover_the_video(duration: float, window: float, stride: float) -> None:
    starts, ends = spans(duration, window, stride)
    assert starts[0] == 0 and ends[-1] == pytest.approx(duration)
    assert np.all(np.diff(starts) > 0) and np.all(np.diff(starts) <= stride + 1e-9)
    assert np.allclose(ends - starts, min(window, duration))


def unit(n: int, dim: int, seed: int = 0) -> np.ndarray:
    z = np.random.default_rng(seed).normal(size=(n, dim))
    return np.asarray(z / np.linalg.norm(z, axis=1)[:, None], np.float16)


def counting(time_s: np.ndarray) -> FrameBatch:
    n = len(time_s)
    values = np.arange(2 * n, dtype=np.float16).reshape(n, 2)
    return frames_of(time_s, {"clip": Embeddings(values, np.ones(n, np.float32))})


def windows_of(
    frames: FrameBatch, duration_s: float, cuts: list[int], window_s: float | None, stride_s: float | None = None
) -> list[Window]:
    """The windows of a video whose frames come in pieces."""
    bounds = [0, *sorted({cut % (len(frames) + 1) for cut in cuts}), len(frames)]
    pieces = [frames[first:last] for first, last in itertools.pairwise(bounds)]
    done = VideoDone(frames.video_id, info_of(duration_s))
    *found, last = iter_windows([*pieces, Idle(), done], window_s, stride_s)
    assert last is done
    return [event for event in found if isinstance(event, Window)]


TIMES = st.lists(st.integers(1, 9), min_size=1, max_size=60).map(
    lambda steps: np.concatenate([[0], np.cumsum(steps[1:])]).astype(np.float64) * 0.04
)


@settings(max_examples=200, deadline=None)
@given(TIMES, st.integers(1, 40), st.integers(1, 40), st.lists(st.integers(0, 100), max_size=8))
def test_they_are_those_of_spans_with_all_of_their_frames(
    time_s: np.ndarray, window: int, stride: int, cuts: list[int]
) -> None:
    duration = float(time_s[-1]) + 0.04
    window_s, stride_s = window * 0.05, stride * 0.05
    found = windows_of(counting(time_s), duration, cuts, window_s, stride_s)
    expected = []
    for n, (start, end) in enumerate(zip(*spans(duration, window_s, stride_s), strict=True)):
        last = n == len(spans(duration, window_s, stride_s)[0]) - 1
        inside = (time_s >= start - 1e-6) & ((time_s < end - 1e-6) | last)
        if inside.any():
            expected.append((start, end, time_s[inside].tolist()))
    assert [(each.start_s, each.end_s, each.frames.time_s.tolist()) for each in found] == expected
    numbers = {float(t): n for n, t in enumerate(time_s)}
    for each in found:  # vectors go with their times
        at = [numbers[t] for t in each.frames.time_s.tolist()]
        assert each.frames.features["clip"].values[:, 0].tolist() == [float(np.float16(2 * n)) for n in at]
        assert (each.start_frame, each.end_frame) == (at[0], at[-1] + 1)


def test_what_is_held_is_a_window_however_long_the_video() -> None:
    held: list[int] = []
    pieces: list[weakref.ref[Any]] = []

    def coming() -> Iterator[FrameBatch]:
        for n in range(200):
            made = counting(np.arange(n * 25, n * 25 + 25) / 25)
            pieces.append(weakref.ref(made))
            yield made
            del made
            held.append(sum(piece() is not None for piece in pieces))

    found = list(zip(iter_windows(coming(), 2.0, 1.0), range(10_000), strict=False))
    assert len(found) == 198 and max(held) <= 3  # pieces of a second each


def test_a_whole_video_is_one_window() -> None:
    (found,) = windows_of(counting(np.arange(7) / 25), 0.28, [3, 5], None)
    assert (found.start_s, found.end_s, len(found.frames)) == (0.0, 0.28, 7)


def test_a_stride_is_by_default_half_a_window() -> None:
    halves = windows_of(counting(np.arange(100) / 25), 4.0, [], 2.0)
    assert [each.start_s for each in halves] == [0.0, 1.0, 2.0]


def test_other_events_pass_and_a_video_that_begins_again_leaves_nothing() -> None:
    frames, done = counting(np.arange(50) / 25), VideoDone("a.mp4", info_of(2.0))
    reset, failed = VideoReset("a.mp4"), VideoFailed("b.mp4", "unreadable", "why")
    found = list(iter_windows([frames[:30], reset, frames, done, frames[:40], failed, frames, done], 1.0, 1.0))
    names = [type(event).__name__ for event in found]
    twice = ["Window", "Window", "VideoDone"]
    assert names == ["Window", "VideoReset", *twice, "Window", "VideoFailed", *twice]


@pytest.mark.parametrize(("window", "stride"), [(0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (1.0, 0.0)])
def test_no_windows(window: float, stride: float) -> None:
    with pytest.raises(ConfigError, match="is a time"):
        iter_windows([], window, stride)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_mean_of_the_frames_in_each_window_however_they_are_cut(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    times = np.cumsum([0.0, *data.draw(st.lists(st.floats(0.01, 3), min_size=n - 1, max_size=n - 1))])
    present = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    duration, *of = float(times[-1]) + 0.04, data.draw(st.floats(0.05, 5)), data.draw(st.floats(0.05, 5))
    vectors = unit(n, 4, n)
    frames = frames_of(times, {"clip": Embeddings(vectors, present.astype(np.float32))})
    found = windows_of(frames, duration, data.draw(st.lists(st.integers(1, n), max_size=5)), *of)
    expected: list[tuple[int, int, Any]] = []
    for start, end in zip(*spans(duration, *of), strict=True):
        inside = np.flatnonzero((times >= start - 1e-6) & (times < end - 1e-6))
        if end == spans(duration, *of)[1][-1]:
            inside = np.flatnonzero(times >= start - 1e-6)
        if len(inside) == 0:
            continue
        rows = vectors[inside][present[inside]].astype(np.float64)
        mean = rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0)) if len(rows) else None
        expected.append((inside[0], inside[-1] + 1, mean))
    assert [(w.start_frame, w.end_frame) for w in found] == [row[:2] for row in expected]
    for window, (_, _, vector) in zip(found, expected, strict=True):
        own = mean_direction(vector_sum(window.frames.features["clip"]))
        assert (own is None) == (vector is None)
        if own is not None:
            assert np.array_equal(own, vector)  # to the last bit: sums are exact
    assert found[0].start_frame == 0 and found[-1].end_frame == n


def test_vectors_that_cancel_out_have_no_direction() -> None:
    z = unit(1, 4)
    both = Embeddings(np.concatenate([z, -z]), np.ones(2, np.float32))
    assert mean_direction(vector_sum(both)) is None


@pytest.mark.parametrize(
    ("start_s", "end_s", "found"),
    [
        (0.0, 1.0, (0, 2)),  # both that lie in it
        (0.5, 0.6, (1, 2)),
        (0.51, 0.6, (1, 2)),  # between two frames: the nearest
        (0.9, 0.95, (2, 3)),
        (0.7, 0.8, (1, 2)),  # in the middle: the earlier one
        (5.0, 6.0, (2, 3)),  # after the last
        (-2.0, -1.0, (0, 1)),
    ],
)
def test_a_span_between_two_frames_takes_the_nearest(start_s: float, end_s: float, found: tuple[int, int]) -> None:
    assert frames_in(np.array([0.0, 0.5, 1.0]), start_s, end_s) == found


@pytest.mark.parametrize(
    ("window_s", "videos", "refused"),
    [
        (None, [(2, 100.0)], False),
        (0.5, [(60, 60.0)], True),
        (2.0, [(60, 60.0)], False),
        (1.0, [(20, 10.04)], False),  # two frames a second, and a little more than ten seconds
        (0.5, [(60, 60.0), (1500, 60.0)], False),  # one of them has enough
        (0.5, [(60, 60.0), (13, 0.5)], True),  # the other is no longer than a window
        (0.5, [(1, 0.04), (12, 0.48)], False),
        (0.5, [(0, None), (None, 3.0)], False),
    ],
)
def test_windows_shorter_than_two_stored_frames(
    window_s: float | None, videos: list[tuple[int | None, float | None]], refused: bool
) -> None:
    if not refused:
        check_window_rate(window_s, videos)
        return
    with pytest.raises(ConfigError, match=r"0\.5 s, at 1 stored frames a second.*a window of at least 2 s"):
        check_window_rate(window_s, videos)


@pytest.mark.parametrize("of", [(0, 1), (2, 0), (-1, 1), (float("nan"), 1), (1, float("inf"))])
def test_windows_that_are_none(of: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="at least 1 ms"):
        check_window(*of)
