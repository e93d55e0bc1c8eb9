"""The times of frames: FFmpeg's guess, and what is done about those that cannot be."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimoclip.video.times import (
    HELD_FRAMES,
    BestEffort,
    FileClock,
    Repairs,
    StreamClock,
    UndecidedError,
    frame_rate,
    repaired,
)

NONE = None


def stream(rate: Fraction | int | None = 10, base_rate: Fraction | None = None, ticks: int = 1000) -> Any:
    average = None if rate is None else Fraction(rate)
    return SimpleNamespace(average_rate=average, base_rate=base_rate, time_base=Fraction(1, ticks))


def frame(pts: int | None, dts: int | None = None, side: int = 16) -> Any:
    return SimpleNamespace(pts=pts, dts=dts, width=side, height=side)


def clocked(pts: Sequence[int | None]) -> tuple[list[float], StreamClock]:
    clock = StreamClock(stream(), "mov")
    times = [time_s for t in pts for _, time_s in clock.add(frame(t))]
    return times + [time_s for _, time_s in clock.end()], clock


def whole(pts: Sequence[int | None]) -> tuple[list[float], FileClock]:
    clock = FileClock(stream(), "mov", pts, pts[0])
    return [clock.seconds(n) for n in range(len(pts))], clock


@pytest.mark.parametrize(
    ("pts", "dts", "expected"),
    [
        ([0, 1, 2], [0, 1, 2], [0, 1, 2]),
        (
            [NONE, NONE, NONE],
            [2, 3, NONE],
            [2, 3, NONE],
        ),  # AVI with B-frames, the last from an emptied decoder
        ([1, 4, 3, 5], [3, 4, 5, 6], [1, 4, 5, 6]),  # a pts that falls: the dts from there on
        ([1, 4, 3, 5], [3, 3, 3, 6], [1, 4, 3, 5]),  # of which more do not rise
        ([5, 6, NONE, 8], [NONE, NONE, NONE, NONE], [5, 6, NONE, 8]),
        ([0, 1, 1, 3], [0, 1, 1, 3], [0, 1, 1, 3]),
    ],
)
def test_the_guess_is_ffmpegs(pts: list[int | None], dts: list[int | None], expected: list[int | None]) -> None:
    guess = BestEffort()
    assert [guess(frame(p, d)) for p, d in zip(pts, dts, strict=True)] == expected
    assert guess.first_pts == pts[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 10, 20, 30], [0, 10, 20, 30]),
        ([0, 10, 10, 30], [0, 10, 20, 30]),  # equal
        ([0, 10, NONE, NONE, 40], [0, 10, 20, 30, 40]),  # missing
        ([0, 10, 5, 30], [0, 10, 20, 30]),  # falls
        ([0, 10, 9000, 30, 40, 50], [0, 10, 20, 30, 40, 50]),  # far ahead, and what follows contradicts it
        ([0, 10, 9000, 9010, 9020], [0, 10, 9000, 9010, 9020]),  # a pause, which nothing contradicts
        ([9000, 10, 20, 30], [0, 10, 20, 30]),  # the first
        ([NONE, NONE, 20, 30], [0, 10, 20, 30]),
        ([0, 10, 20, NONE, NONE], [0, 10, 20, 30, 40]),
        ([0, 10, 20, 1], [0, 10, 20, 30]),
        ([0, 1700, 1710, 1710, 1730], [0, 1700, 1710, 1720, 1730]),  # a pause and an equal time after it
        ([100, 110, 125, 0, 10, 30], [100, 110, 125, 137.5, 147.5, 167.5]),  # set back: its own distances
        ([0, 10, 20, 100, 110, 120, 130], [0, 10, 20, 100, 110, 120, 130]),
        ([0, 5, 105, 100, 110], [0, 5, 105, 107.5, 110]),
        ([7], [7]),
    ],
)
def test_only_times_that_cannot_be_are_moved(given: list[int | None], expected: list[float]) -> None:
    times, own = repaired(given, 10)
    assert [float(t) for t in times] == expected
    assert [n for n, kept in enumerate(own) if not kept] == [n for n, t in enumerate(expected) if t != given[n]]


@pytest.mark.parametrize("given", [[], [NONE], [NONE, NONE, NONE], [NONE, 5, NONE], [5, 5, 5, 5]])
def test_without_two_times_nothing_is_known(given: list[int | None]) -> None:
    assert not repaired(given, 10)[0]


GUESSES = st.lists(st.one_of(st.none(), st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=40)


@given(GUESSES)
def test_times_rise_and_as_many_as_can_are_the_files(guesses: list[int | None]) -> None:
    times, own = repaired(guesses, 3)
    longest: list[int] = []  # of a rise that ends at each frame
    for n, value in enumerate(guesses):
        before = (
            [0] if value is None else [longest[k] for k, t in enumerate(guesses[:n]) if t is not None and t < value]
        )
        longest.append(0 if value is None else 1 + max(before, default=0))
    if len(times):
        assert all(a < b for a, b in itertools.pairwise(times))
        assert own.sum() == max(longest)
        assert all(times[n] == guesses[n] for n in np.flatnonzero(own))
    else:
        assert max(longest) <= 1


@given(
    steps=st.lists(st.tuples(st.integers(1, 30), st.sampled_from("......nef")), min_size=1, max_size=60),
    high=st.integers(1, 2000),
)
def test_what_is_decided_at_once_is_what_the_whole_file_says(steps: list[tuple[int, str]], high: int) -> None:
    pts: list[int | None] = []
    for n, (step, what) in enumerate(steps):
        known = sum(s for s, _ in steps[: n + 1])
        pts.append({"n": None, "e": known - step, "f": known - min(known, high)}.get(what, known))
    try:
        times, clock = clocked(pts)
    except UndecidedError:
        return
    expected, files = whole(pts)
    assert times == expected
    assert (clock.source, clock.repairs, clock.first_s) == (files.source, files.repairs, files.first_s)
    assert files.agrees_with(clock.given)


def test_two_times_that_rise_against_the_last_are_not_decided_at_once() -> None:
    clock = StreamClock(stream(), "mov")
    assert len(clock.add(frame(0))) == len(clock.add(frame(900))) == 1
    assert clock.add(frame(20)) == [] and clock.add(frame(10)) == []
    with pytest.raises(UndecidedError):
        clock.add(frame(30))
    assert not FileClock(stream(), "mov", [0, 900, 20, 30], 0).agrees_with(clock.given)


def test_few_frames_wait() -> None:
    for side, held in ((16, HELD_FRAMES), (2000, 2)):
        clock = StreamClock(stream(), "mov")
        clock.add(frame(0))
        for _ in range(held):
            assert clock.add(frame(None, side=side)) == []
        with pytest.raises(UndecidedError):
            clock.add(frame(None, side=side))


def test_a_first_frame_without_a_time_waits_for_the_file() -> None:
    with pytest.raises(UndecidedError):
        StreamClock(stream(), "mov").add(frame(None))


def test_where_nothing_gives_times_the_rate_does() -> None:
    for rate, source, step in ((10, "rate", 0.1), (None, "assumed", 0.04)):
        clock = FileClock(stream(rate), "h264", [NONE] * 5, NONE)
        assert (clock.source, clock.first_s, clock.repairs.count) == (source, None, 0)
        assert [clock.seconds(n) for n in range(5)] == pytest.approx([n * step for n in range(5)])


def test_the_place_in_the_file_is_known_by_pts_alone() -> None:
    assert whole([500, 600])[1].first_s == clocked([500, 600])[1].first_s == 0.5
    clock = StreamClock(stream(), "avi")
    clock.add(frame(None, 300))
    assert clock.first_s is None


@pytest.mark.parametrize(
    ("rate", "ticks", "container", "expected"),
    [
        (1000, 16000, "mov,mp4,m4a,3gp,3g2,mj2", 1000),
        (10000, 10000, "avi", 10000),
        (1000, 1000, "avi", 1000),
        (90000, 90000, "mpegts", None),
        (1000, 1000, "matroska,webm", None),
        (1000, 1000, "flv", None),
        (0, 1000, "mov", None),
        (None, 1000, "mov", None),
    ],
)
def test_rates_that_can_be(rate: int | None, ticks: int, container: str, expected: int | None) -> None:
    assert frame_rate(stream(rate, ticks=ticks), container) == expected
    assert frame_rate(stream(rate, Fraction(5), ticks=ticks), container) == (expected or 5)


def test_which_were_repaired_in_words() -> None:
    repairs = Repairs()
    assert repairs.text() is None
    for n in (100, *range(230, 246), 300):
        repairs.add(n)
    assert (repairs.count, repairs.text()) == (18, "100, 230-245, 300")
    for n in range(1000, 1100, 2):
        repairs.add(n)
    words = repairs.text()
    assert repairs.count == 68 and words is not None and words.endswith(", 1032, ...") and words.count(",") == 20
