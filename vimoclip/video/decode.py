"""Video files to frames: uint8 (T, H, W, 3) RGB with times in seconds, streamed in chunks of bounded size.

`decode` runs in the calling process; vimoclip/video/decoder_process.py runs it in a child. The frames are those of a
plain PyAV decode, in decode order, turned upright. schemas/frames.py says how frames are numbered and timed.
`Sampler` chooses the frames that are stored, and `ChunkBuilder` collects frames into a `FrameChunk`.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import Flags as ContainerFlags
from av.format import Flags as FormatFlags
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vimoclip.config.store import OnCorrupt, Sampling
from vimoclip.errors import VideoError
from vimoclip.frames import VideoDone, VideoInfo, VideoReset
from vimoclip.video.levels import Histogram, Levels, deep_bits
from vimoclip.video.times import ASSUMED_RATE, BestEffort, FileClock, StreamClock, UndecidedError
from vimoclip.video.truncation import CONTINUITY, shortfall

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


def _name_side_data(kinds: type[SideDataType], value: int) -> SideDataType:
    """Make up a name for a type of side data that PyAV does not know, such as EXIF and the eyes of spatial video.

    PyAV names all side data of a frame before it gives any, and would refuse the frame.
    """
    member: Any = object.__new__(kinds)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return cast(SideDataType, kinds._value2member_map_.setdefault(value, member))


SideDataType._missing_ = classmethod(_name_side_data)  # type: ignore[assignment]


def _mirrors(frame: VideoFrame) -> bool:
    """Whether the display matrix turns the picture over, as front cameras do: upside down, and then by its rotation."""
    try:
        matrix = cast(SideData | None, frame.side_data.get("DISPLAYMATRIX"))
    except ValueError:  # of a type that PyAV does not know, in spite of _name_side_data
        return False
    if matrix is None:
        return False
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    return bool(a * d < b * c)


class ChunkBuilder:
    """Collects frames as upright RGB, of the size of the first, which `start` is given before any is added.

    Attributes:
        codec: name of the codec.
        aspect: width / height of one pixel, upright.
    """

    def __init__(self, stream: VideoStream, levels: Levels | None = None) -> None:
        assert stream.codec_context is not None
        self.codec = stream.codec_context.name
        self.aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        self._levels = levels
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

    def start(self, frame: VideoFrame) -> None:
        """See the video's first frame: all that are added get its size and its rotation.

        Raises:
            VideoError: `too-small`.
        """
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
        if deep_bits(frame) and self._levels is None:
            raise _SurveyNeededError

    def _upright(self, frame: VideoFrame) -> np.ndarray:
        assert self._size is not None
        rgb: np.ndarray
        # One thread gives the same pixels at less cost; by default swscale starts one per core.
        if self._levels is not None and deep_bits(frame):
            if (frame.width, frame.height) != self._size:
                frame = self._reformatter.reformat(frame, *self._size, threads=1)
            rgb = self._levels.to_rgb(frame)
        else:
            rgb = self._reformatter.reformat(frame, *self._size, "rgb24", threads=1).to_ndarray()
        return np.rot90(rgb[::-1] if self._mirrored else rgb, self._turns)

    @property
    def levels(self) -> str | None:
        """As `videos.levels`."""
        return None if self._levels is None else str(self._levels)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames, upright, once the first has been seen."""
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


