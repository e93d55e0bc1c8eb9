"""WindowRows: the frames of each window of one video, from its frames in order, however they come in pieces.

Windows lie where those of `vimoclip.windows.spans` do. The length of a video is known at its end only: until then, a
window is complete when a frame past its end has come. What is held is one window's frames, and of a whole video, which
is one window, all of them: 2 KB a frame for two features of 512.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vimoclip.steps import Steps
from vimoclip.windows import CLOCK_S, check_window, spans


@dataclass(frozen=True)
class FrameRows:
    """n consecutive stored frames. time_s: fp64 (n,). values: fp16 (n, ΣD), the vectors of each role side by side.
    norms: fp32 (n, roles), 0 where there is no vector."""

    time_s: NDArray[np.float64]
    values: NDArray[np.float16]
    norms: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.time_s)

    def at(self, rows: "slice | NDArray[np.int64]") -> "FrameRows":
        """These of them."""
        return FrameRows(self.time_s[rows], self.values[rows], self.norms[rows])


@dataclass(frozen=True)
class WindowOfRows:
    """The frames in [start_s, end_s)."""

    start_s: float
    end_s: float
    rows: FrameRows


def steps_of(rows: FrameRows, most: int | None, motion: int | None) -> FrameRows:
    """What a model reads of a window: what it would read of a video of these frames alone (see vimoclip/steps.py).

    So the first frame is left out, whose motion runs from a frame before the window. Of a single frame the image is
    read, and no motion. motion: the number of its role, where it is one.
    """
    found = rows.at(Steps.alone(len(rows), most))
    if len(rows) == 1 and motion is not None:
        found.norms[:, motion] = 0  # a copy: the rows were picked by number
    return found


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
        held, last_s = self._held(), float(rows.time_s[-1])
        while (end_s := self._next * self._stride_s + self._window_s) - CLOCK_S <= last_s:
            yield from _cut(held, self._next * self._stride_s, end_s, end_s)
            self._next += 1
        # The last window begins after `last_s` less a window, wherever the video ends.
        least = min(self._next * self._stride_s, last_s - self._window_s) - CLOCK_S
        first = int(np.searchsorted(held.time_s, least, "left"))
        self._parts = [FrameRows(held.time_s[first:].copy(), held.values[first:].copy(), held.norms[first:].copy())]

    def rest(self, duration_s: float) -> Iterator[WindowOfRows]:
        """There are no more frames, and the video is so long; the windows that are left come out."""
        held = self._held()
        if self._window_s is None:
            yield WindowOfRows(0.0, duration_s, held)
            return
        starts, ends = spans(duration_s, self._window_s, self._stride_s)
        for n in range(self._next, len(starts)):
            past = float(ends[n]) if n < len(starts) - 1 else np.inf  # no frame is left out
            yield from _cut(held, float(starts[n]), float(ends[n]), past)

    def _held(self) -> FrameRows:
        if len(self._parts) == 1:
            return self._parts[0]
        columns = ("time_s", "values", "norms")
        return FrameRows(*(np.concatenate([getattr(part, name) for part in self._parts]) for name in columns))


def _cut(held: FrameRows, start_s: float, end_s: float, past_s: float) -> Iterator[WindowOfRows]:
    """The window of the frames from `start_s` up to `past_s`; none where it lies between two frames."""
    first, last = np.searchsorted(held.time_s, [start_s - CLOCK_S, past_s - CLOCK_S], "left").tolist()
    if first < last:
        yield WindowOfRows(start_s, end_s, held.at(slice(first, last)))
