"""Runs of decoded frames: upright RGB, all of one size, a bounded number of bytes at a time."""

import struct
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vimoclip.errors import VideoError
from vimoclip.flow import MIN_SIDE

CHUNK_FRAMES = 16
CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class FrameChunk:
    """A run of decoded frames: frames uint8 (T, H, W, 3), source_frame int64 (T,), time_s float64 (T,), stored bool
    (T,).

    A frame with stored = False is there only because the next one is stored and its motion starts here.
    """

    frames: np.ndarray
    source_frame: np.ndarray
    time_s: np.ndarray
    stored: np.ndarray
    pixel_aspect: float


Row = tuple[VideoFrame, int, float, bool]  # a frame, its source_frame, its time_s, whether it is stored


def _mirrors(frame: VideoFrame) -> bool:
    """Whether the display matrix turns the picture over, as front cameras do: upside down, and then by its rotation."""
    matrix = cast(SideData | None, frame.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return False
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    return bool(a * d < b * c)


class ChunkBuilder:
    """Collects frames as upright RGB; all of one video get the first one's size.

    Attributes: `codec`, its name; `aspect`, width / height of one pixel, upright.
    """

    def __init__(self, stream: VideoStream) -> None:
        assert stream.codec_context is not None
        self.codec = stream.codec_context.name
        self.aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._turns = 0
        self._mirrored = False
        self._frames: list[np.ndarray] = []
        self._rows: list[tuple[int, float, bool]] = []

    def add(self, rows: list[Row]) -> None:
        """Add all of these rows, or none when one of them cannot be converted.

        Raises:
            VideoError: `too-small`. av.FFmpegError, ValueError: a frame cannot be converted to RGB.
        """
        frames = [self._upright(row[0]) for row in rows]
        self._frames += frames
        self._rows += [row[1:] for row in rows]

    def _upright(self, frame: VideoFrame) -> np.ndarray:
        if self._size is None:
            self._size = (frame.width, frame.height)
            if min(self._size) < MIN_SIDE:
                raise VideoError(
                    "too-small", "The frames are too small for optical flow.",
                    received=f"{frame.width}x{frame.height}", expected=f"at least {MIN_SIDE} pixels a side",
                )  # fmt: skip
            # The rotation is that of the display matrix, degrees counter-clockwise; a broken matrix gives nonsense.
            if frame.rotation % 90 == 0 and abs(frame.rotation) <= 360:
                self._turns, self._mirrored = frame.rotation // 90 % 4, _mirrors(frame)
            if self._turns % 2:
                self.aspect = 1 / self.aspect
        # One thread gives the same pixels for less; by default swscale starts one a core.
        rgb = self._reformatter.reformat(frame, *self._size, "rgb24", threads=1).to_ndarray()
        return np.rot90(rgb[::-1] if self._mirrored else rgb, self._turns)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright, of the frames. There must have been one."""
        assert self._size is not None
        return (self._size[1], self._size[0]) if self._turns % 2 else self._size

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._frames

    @property
    def full(self) -> bool:
        """Whether as much waits as a chunk may hold."""
        return len(self._frames) >= CHUNK_FRAMES or len(self._frames) * self._frames[0].nbytes >= CHUNK_BYTES

    def take(self) -> FrameChunk:
        """What has been added since the last chunk was taken, which must be something."""
        source_frame, time_s, stored = zip(*self._rows, strict=True)
        chunk = FrameChunk(
            np.stack(self._frames),
            np.array(source_frame, np.int64),
            np.array(time_s, np.float64),
            np.array(stored, np.bool_),
            self.aspect,
        )
        self._frames, self._rows = [], []
        return chunk
