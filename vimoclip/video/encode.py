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
from vimoclip.frames import VideoReset
from vimoclip.video.decode import FrameChunk, decode

_TICK = Fraction(1, 90_000)
_OPTIONS = {"crf": "20", "preset": "veryfast"}


def cut_clip(source: str | Path, start_s: float, end_s: float, target: Path) -> int:
    """Write the frames that a video shows in a span as a file: H.264 in MP4, upright, at the frames' own times.

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
        SearchError: the target cannot be written, or the span does not hold a frame.
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
    count = 0
    output: Any = None
    stream: Any = None
    try:
        for event in decode(source, Sampling(), on_corrupt="keep"):
            if isinstance(event, VideoReset) and output is not None:
                output.close()
                output, count = None, 0
            if not isinstance(event, FrameChunk):
                continue
            if event.time_s[0] >= end_s:
                break
            for frame, time_s in zip(event.frames, event.time_s.tolist(), strict=True):
                if not start_s - 1e-6 <= time_s < end_s - 1e-6:
                    continue
                if output is None:
                    output = av.open(str(target), "w", format="mp4")
                    stream = output.add_stream("libx264", 25)
                    stream.height, stream.width = (side - side % 2 for side in frame.shape[:2])
                    stream.pix_fmt, stream.options = "yuv420p", dict(_OPTIONS)
                    stream.codec_context.time_base = stream.time_base = _TICK
                    stream.codec_context.sample_aspect_ratio = Fraction(event.pixel_aspect).limit_denominator(1000)
                picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
                picture.pts, picture.time_base = round((time_s - start_s) / _TICK), _TICK
                output.mux(stream.encode(picture))
                count += 1
        if output is not None:
            output.mux(stream.encode(None))
    finally:
        if output is not None:
            output.close()
    return count


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
