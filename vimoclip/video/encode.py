"""Frames to video files: clips cut out of videos, to look at, and rendered frames as files."""

import itertools
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from vimoclip.config.store import Sampling
from vimoclip.errors import ConfigError, SearchError
from vimoclip.frames import VideoDone, VideoReset
from vimoclip.video.decode import FrameChunk, decode

_TICK = Fraction(1, 90_000)
_CLOCK_S = 1e-6  # as in vimoclip/windows.py: the rounding of floats must not decide
_OPTIONS = {"crf": "20", "preset": "veryfast", "bf": "0"}  # without B-frames a file lasts what its frames add up to


def cut_clip(source: str | Path, start_s: float, end_s: float, target: Path) -> int:
    """Write what a video shows in a span as a file: H.264 in MP4, upright, frames at their own times.

    The file lasts as long as the span, or up to the end of the video: a frame is shown until the next one comes, and
    the last one until the span ends. Where no frame begins with the span, the one that is on the screen then comes
    first, so that a span between two frames shows the frame before it.

    Decoding begins at the file's first frame, because the store's times count from there.

    Args:
        source: the video file.
        start_s: seconds from the first frame.
        end_s: the first moment after the span.
        target: the file to write, whole or not at all; its folder is created if need be.

    Returns:
        The number of frames written.

    Raises:
        VideoError: the source cannot be decoded that far.
        SearchError: the target cannot be written, or the span lies outside of the video.
    """
    part = target.with_name(f".{target.name}.unfinished")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            count = _encode(source, start_s, end_s, part)
            if count:
                part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:  # av's errors are among them
        raise SearchError(
            "A clip cannot be written.",
            received=f"{target}: {error.strerror or error}",
            expected="a folder that can be written to",
        ) from error
    if not count:
        raise SearchError(
            "No frame lies in the span.", received=f"{start_s:g} s to {end_s:g} s of {source}", expected="another span"
        )
    return count


def _encode(source: str | Path, start_s: float, end_s: float, target: Path) -> int:
    clip = _Clip(target)
    shown: tuple[NDArray[np.uint8], float] | None = None  # the last frame before the span, and its pixel aspect
    try:
        for event in decode(source, Sampling(), on_corrupt="keep"):
            if isinstance(event, VideoReset):
                clip.close()
                clip, shown = _Clip(target), None
            elif isinstance(event, VideoDone):
                end_s = min(end_s, event.info.duration_s)
            if not isinstance(event, FrameChunk):
                continue
            if event.time_s[0] >= end_s - _CLOCK_S:
                break
            for frame, time_s in zip(event.frames, event.time_s.tolist(), strict=True):
                if time_s < start_s - _CLOCK_S:
                    shown = frame, event.pixel_aspect
                elif time_s < end_s - _CLOCK_S:
                    if not clip.count and shown is not None and round((time_s - start_s) / _TICK) > 0:
                        clip.add(*shown, 0.0)
                    clip.add(frame, event.pixel_aspect, time_s - start_s)
        if not clip.count and shown is not None and start_s < end_s - _CLOCK_S:
            clip.add(*shown, 0.0)
        clip.finish(end_s - start_s)
    finally:
        clip.close()
    return clip.count


class _Clip:
    """A clip being written. A frame waits until the next one comes, and so its duration is known.

    Attributes:
        count: how many frames came.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._output: Any = None
        self._stream: Any = None
        self._waiting: av.VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self.count = 0

    def add(self, frame: NDArray[np.uint8], pixel_aspect: float, time_s: float) -> None:
        """Add a frame that is shown from `time_s` on, seconds from the start of the clip."""
        if self._output is None:
            self._open(frame, pixel_aspect)
        picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
        picture.pts, picture.time_base = round(time_s / _TICK), _TICK
        self._write_until(picture.pts)
        self._waiting = picture
        self.count += 1

    def finish(self, duration_s: float) -> None:
        """Write what is left; the last frame is shown until the end of the clip."""
        if self._output is not None:
            self._write_until(round(duration_s / _TICK))
            self._mux(self._stream.encode(None))

    def close(self) -> None:
        """Close the file."""
        if self._output is not None:
            self._output.close()
            self._output = None

    def _open(self, frame: NDArray[np.uint8], pixel_aspect: float) -> None:
        self._output = av.open(str(self._target), "w", format="mp4")
        stream = self._stream = self._output.add_stream("libx264", 25)
        stream.height, stream.width = (side - side % 2 for side in frame.shape[:2])
        stream.pix_fmt, stream.options = "yuv420p", dict(_OPTIONS)
        stream.codec_context.time_base = stream.time_base = _TICK
        stream.codec_context.sample_aspect_ratio = Fraction(pixel_aspect).limit_denominator(1000)

    def _write_until(self, end: int) -> None:
        if self._waiting is None:
            return
        frame, self._waiting = self._waiting, None
        assert frame.pts is not None
        self._durations[frame.pts] = max(end - frame.pts, 1)
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts)
            self._output.mux(packet)


def _even(frame: Any) -> Any:
    """Without the last row and column where they are odd: 4:2:0 has no half ones."""
    height, width = frame.shape[:2]
    return frame[: height - height % 2, : width - width % 2].copy()


X264 = {"mbtree": "0"}
"""Makes x264 give the same bytes for the same frames. Its macroblock tree on AVX-512 does not, on one thread either:
measured, one encode in fifty came out different with it, and none of thousands without."""


def write_clip(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pix_fmt: str = "yuv420p",
) -> Path:
    """Encode RGB frames on one thread, so that the same frames give the same bytes.

    Args:
        path: the file to write; its suffix chooses the container.
        frames: uint8 (H, W, 3) each, all of one size.
        fps: frames per second.
        codec: FFmpeg's name of the encoder.
        options: the encoder's own; None means crf 18 with X264 for libx264, and the defaults of any other encoder.
        pix_fmt: FFmpeg's name of the pixel format.

    Returns:
        `path`.

    Raises:
        ConfigError: no frames, or an odd width or height where the pixel format needs even ones.
    """
    if options is None:
        options = {"crf": "18", **X264} if codec == "libx264" else {}
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ConfigError("A clip needs frames.", received="none", expected="at least one")
    height, width = first.shape[:2]
    if pix_fmt.startswith("yuv420") and (width % 2 or height % 2):
        raise ConfigError(
            f"Pixel format {pix_fmt} stores colour for squares of four pixels.",
            received=f"{width}x{height}",
            expected="an even width and an even height",
            hint="Pass another pix_fmt, such as yuv444p.",
        )
    with av.open(str(path), "w") as container:
        stream = cast(av.VideoStream, container.add_stream(codec, Fraction(fps).limit_denominator(60_000)))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.thread_count = 1
        stream.codec_context.options = dict(options)
        for image in itertools.chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path
