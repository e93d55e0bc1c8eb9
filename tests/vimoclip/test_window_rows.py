"""Windows of frames that come in pieces: those of `spans`, whatever the pieces."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vimoclip.errors import ConfigError
from vimoclip.frames import FrameRows, FrameVectors
from vimoclip.windows import WindowOfRows, WindowRows, spans


def rows(time_s: np.ndarray) -> FrameRows:
    n = len(time_s)
    values = np.arange(2 * n, dtype=np.float16).reshape(n, 2)
    return FrameRows(time_s, FrameVectors({"clip": values}, {"clip": np.ones(n, np.float32)}))


def windows_of(found: WindowRows, time_s: np.ndarray, duration_s: float, cuts: list[int]) -> list[WindowOfRows]:
    made = rows(time_s)
    bounds = [0, *sorted({cut % (len(time_s) + 1) for cut in cuts}), len(time_s)]
    pieces = [made.at(slice(first, last)) for first, last in itertools.pairwise(bounds)]
    return [window for piece in pieces for window in found.add(piece)] + list(found.rest(duration_s))


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
    found = windows_of(WindowRows(window_s, stride_s), time_s, duration, cuts)
    expected = []
    for n, (start, end) in enumerate(zip(*spans(duration, window_s, stride_s), strict=True)):
        last = n == len(spans(duration, window_s, stride_s)[0]) - 1
        inside = (time_s >= start - 1e-6) & ((time_s < end - 1e-6) | last)
        if inside.any():
            expected.append((start, end, time_s[inside].tolist()))
    assert [(each.start_s, each.end_s, each.rows.time_s.tolist()) for each in found] == expected
    numbers = {float(t): n for n, t in enumerate(time_s)}
    for each in found:  # vectors go with their times
        at = [numbers[t] for t in each.rows.time_s.tolist()]
        assert each.rows.vectors.values["clip"][:, 0].tolist() == [float(np.float16(2 * n)) for n in at]


def test_what_is_held_is_a_window_however_long_the_video() -> None:
    found, held = WindowRows(2.0, 1.0), []
    for n in range(200):
        list(found.add(rows(np.arange(n * 25, n * 25 + 25) / 25)))
        held.append(sum(len(part) for part in found._parts))
    assert max(held) <= 76 and found.frames == 5000


def test_a_whole_video_is_one_window() -> None:
    (found,) = windows_of(WindowRows(None), np.arange(7) / 25, 0.28, [3, 5])
    assert (found.start_s, found.end_s, len(found.rows)) == (0.0, 0.28, 7)


def test_a_stride_is_by_default_half_a_window() -> None:
    time_s = np.arange(100) / 25
    halves = windows_of(WindowRows(2.0), time_s, 4.0, [])
    assert [each.start_s for each in halves] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("window", "stride"), [(0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (1.0, 0.0)])
def test_no_windows(window: float, stride: float) -> None:
    with pytest.raises(ConfigError, match="is a time"):
        WindowRows(window, stride)
