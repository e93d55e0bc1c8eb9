"""Windows over the frames of one video, and the mean direction of each: what a segment is.

Sums are exact: a value of a unit fp16 vector is a multiple of 2^-24 of at most 1, so that float64 holds the sum of half
a billion of them to the last bit. A segment's vectors do not depend on the pieces in which its frames came.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vimoclip.config.base import check_window
from vimoclip.frames import FrameRows

CLOCK_S = 1e-6
"""A frame so little before a window's start is in it: what floats round must not decide."""


@dataclass(frozen=True)
class Window:
    """Frames [start_frame, end_frame), in [start_s, end_s). vectors: by space, fp16 (D,) of unit length, or None."""

    start_frame: int
    end_frame: int
    start_s: float
    end_s: float
    vectors: Mapping[str, NDArray[np.float16] | None]


def spans(duration_s: float, window_s: float, stride_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where windows start and end, in seconds, (n,) each: one every stride, and the last one ends with the video.

    A video that is no longer than a window is one.
    """
    last = duration_s - window_s
    if last <= CLOCK_S:
        return np.zeros(1), np.array([duration_s])
    starts = np.append(np.arange(np.ceil((last - CLOCK_S) / stride_s)) * stride_s, last)
    return starts, starts + window_s


def mean_direction(total: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A sum (D,) of unit vectors, made unit length; None where it has no direction."""
    length = np.linalg.norm(total)
    return total / length if length > 0 else None


@dataclass
class _Open:
    """A window that is being filled: its first frame and the one after its last; sums by space, with their counts."""

    start_frame: int
    end_frame: int
    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)


class WindowMeans:
    """The windows of one video, from its frames in order."""

    def __init__(self, duration_s: float, window_s: float, stride_s: float, spaces: list[str]) -> None:
        self._starts, self._ends = spans(duration_s, window_s, stride_s)
        self._bounds = self._starts - CLOCK_S, np.append(self._ends[:-1] - CLOCK_S, np.inf)  # no frame is left out
        self._spaces = spaces
        self._open: dict[int, _Open] = {}
        self._first = 0  # of the windows that may still get a frame
        self._last_range = (-1, -1)
        self.frames = 0

    def add(
        self,
        time_s: NDArray[np.float64],
        vectors: Mapping[str, NDArray[np.float64]],
        present: Mapping[str, NDArray[np.bool_]],
    ) -> Iterator[Window]:
        """The next n frames; whatever windows they complete come out.

        vectors: by space, (n, D), zero where a frame has none; present: by space, (n,), whether it has.
        """
        starts, ends = self._bounds
        after = int(np.searchsorted(starts, time_s[-1], "right"))  # the first window that starts later
        low = np.searchsorted(time_s, starts[self._first : after], "left").tolist()
        high = np.searchsorted(time_s, ends[self._first : after], "left").tolist()
        for n, first, last in zip(range(self._first, after), low, high, strict=True):
            if first == last:
                continue
            window = self._open.setdefault(n, _Open(self.frames + first, 0))
            window.end_frame = self.frames + last
            for space in self._spaces:
                if present[space][first:last].any():
                    total = vectors[space][first:last].sum(axis=0)
                    window.sums[space] = total + window.sums[space] if space in window.sums else total
        self.frames += len(time_s)
        yield from self._close(int(np.searchsorted(ends, time_s[-1], "right")))

    @property
    def oldest(self) -> int:
        """The first frame that a window which is to come may begin with."""
        return min((window.start_frame for window in self._open.values()), default=self.frames)

    def rest(self) -> Iterator[Window]:
        """There are no more frames; the windows that were open come out."""
        yield from self._close(len(self._starts))

    def _close(self, until: int) -> Iterator[Window]:
        for n in range(self._first, until):
            window = self._open.pop(n, None)
            if window is None or (window.start_frame, window.end_frame) == self._last_range:
                continue  # a window between two frames, or with those of the one before
            self._last_range = window.start_frame, window.end_frame
            vectors: dict[str, NDArray[np.float16] | None] = {}
            for space in self._spaces:
                mean = mean_direction(window.sums[space]) if space in window.sums else None
                vectors[space] = None if mean is None else mean.astype(np.float16)
            yield Window(*self._last_range, float(self._starts[n]), float(self._ends[n]), vectors)
        self._first = max(self._first, until)


# WindowRows: the frames of each window of one video, from its frames in order, however they come in pieces.
#
# Windows lie where those of `vimoclip.windows.spans` do. The length of a video is known at its end only: until then, a
# window is complete when a frame past its end has come. What is held is one window's frames, and of a whole video,
# which is one window, all of them: 2 KB a frame for two features of 512.


@dataclass(frozen=True)
class WindowOfRows:
    """The frames in [start_s, end_s)."""

    start_s: float
    end_s: float
    rows: FrameRows


class WindowRows:
    """The windows of one video: one every `stride_s` of `window_s` each, the last of which ends with the video; one
    window of all of it where `window_s` is None.

    Attributes: `frames`, how many have come.

    Raises:
        ConfigError: no windows.
    """

    def __init__(self, window_s: float | None, stride_s: float | None = None) -> None:
        if window_s is not None:
            stride_s = window_s / 2 if stride_s is None else stride_s
            check_window(window_s, stride_s)
        self._window_s, self._stride_s = window_s, stride_s or 0.0
        self._parts: list[FrameRows] = []
        self._next = 0  # the number of the window to come
        self.frames = 0

    def add(self, rows: FrameRows) -> Iterator[WindowOfRows]:
        """The next frames; the windows that they complete come out."""
        self.frames += len(rows)
        self._parts.append(rows)
        if self._window_s is None or not len(rows):
            return
        held, last_s = FrameRows.joined(self._parts), float(rows.time_s[-1])
        while (end_s := self._next * self._stride_s + self._window_s) - CLOCK_S <= last_s:
            yield from _cut(held, self._next * self._stride_s, end_s, end_s)
            self._next += 1
        # The last window begins after `last_s` less a window, wherever the video ends.
        least = min(self._next * self._stride_s, last_s - self._window_s) - CLOCK_S
        first = int(np.searchsorted(held.time_s, least, "left"))
        self._parts = [held.at(slice(first, None)).copy()]

    def rest(self, duration_s: float) -> Iterator[WindowOfRows]:
        """There are no more frames, and the video is so long; the windows that are left come out."""
        held = FrameRows.joined(self._parts)
        if self._window_s is None:
            yield WindowOfRows(0.0, duration_s, held)
            return
        starts, ends = spans(duration_s, self._window_s, self._stride_s)
        for n in range(self._next, len(starts)):
            past = float(ends[n]) if n < len(starts) - 1 else np.inf  # no frame is left out
            yield from _cut(held, float(starts[n]), float(ends[n]), past)


def _cut(held: FrameRows, start_s: float, end_s: float, past_s: float) -> Iterator[WindowOfRows]:
    """The window of the frames from `start_s` up to `past_s`; none where it lies between two frames."""
    first, last = np.searchsorted(held.time_s, [start_s - CLOCK_S, past_s - CLOCK_S], "left").tolist()
    if first < last:
        yield WindowOfRows(start_s, end_s, held.at(slice(first, last)))
