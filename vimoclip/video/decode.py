"""Video files to frames: uint8 (T, H, W, 3) RGB with times in seconds, streamed in chunks of bounded size.

`decode` runs in the calling process; vimoclip/video/decoder_process.py runs it in a child. The frames are those of a
plain PyAV decode, in decode order, turned upright. schemas/frames.py says how frames are numbered and timed.
`Sampler` chooses the frames that are stored, and `ChunkBuilder` collects frames into a `FrameChunk`.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from schemas.videos import TimeSource
from vimoclip.config.store import OnCorrupt, Sampling
from vimoclip.errors import VideoError
from vimoclip.frames import VideoDone, VideoInfo, VideoReset

CHUNK_FRAMES = 16
CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class FrameChunk:
    """T decoded frames in a row.

    A frame with stored = False is there only because the next one is stored and its motion starts here.

    Attributes:
        frames: uint8 (T, H, W, 3), upright RGB, all of one size.
        source_frame: int64 (T,), counts decoded frames.
        time_s: float64 (T,), seconds from the first frame.
        stored: bool (T,), whether the frame is stored.
        pixel_aspect: width / height of one pixel.
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
    """Collects frames as upright RGB. All frames of a video get the first one's size.

    Attributes:
        codec: name of the codec.
        aspect: width / height of one pixel, upright.
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
        """Add all of these rows, or none if one of them cannot be converted.

        Raises:
            VideoError: `too-small`.
            av.FFmpegError, ValueError: a frame cannot be converted to RGB.
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
        # One thread gives the same pixels at less cost; by default swscale starts one per core.
        rgb = self._reformatter.reformat(frame, *self._size, "rgb24", threads=1).to_ndarray()
        return np.rot90(rgb[::-1] if self._mirrored else rgb, self._turns)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames, upright. At least one frame must have been added."""
        assert self._size is not None
        return (self._size[1], self._size[0]) if self._turns % 2 else self._size

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._frames

    @property
    def full(self) -> bool:
        """Whether as much has been added as a chunk may hold."""
        return len(self._frames) >= CHUNK_FRAMES or len(self._frames) * self._frames[0].nbytes >= CHUNK_BYTES

    def take(self) -> FrameChunk:
        """The frames added since the last call, at least one, as a chunk."""
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


_SUFFIXES = """
    3g2 3gp asf avi divx dv flv gif h264 h265 hevc m2ts m2v m4v mjpeg mjpg mkv mod mov mp4 mpeg mpg mts mxf ogm ogv tod
    ts vob webm wmv y4m
"""
EXTENSIONS = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes, lower case, of the files in a folder that are taken for videos."""

ASSUMED_RATE = 25.0
MIN_SIDE = 8
"""Pixels. Flow estimators do not work on less."""
MAX_PIXELS = 1 << 27  # a damaged header may promise a frame of gigabytes


DecodeEvent = FrameChunk | VideoReset | VideoDone


CLOCK_S = 0.0005
"""Seconds by which a presentation time may be off: Matroska, WebM, FLV and ASF count in milliseconds, so that frame 1
of 30 per second is at 0.033. Without this it would share frame 0's slot, and the container would decide what is stored.
"""


