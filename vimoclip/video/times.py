"""The times of a video's frames: FFmpeg's guess at each, and a local repair of those that cannot be.

A file's times are taken as `ffprobe -show_entries frame=best_effort_timestamp` gives them. Frames stay in decode order,
so these times must strictly increase. The largest set of frames whose times do is trusted; a frame outside it, or
without a time, lies evenly between the trusted frames around it. What is trusted depends on the whole file: one time
that is far ahead contradicts all that follow, and is the one that gives way.

`StreamClock` decides as frames arrive, where it can, and raises `UndecidedError` where the rest of the file must be
seen first; `repaired` then decides about all of them together. Both give the same times.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from schemas.videos import TimeSource

ASSUMED_RATE = 25.0
MAX_RATE = 10_000  # frames a second; cameras reach it, and more is a time base that was taken for a rate
HELD_FRAMES = 16
HELD_BYTES = 8 << 20
LOCAL_GAPS = 5
MAX_RANGES = 20

Ticks = int | Fraction


class UndecidedError(Exception):
    """The times so far leave it open which of them are to be trusted."""


class BestEffort:
    """FFmpeg's guess_correct_pts (libavcodec/decode.c): pts, until more of them than of the dts did not increase.

    Attributes:
        first_pts: the first frame's pts. Where it has none, its dts is late by as many frames as the decoder holds
            back, and does not say where the frame is on a player's clock.
    """

    def __init__(self) -> None:
        self.first_pts: int | None = None
        self._begun = False
        self._faulty_pts = self._faulty_dts = 0
        self._last_pts: int | None = None
        self._last_dts: int | None = None

    def __call__(self, frame: VideoFrame) -> int | None:
        """The time of the next decoded frame in the stream's time base, or None where it has none."""
        pts, dts = frame.pts, frame.dts
        if not self._begun:
            self.first_pts, self._begun = pts, True
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
        if pts is not None or dts is not None:
            self._last_dts = pts if dts is None else dts
            self._last_pts = dts if pts is None else pts
        return pts if pts is not None and (dts is None or self._faulty_pts <= self._faulty_dts) else dts


@dataclass
class Repairs:
    """Which frames' times were repaired.

    Attributes:
        count: how many.
        ranges: the first of them, as (first, last) frame; one more than `text` names.
    """

    count: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def add(self, n: int) -> None:
        """Note frame n, which is after all that were noted."""
        self.count += 1
        if self.ranges and self.ranges[-1][1] == n - 1 and len(self.ranges) <= MAX_RANGES:
            self.ranges[-1] = (self.ranges[-1][0], n)
        elif len(self.ranges) <= MAX_RANGES:
            self.ranges.append((n, n))

    def text(self) -> str | None:
        """The frames as `videos.repaired_at` names them."""
        named = [f"{first}" if first == last else f"{first}-{last}" for first, last in self.ranges[:MAX_RANGES]]
        return ", ".join(named) + (", ..." if len(self.ranges) > MAX_RANGES else "") if named else None


def frame_rate(stream: VideoStream, container: str) -> Fraction | None:
    """The rate that the container names, if it can be one.

    Args:
        stream: of an open file.
        container: the name of its format.
    """
    for rate in (stream.average_rate, stream.base_rate):
        # Where a container counts in milliseconds and names no rate, FFmpeg takes its clock for one.
        clock = rate == 1000 and any(name in container for name in ("matroska", "flv", "asf"))
        if rate is not None and 0 < rate <= MAX_RATE and not clock:
            return rate
    return None


