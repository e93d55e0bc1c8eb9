"""WindowRows: the frames of each window of one video, from its frames in order, however they come in pieces.

Windows lie where those of `vimoclip.windows.spans` do. The length of a video is known at its end only: until then, a
window is complete when a frame past its end has come. What is held is one window's frames, and of a whole video, which
is one window, all of them: 2 KB a frame for two features of 512.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vimoclip.frames import FrameRows
from vimoclip.windows import CLOCK_S, check_window, spans


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