class Sampler:
    """The sampling rule of a `Sampling`. It is asked once about each decoded frame, in order."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._slot = -1

    def stores(self, source_frame: int, time_s: float) -> bool:
        """Whether this frame is stored."""
        if self._sampling.every is not None:
            return source_frame % self._sampling.every == 0
        if self._sampling.fps is None:
            return True
        slot = int((time_s + CLOCK_S) * self._sampling.fps + 1e-6)  # 1e-6 for the rounding of floats
        if slot <= self._slot:
            return False
        self._slot = slot
        return True


class _UnusableTimesError(Exception):
    """A pts is missing or not larger than the one before."""


def decode(
    path: str | Path, sampling: Sampling, on_corrupt: OnCorrupt = "fail", on_frame: Callable[[], None] | None = None
) -> Iterator[DecodeEvent]:
    """Decode the frames that `sampling` stores, and the frame before each.

    Times are presentation times until one of them proves unusable; then all times must be n / rate, and the video is
    decoded again from its start.

    Args:
        path: the video file.
        sampling: which frames are stored.
        on_corrupt: whether a file that breaks after N frames fails, or its N frames are kept.
        on_frame: called after every decoded frame.

    Yields:
        FrameChunks in decode order, and at the end VideoDone, whose video_id is the path. VideoReset comes where the
        video begins again after chunks were yielded.

    Raises:
        VideoError: the file cannot be decoded; `.kind` names how.
    """
    handed_out = False
    try:
        for event in _decode(Path(path), sampling, on_corrupt, on_frame, by_pts=True):
            yield event
            handed_out = True
    except _UnusableTimesError:
        if handed_out:
            yield VideoReset(str(path))
        yield from _decode(Path(path), sampling, on_corrupt, on_frame, by_pts=False)


def _decode(
    path: Path, sampling: Sampling, on_corrupt: OnCorrupt, on_frame: Callable[[], None] | None, *, by_pts: bool
) -> Iterator[DecodeEvent]:
    try:
        container = av.open(str(path.absolute()), metadata_errors="ignore")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            "unreadable", f"{path.name} cannot be opened as a video.", received=_reason(error), hint="Is it complete?"
        ) from error
    with container:
        stream = _video_stream(container, path)
        clock = _Clock(stream, by_pts)
        chunk = ChunkBuilder(stream)
        sampler = Sampler(sampling)
        previous: Row | None = None
        n = 0
        broken = None
        frames = _frames(container, stream, path)
        while True:
            try:
                frame = next(frames, None)
                if frame is None:
                    break
                time_s = clock.time(frame, n)
                stored = sampler.stores(n, time_s)
                row = (frame, n, time_s, stored)
                if stored:
                    chunk.add([row] if previous is None or previous[-1] else [previous, row])
            except (av.FFmpegError, OSError, ValueError) as error:
                broken = _broken(path, n, error, on_corrupt)
                break
            if on_frame is not None:
                on_frame()
            if stored and chunk.full:
                yield chunk.take()
            previous = row
            n += 1
        if previous is None:
            raise VideoError("no-frames", f"{path.name} holds a video stream without a single frame.")
        if not chunk.empty:
            yield chunk.take()
        last_s = previous[2]
        fps = clock.fps(n, last_s)
        width, height = chunk.size
        end_s = last_s + 1 / fps
        info = VideoInfo(chunk.codec, width, height, chunk.aspect, fps, clock.source, n, end_s, broken)
        yield VideoDone(str(path), info)


def _video_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]  # no cover art
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "none"
        raise VideoError("no-video-stream", f"{path.name} holds no video.", received=f"streams: {kinds}")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    assert isinstance(stream, VideoStream)
    if stream.codec_context is None:
        raise VideoError("unreadable", f"No decoder is known for {path.name}.")
    stream.codec_context.thread_count = 1  # frame threads make the repair of damaged streams depend on timing
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _frames(container: av.container.InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """As `container.decode`, but an empty packet (a dropped frame) is skipped: a decoder takes it for the end.

    Raises:
        ValueError: the file was cut off, which to FFmpeg is an end like any other.
    """
    cut_off = _cut_off(container, stream)
    for packet in container.demux(stream):
        if packet.has_sidedata("encryption_info"):
            raise VideoError(
                "encrypted", f"{path.name} is encrypted.", hint="Decrypt it first: without its key it is noise."
            )
        if cut_off and packet.is_corrupt:
            break  # this packet was cut short
        if packet.size:
            yield from packet.decode()
    yield from stream.decode(None)
    if cut_off:
        raise ValueError("the file ends before its last frame")


def _cut_off(container: av.container.InputContainer, stream: VideoStream) -> bool:
    """Whether the index of an MP4 or MOV file names a frame beyond the end. Other containers' are partial, or wrong."""
    index = stream.index_entries
    return "mov" in container.format.name and len(index) > 0 and index[-1].pos + index[-1].size > container.size


def _broken(path: Path, n: int, error: Exception, on_corrupt: OnCorrupt) -> str:
    if n == 0:
        raise VideoError("unreadable", f"No frame of {path.name} can be decoded.", received=_reason(error)) from error
    kind = f"corrupt-after-{n}-frames"
    if on_corrupt == "fail":
        raise VideoError(
            kind,
            f"{path.name} decodes {n} frames and then breaks.",
            received=_reason(error),
            hint="Ingest it with --on-corrupt keep --retry-failed to keep the frames before the damage.",
        ) from error
    return kind


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Clock:
    """Times in seconds from the first frame: by pts, or n / rate."""

    def __init__(self, stream: VideoStream, by_pts: bool) -> None:
        rate = next((r for r in (stream.average_rate, stream.base_rate) if r is not None and 0 < r < 1000), None)
        self._rate = float(rate) if rate else ASSUMED_RATE
        self._time_base = stream.time_base or Fraction(1, 1)
        self._by_pts = by_pts
        self.source: TimeSource = "pts" if by_pts else ("rate" if rate else "assumed")
        self._first = self._last = 0

    def time(self, frame: VideoFrame, n: int) -> float:
        if not self._by_pts:
            return n / self._rate
        if frame.pts is None or (n > 0 and frame.pts <= self._last):
            raise _UnusableTimesError
        if n == 0:
            self._first = frame.pts
        self._last = frame.pts
        return float((frame.pts - self._first) * self._time_base)

    def fps(self, n: int, last_s: float) -> float:
        """Mean rate of n frames, the last at last_s."""
        return (n - 1) / last_s if self._by_pts and n > 1 else self._rate
