"""Windows: where they lie, and the exact mean direction of the frames in each, however these come."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vimoclip.config.base import check_window
from vimoclip.errors import ConfigError
from vimoclip.windows import Window, WindowMeans, spans


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


Of = tuple[float, float, float]


def fed(times: np.ndarray, vectors: np.ndarray, present: np.ndarray, cuts: list[int], of: Of) -> list[Window]:
    means = WindowMeans(*of, ["appearance"])
    out: list[Window] = []
    for first, last in itertools.pairwise(sorted({0, *cuts, len(times)})):
        part = slice(first, last)
        values = np.where(present[part, None], vectors[part], 0).astype(np.float64)
        out += means.add(times[part], {"appearance": values}, {"appearance": present[part]})
    return out + list(means.rest())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_mean_of_the_frames_in_each_window_however_they_are_cut(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    times = np.cumsum([0.0, *data.draw(st.lists(st.floats(0.01, 3), min_size=n - 1, max_size=n - 1))])
    present = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    of = (float(times[-1]) + 0.04, data.draw(st.floats(0.05, 5)), data.draw(st.floats(0.05, 5)))
    vectors = unit(n, 4, n)
    found = fed(times, vectors, present, data.draw(st.lists(st.integers(1, n), max_size=5)), of)
    expected: list[tuple[int, int, Any]] = []
    for start, end in zip(*spans(*of), strict=True):
        inside = np.flatnonzero((times >= start - 1e-6) & (times < end - 1e-6))
        if end == spans(*of)[1][-1]:
            inside = np.flatnonzero(times >= start - 1e-6)
        if len(inside) == 0 or (expected and expected[-1][:2] == (inside[0], inside[-1] + 1)):
            continue
        rows = vectors[inside][present[inside]].astype(np.float64)
        mean = rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0)) if len(rows) else None
        expected.append((inside[0], inside[-1] + 1, None if mean is None else mean.astype(np.float16)))
    assert [(w.start_frame, w.end_frame) for w in found] == [row[:2] for row in expected]
    for window, (_, _, vector) in zip(found, expected, strict=True):
        own = window.vectors["appearance"]
        assert (own is None) == (vector is None)
        if own is not None:
            assert np.array_equal(own, vector)  # to the last bit: sums are exact
    assert found[0].start_frame == 0 and found[-1].end_frame == n


def test_vectors_that_cancel_out_have_no_direction() -> None:
    z = unit(1, 4)
    (window,) = fed(np.array([0, 0.04]), np.concatenate([z, -z]), np.ones(2, bool), [], (0.08, 2.0, 1.0))
    assert window.vectors["appearance"] is None


@pytest.mark.parametrize("of", [(0, 1), (2, 0), (-1, 1), (float("nan"), 1), (1, float("inf"))])
def test_windows_that_are_none(of: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="at least 1 ms"):
        check_window(*of)