def decode(
    path: str | Path, sampling: Sampling, on_corrupt: OnCorrupt = "fail", on_frame: Callable[[], None] | None = None
) -> Iterator[DecodeEvent]:
    """Decode the frames that `sampling` stores, and the frame before each.

    Times are the file's (see vimoclip/video/times.py) as they come. Where one of them puts others in doubt, or pictures
    are so deep that all of them decide what is black and white, the file is looked through and then decoded again: from
    where it was left, if what was handed out still holds.

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
    file = Path(path)
    taken = 0  # frames up to the last that was handed out
    try:
        for event in _decode(file, sampling, on_corrupt, on_frame):
            yield event
            if isinstance(event, FrameChunk):
                taken = int(event.source_frame[-1]) + 1
    except _SurveyNeededError as needed:
        survey = _survey(file, on_frame)
        if not survey.clock.agrees_with(needed.given[:taken]):
            yield VideoReset(str(path))
            taken = 0
        yield from _decode(file, sampling, on_corrupt, on_frame, survey, taken)


class _SurveyNeededError(Exception):
    """Frames cannot be handed out before the whole file has been seen. given: the times so far."""

    def __init__(self, given: Sequence[float] = ()) -> None:
        super().__init__()
        self.given = given


@dataclass(frozen=True)
class _Survey:
    """What only the whole file says: times, and the levels of deep pictures."""

    clock: FileClock
    levels: Levels | None


def _survey(path: Path, on_frame: Callable[[], None] | None) -> _Survey:
    guess, histogram = BestEffort(), Histogram()
    guesses: list[int | None] = []
    with _open(path) as container:
        stream = _video_stream(container, path)
        timeless = container.format.flags & cast(int, FormatFlags.no_timestamps.value)
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):  # decoding again meets it again, and tells
            for frame in _frames(container, stream, path):
                guesses.append(guess(frame))
                histogram.add(frame)
                if timeless and guesses == [None] and not deep_bits(frame):
                    break  # a bare stream; there is nothing to be found
                if on_frame is not None:
                    on_frame()
        return _Survey(FileClock(stream, container.format.name, guesses, guess.first_pts), histogram.levels())


def _open(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path.absolute()), metadata_errors="ignore")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            "unreadable", f"{path.name} cannot be opened as a video.", received=_reason(error), hint="Is it complete?"
        ) from error
    # PyAV has pts made up where the file has none, which FFmpeg's tools and players do not: AVI with B-frames.
    container.flags &= ~cast(int, ContainerFlags.gen_pts.value)
    return container


def _decode(
    path: Path,
    sampling: Sampling,
    on_corrupt: OnCorrupt,
    on_frame: Callable[[], None] | None,
    survey: _Survey | None = None,
    skip: int = 0,
) -> Iterator[DecodeEvent]:
    """Decode from the start. survey: of the file, once it is needed. skip: frames that are not handed out again."""
    with _open(path) as container:
        stream = _video_stream(container, path)
        clock = StreamClock(stream, container.format.name) if survey is None else survey.clock
        chunk = ChunkBuilder(stream, None if survey is None else survey.levels)
        sampler = Sampler(sampling)
        previous: Row | None = None
        n = 0
        broken = None
        rows = _timed(_frames(container, stream, path), clock, on_frame)
        while True:
            try:
                timed = next(rows, None)
                if timed is None:
                    break
                frame, time_s = timed
                if n == 0:
                    chunk.start(frame)
                stored = sampler.stores(n, time_s)
                row = (frame, n, time_s, stored)
                if stored and n >= skip:
                    chunk.add([row] if previous is None or previous[-1] else [previous, row])
            except UndecidedError:
                assert isinstance(clock, StreamClock)
                raise _SurveyNeededError(clock.given) from None
            except (av.FFmpegError, OSError, ValueError) as error:
                broken = _broken(path, n, error, on_corrupt)
                break
            if stored and not chunk.empty and chunk.full:
                yield chunk.take()
            previous = row
            n += 1
        if previous is None:
            raise VideoError("no-frames", f"{path.name} holds a video stream without a single frame.")
        if not chunk.empty:
            yield chunk.take()
        last_s = previous[2]
        by_rate = clock.source in ("rate", "assumed")
        fps = float(clock.rate or ASSUMED_RATE) if by_rate or n == 1 else (n - 1) / last_s
        width, height = chunk.size
        begins = container.start_time
        yield VideoDone(
            str(path),
            VideoInfo(
                codec=chunk.codec,
                width=width,
                height=height,
                pixel_aspect=chunk.aspect,
                fps=fps,
                time_source=clock.source,
                decoded_frames=n,
                duration_s=last_s + 1 / fps,
                broken=broken,
                repaired_times=clock.repairs.count,
                repaired_at=clock.repairs.text(),
                container_start_s=None if begins is None else begins / av.time_base,
                first_frame_s=clock.first_s,
                levels=chunk.levels,
            ),
        )


def _timed(
    frames: Iterator[VideoFrame], clock: StreamClock | FileClock, on_frame: Callable[[], None] | None
) -> Iterator[tuple[VideoFrame, float]]:
    """Frames with their times, those before damage as well; then the damage is raised."""
    try:
        for frame in frames:
            yield from clock.add(frame)
            if on_frame is not None:
                on_frame()
    except (av.FFmpegError, OSError, ValueError):
        yield from clock.end()
        raise
    yield from clock.end()


def video_streams(container: av.container.InputContainer) -> list[VideoStream]:
    """The streams of moving pictures in an open file: no cover art."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _video_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    streams = video_streams(container)
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
    promised = shortfall(path, container, stream)
    lossy = container.format.name in CONTINUITY  # where any packet may be marked as corrupt
    last = None  # it may have been cut short
    for packet in container.demux(stream):
        if packet.has_sidedata("encryption_info"):
            raise VideoError(
                "encrypted", f"{path.name} is encrypted.", hint="Decrypt it first: without its key it is noise."
            )
        if not packet.size:
            continue
        if last is not None:
            yield from last.decode()
        last = packet
        if promised.cut and packet.is_corrupt and not lossy:
            break
    cut = last is not None and (promised.misses(last) or (last.is_corrupt and not lossy))
    if last is not None and not (cut and (promised.last_short or last.is_corrupt)):
        yield from last.decode()
    yield from stream.decode(None)
    if cut:
        raise ValueError("the file ends before its last frame")


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