class StreamClock:
    """Times in seconds from the first frame, decided as frames arrive.

    A frame whose time does not increase, or is missing, waits for the next whose time does; both give way to the whole
    file's view (`UndecidedError`) if the times that did not increase rise among themselves, for then they may be right
    and what came before wrong.

    Attributes:
        source: as `schemas.videos.Video.time_source`.
        repairs: the frames whose times were repaired.
        given: the times that were given out, by frame.
    """

    def __init__(self, stream: VideoStream, container: str) -> None:
        self.rate = frame_rate(stream, container)
        self.repairs = Repairs()
        self.given = array("d")
        self._time_base = stream.time_base or Fraction(1, 1)
        self._numerator, self._denominator = self._time_base.numerator, self._time_base.denominator
        self._guess = BestEffort()
        self._first = self._last = 0
        self._gaps: deque[Ticks] = deque(maxlen=LOCAL_GAPS)
        self._waiting: list[VideoFrame] = []
        self._lowest: int | None = None

    @property
    def source(self) -> TimeSource:
        return "repaired" if self.repairs.count else "pts"

    @property
    def first_s(self) -> float | None:
        """The first frame's time on the file's own clock; None where it has no pts."""
        return None if self._guess.first_pts is None else float(self._first * self._time_base)

    def add(self, frame: VideoFrame) -> list[tuple[VideoFrame, float]]:
        """Take the next frame; the frames, itself the last, whose times are now decided, with their times.

        Raises:
            UndecidedError: the rest of the file has to be seen first.
        """
        ticks = self._guess(frame)
        if ticks is not None and ticks > self._last and not self._waiting and self.given:  # nearly every frame
            self._gaps.append(ticks - self._last)
            self._last = ticks
            time_s = (ticks - self._first) * self._numerator / self._denominator  # as of a Fraction, to the last bit
            self.given.append(time_s)
            return [(frame, time_s)]
        if not self.given:
            if ticks is None:
                raise UndecidedError
            self._first = self._last = ticks
            return self._give([frame], [ticks], 0)
        if ticks is not None and ticks > self._last:
            count = len(self._waiting)
            step = Fraction(ticks - self._last, count + 1)
            self._gaps.append(step)
            decided = [*self._waiting, frame]
            times: list[Ticks] = [*(self._last + step * k for k in range(1, count + 1)), ticks]
            self._waiting, self._last, self._lowest = [], ticks, None
            return self._give(decided, times, count)
        if ticks is not None:
            if self._lowest is not None and ticks > self._lowest:
                raise UndecidedError
            self._lowest = ticks
        self._waiting.append(frame)
        bound = min(HELD_FRAMES, max(2, HELD_BYTES // max(1, 3 * frame.width * frame.height)))
        if len(self._waiting) > bound:
            raise UndecidedError
        return []

    def end(self) -> list[tuple[VideoFrame, float]]:
        """The frames that still wait, at the file's end, with their times.

        Raises:
            UndecidedError: nothing says how far apart they are.
        """
        if not self._waiting:
            return []
        if not self._gaps:
            raise UndecidedError
        step = median(map(Fraction, self._gaps))
        times: list[Ticks] = [self._last + step * k for k in range(1, len(self._waiting) + 1)]
        decided, self._waiting = self._waiting, []
        return self._give(decided, times, len(times))

    def _give(self, frames: list[VideoFrame], ticks: list[Ticks], repaired: int) -> list[tuple[VideoFrame, float]]:
        for n in range(len(self.given), len(self.given) + repaired):
            self.repairs.add(n)
        times = [float((t - self._first) * self._time_base) for t in ticks]
        self.given.extend(times)
        return list(zip(frames, times, strict=True))


class FileClock:
    """The times of all frames of a file, decided together.

    Args:
        stream: the file's stream.
        container: the name of its format.
        guesses: what `BestEffort` gave, frame by frame.
        first_pts: its `first_pts`.

    Attributes:
        source: as `schemas.videos.Video.time_source`.
        repairs: the frames whose times were repaired.
        first_s: the first frame's time on the file's own clock; None where it has no pts.
    """

    def __init__(
        self, stream: VideoStream, container: str, guesses: Sequence[int | None], first_pts: int | None
    ) -> None:
        self.rate = frame_rate(stream, container)
        self.repairs = Repairs()
        self.first_s: float | None = None
        self._next = 0
        self._times: NDArray[np.float64] | None = None
        base = stream.time_base or Fraction(1, 1)
        ticks, trusted = repaired(guesses, Fraction(1) / (self.rate or Fraction(ASSUMED_RATE)) / base)
        if len(ticks):
            self.first_s = None if first_pts is None else float(ticks[0] * base)
            self._times = np.array([float((t - ticks[0]) * base) for t in ticks])
            for n in np.flatnonzero(~trusted).tolist():
                self.repairs.add(n)

    @property
    def source(self) -> TimeSource:
        if self._times is None:
            return "rate" if self.rate else "assumed"
        return "repaired" if self.repairs.count else "pts"

    def seconds(self, n: int) -> float:
        """Frame n's time from the first frame."""
        return n / float(self.rate or ASSUMED_RATE) if self._times is None else float(self._times[n])

    def agrees_with(self, given: Sequence[float]) -> bool:
        """Whether these are the times of the first frames."""
        return all(self.seconds(n) == time_s for n, time_s in enumerate(given))

    def add(self, frame: VideoFrame) -> list[tuple[VideoFrame, float]]:
        """As `StreamClock.add`: the next frame and its time."""
        self._next += 1
        return [(frame, self.seconds(self._next - 1))]

    def end(self) -> list[tuple[VideoFrame, float]]:
        """As `StreamClock.end`: no frame waits."""
        return []


def repaired(guesses: Sequence[int | None], period: Ticks) -> tuple[list[Ticks], NDArray[np.bool_]]:
    """Make the times of a video's frames strictly increase, moving as few of them as that takes.

    A frame that is not trusted lies evenly between the trusted ones around it. Before the first and after the last of
    these it keeps its distance to its neighbour, where its own time gives one (a clock that was set back), or else it
    is a frame's usual distance away: the median of the nearest gaps.

    Args:
        guesses: the file's times, (n,) in ticks, None where it has none.
        period: of a frame, in ticks, where the times themselves do not say.

    Returns:
        The times, (n,) in ticks, and a bool (n,) that says which are the file's own. Both are empty where no more than
        one of several frames has a time: nothing is known then.
    """
    trusted = _longest_rise(guesses)
    if not trusted or (len(trusted) == 1 and len(guesses) > 1):
        return [], np.empty(0, np.bool_)
    times: list[Ticks] = [0] * len(guesses)
    own = np.zeros(len(guesses), np.bool_)
    own[trusted] = True
    known = [t for t in (guesses[n] for n in trusted) if t is not None]
    for n, t in zip(trusted, known, strict=True):
        times[n] = t
    gaps = [
        Fraction(known[k + 1] - known[k], trusted[k + 1] - trusted[k]) for k in range(len(trusted) - 1)
    ]  # ticks a frame
    for k, step in enumerate(gaps):
        for n in range(trusted[k] + 1, trusted[k + 1]):
            times[n] = known[k] + step * (n - trusted[k])
    step = median(gaps[:LOCAL_GAPS]) if gaps else Fraction(period)
    for n in range(trusted[0] - 1, -1, -1):
        times[n] = times[n + 1] - (_rise(guesses[n], guesses[n + 1]) or step)
    step = median(gaps[-LOCAL_GAPS:]) if gaps else Fraction(period)
    for n in range(trusted[-1] + 1, len(guesses)):
        times[n] = times[n - 1] + (_rise(guesses[n - 1], guesses[n]) or step)
    return times, own


def _rise(before: int | None, after: int | None) -> int:
    """By how much the time rises, if it does; else 0."""
    return 0 if before is None or after is None else max(0, after - before)


def _longest_rise(values: Sequence[int | None]) -> list[int]:
    """Positions of the longest strictly increasing subsequence; of two candidates for a place, the earlier."""
    # Patience sorting prefers what it meets last, hence from the end, with the signs turned.
    tails: list[int] = []  # the smallest -value that ends a run of each length
    ends: list[int] = []  # its position
    after = [-1] * len(values)
    for n in range(len(values) - 1, -1, -1):
        value = values[n]
        if value is None:
            continue
        length = bisect_left(tails, -value)
        after[n] = ends[length - 1] if length else -1
        if length == len(tails):
            tails.append(-value)
            ends.append(n)
        else:
            tails[length], ends[length] = -value, n
    chain: list[int] = []
    n = ends[-1] if ends else -1
    while n >= 0:
        chain.append(n)
        n = after[n]
    return chain
