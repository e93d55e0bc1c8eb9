"""Deep gray pictures, of 9 to 16 bits, as 8 bits: scaled by what the video holds, not by what its samples could.

A thermal camera's 14 bits in samples of 16, or a microscope's 12, use a small part of the scale; shown by the whole of
it, they are one shade of gray. The levels are those of the whole video, so that a frame does not depend on the others
of its batch, and brightness can be compared between frames. Colour pictures keep their format's own range.
"""

import sys
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

OUTLIERS = 1e-4
"""Share of all samples at either end that may be clipped: dead pixels of a sensor."""
WORTH = 0.9
"""Samples are clipped only where what is left is less than this share of the range."""


@dataclass(frozen=True)
class Levels:
    """Which samples become black and white.

    Attributes:
        low: the sample that becomes 0.
        high: the sample that becomes 255.
        top: the largest that the format can hold.
    """

    low: int
    high: int
    top: int

    def __str__(self) -> str:
        """As `videos.levels` names them."""
        return f"{self.low}-{self.high} of 0-{self.top}"

    def to_rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """A deep gray frame as uint8 (H, W, 3)."""
        scale = np.arange(self.top + 1, dtype=np.float64) - self.low
        table = np.clip(np.rint(scale * 255 / (self.high - self.low)), 0, 255).astype(np.uint8)
        gray = table[np.minimum(samples(frame), self.top)]
        return np.repeat(gray[..., None], 3, axis=2)


class Histogram:
    """Counts the samples of deep gray frames."""

    def __init__(self) -> None:
        self._counts = np.zeros(1 << 16, np.int64)
        self._top = 0

    def add(self, frame: VideoFrame) -> None:
        """Count a frame's samples, if it is a deep gray one."""
        if bits := deep_bits(frame):
            self._top = max(self._top, (1 << bits) - 1)
            self._counts += np.bincount(samples(frame).reshape(-1), minlength=1 << 16)

    def levels(self) -> Levels | None:
        """The levels of all that was counted; None if nothing was. One value alone keeps its place in the scale."""
        held = np.flatnonzero(self._counts)
        if not len(held):
            return None
        low, high = int(held[0]), min(int(held[-1]), self._top)
        sums = np.cumsum(self._counts)
        within = [int(np.searchsorted(sums, sums[-1] * share, "right")) for share in (OUTLIERS, 1 - OUTLIERS)]
        if 0 < within[1] - within[0] < WORTH * (high - low):
            low, high = within
        return Levels(low, high, self._top) if low < high else Levels(0, self._top, self._top)


def deep_bits(frame: VideoFrame) -> int:
    """Bits of a deep gray frame's samples; 0 for any other frame."""
    if not frame.format.name.startswith("gray") or len(frame.format.components) != 1:
        return 0
    bits = frame.format.components[0].bits
    return bits if 8 < bits <= 16 else 0


def samples(frame: VideoFrame) -> NDArray[np.uint16]:
    """A deep gray frame's samples, uint16 (H, W)."""
    plane = frame.planes[0]
    order = ">" if frame.format.name.endswith("be") else "<"
    rows: NDArray[np.uint16] = np.frombuffer(cast(bytes, plane), f"{order}u2").reshape(-1, plane.line_size // 2)
    values = rows[: frame.height, : frame.width]
    return values if order == ("<" if sys.byteorder == "little" else ">") else values.astype(np.uint16)
