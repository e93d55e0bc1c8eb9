"""Windows over the frames of videos, and their mean direction: what a segment is, and what prediction scores.

Sums are exact: a value of a unit fp16 vector is a multiple of 2^-24 of at most 1, so float64 holds the sum of half a
billion of them to the last bit. A window's mean does not depend on the pieces in which its frames came.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vimoclip.config.base import check_window
from vimoclip.errors import ConfigError
from vimoclip.frames import Embeddings, FrameBatch, FrameEvent, Idle, VideoDone, VideoFailed, VideoReset

CLOCK_S = 1e-6
"""Seconds. A frame this little before a window's start is in it: the rounding of floats must not decide."""


@dataclass(frozen=True, eq=False)
class Window:
    """The frames of one video in [start_s, end_s).

    Attributes:
        start_s: seconds from the video's first frame.
        end_s: the first moment after the window.
        frames: its frames, at least one.
    """

    start_s: float
    end_s: float
    frames: FrameBatch

    @property
    def start_frame(self) -> int:
        """The frame_index of the first frame."""
        return int(self.frames.frame_index[0])

    @property
    def end_frame(self) -> int:
        """One past the frame_index of the last frame."""
        return int(self.frames.frame_index[-1]) + 1


def spans(duration_s: float, window_s: float, stride_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The spans of a video's windows: one begins every stride, and the last one ends with the video.

    Args:
        duration_s: length of the video, seconds. If it is no longer than a window, it is one window.
        window_s: length of a window, seconds.
        stride_s: seconds from the start of a window to the start of the next.

    Returns:
        Starts and ends in seconds, fp64 (n,) each.
    """
    last = duration_s - window_s
    if last <= CLOCK_S:
        return np.zeros(1), np.array([duration_s])
    starts = np.append(np.arange(np.ceil((last - CLOCK_S) / stride_s)) * stride_s, last)
    return starts, starts + window_s


def frames_in(time_s: NDArray[np.float64], start_s: float, end_s: float) -> tuple[int, int]:
    """Find the frames of a span: those in [start_s, end_s), or, where it lies between two, the nearest to its middle.

    Args:
        time_s: of the frames of a video, ascending, fp64 (n,), n > 0.
        start_s: where the span starts, in seconds.
        end_s: the first moment after it.

    Returns:
        The first of them, and one past the last.
    """
    first, last = np.searchsorted(time_s, [start_s - CLOCK_S, end_s - CLOCK_S], "left").tolist()
    if first >= last:
        near = np.clip([first - 1, first], 0, len(time_s) - 1)
        first = int(near[np.abs(time_s[near] - (start_s + end_s) / 2).argmin()])
        last = first + 1
    return first, last


def stored_rate(frames: int, duration_s: float) -> float:
    """How many frames a second a video is stored with, on average.

    Args:
        frames: how many are stored.
        duration_s: of the video.
    """
    return frames / duration_s if duration_s > 0 else 0.0


_RATE_SLACK = 0.95
"""A window may be this share of two frames long: at 2 frames a second of 25, stored frames are 0.48 or 0.52 s apart."""


def too_short(window_s: float, rate: float) -> bool:
    """Whether a window is shorter than two frames at a rate.

    Args:
        window_s: length of the window, seconds.
        rate: frames a second.
    """
    return window_s * rate < 2 * _RATE_SLACK


def too_short_error(window_s: float, rate: float, hint: str = "") -> ConfigError:
    """The error of a window that is `too_short`, which names the rate.

    Args:
        window_s: length of the window, seconds.
        rate: stored frames a second.
        hint: what the error advises.
    """
    return ConfigError(
        "The window is shorter than two stored frames.",
        received=f"{window_s:g} s, at {rate:.3g} stored frames a second",
        expected=f"a window of at least {2 / rate:.3g} s",
        hint=hint,
    )


def check_window_rate(window_s: float | None, videos: Iterable[tuple[int | None, float | None]]) -> None:
    """Refuse windows that are shorter than two stored frames in every video that they would cut.

    Args:
        window_s: length of a window, seconds; None cuts nothing.
        videos: how many frames each has, and its length in seconds.

    Raises:
        ConfigError: no video that is longer than a window has two frames in one; names the highest rate.
    """
    if window_s is None:
        return
    cut = [stored_rate(frames, long) for frames, long in videos if frames and long is not None and long > window_s]
    if cut and too_short(window_s, max(cut)):
        raise too_short_error(window_s, max(cut), "Or ingest into another store with a higher --fps.")


def mean_direction(total: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A sum of unit vectors, fp64 (D,), scaled to unit length; None where it is zero."""
    length = np.linalg.norm(total)
    return total / length if length > 0 else None


def vector_sum(found: Embeddings) -> NDArray[np.float64]:
    """The exact sum, fp64 (D,), of the vectors of frames; zero where no frame has one."""
    values = found.values if found.present.all() else found.values[found.present]
    total: NDArray[np.float64] = values.sum(axis=0, dtype=np.float64)
    return total


def iter_windows(
    events: Iterable[FrameEvent], window_s: float | None, stride_s: float | None = None
) -> Iterator[Window | VideoReset | VideoDone | VideoFailed | Idle]:
    """Turn a stream of frames into one of windows. Every other event passes, after the windows that it completes.

    Windows lie where `spans` puts them. The length of a video is known only at its end: until then a window is complete
    when a frame past its end has come. Memory holds the frames of one window, or, where a video is one window, all of
    its frames: 2 KB each for two features of 512.

    Args:
        events: the frames of one video after another.
        window_s: length of a window, seconds; None makes one window of each video.
        stride_s: seconds from the start of a window to the start of the next; None is half a window.

    Yields:
        Windows in order of time, and the other events.

    Raises:
        ConfigError: the window or the stride is not a time of at least 1 ms.
    """
    if window_s is not None:
        stride_s = window_s / 2 if stride_s is None else stride_s
        check_window(window_s, stride_s)
    return _windows(events, window_s, stride_s or 0.0)


def _windows(
    events: Iterable[FrameEvent], window_s: float | None, stride_s: float
) -> Iterator[Window | VideoReset | VideoDone | VideoFailed | Idle]:
    cutter = _Cutter(window_s, stride_s)
    for event in events:
        if isinstance(event, FrameBatch):
            yield from cutter.add(event)
            continue
        if isinstance(event, VideoDone):
            yield from cutter.flush(event.info.duration_s)
        if not isinstance(event, Idle):
            cutter = _Cutter(window_s, stride_s)
        yield event


class _Cutter:
    """The windows of one video, from its frames in order, however they come in pieces."""

    def __init__(self, window_s: float | None, stride_s: float) -> None:
        self._window_s, self._stride_s = window_s, stride_s
        self._parts: list[FrameBatch] = []
        self._next = 0  # the number of the next window

    def add(self, frames: FrameBatch) -> Iterator[Window]:
        if not len(frames):
            return
        self._parts.append(frames)
        if self._window_s is None:
            return
        held, last_s = FrameBatch.concat(self._parts), float(frames.time_s[-1])
        while (end_s := self._next * self._stride_s + self._window_s) - CLOCK_S <= last_s:
            yield from _cut(held, self._next * self._stride_s, end_s, end_s)
            self._next += 1
        # Wherever the video ends, its last window begins no earlier than one window before `last_s`.
        least = min(self._next * self._stride_s, last_s - self._window_s) - CLOCK_S
        first = int(np.searchsorted(held.time_s, least, "left"))
        self._parts = [held[first:].copy()]

    def flush(self, duration_s: float) -> Iterator[Window]:
        if not self._parts:
            return
        held = FrameBatch.concat(self._parts)
        if self._window_s is None:
            yield Window(0.0, duration_s, held)
            return
        starts, ends = spans(duration_s, self._window_s, self._stride_s)
        for n in range(self._next, len(starts)):
            past = float(ends[n]) if n < len(starts) - 1 else np.inf  # no frame is left out
            yield from _cut(held, float(starts[n]), float(ends[n]), past)


def _cut(held: FrameBatch, start_s: float, end_s: float, past_s: float) -> Iterator[Window]:
    """The window of the frames from `start_s` up to `past_s`; none where it lies between two frames."""
    first, last = np.searchsorted(held.time_s, [start_s - CLOCK_S, past_s - CLOCK_S], "left").tolist()
    if first < last:
        yield Window(start_s, end_s, held[first:last])
