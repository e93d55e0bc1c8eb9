"""Stretches of videos as files of their own, to look at: H.264 in MP4, upright, at the frames' own times."""

import re
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import av

from vimoclip.config.store import Sampling
from vimoclip.errors import SearchError, VideoError
from vimoclip.search.results import Hits
from vimoclip.video.decode import FrameChunk, Restart, decode

_SAFE = re.compile(r"[^\w.-]+")  # letters of any script stay
_TICK = Fraction(1, 90_000)
_OPTIONS = {"crf": "20", "preset": "veryfast"}


def cut_clip(source: str | Path, start_s: float, end_s: float, target: Path) -> int:
    """Write the frames shown in [start_s, end_s), seconds from the first one; how many that were.

    Decoding begins at the file's first frame, since the store's times count from there.

    Raises:
        VideoError: the source cannot be decoded so far. SearchError: the target cannot be written, or no frame is in
        the span.
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


def export_clips(hits: Hits, folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """A file a hit, best first: their paths; and video and reason where there can be none.

    Raises:
        SearchError: the folder cannot be written to.
    """
    written, without = [], []
    for n, hit in enumerate(hits, start=1):
        name = _SAFE.sub("_", PurePosixPath(hit.video_id).stem)[:80]
        target = folder / f"{n:03d}-{name}-{hit.start_s:.2f}-{hit.end_s:.2f}.mp4"
        try:
            cut_clip(hit.path, hit.start_s, hit.end_s, target)
            written.append(str(target))
        except VideoError as error:
            without.append((hit.video_id, str(error)))
    return written, without


def _encode(source: str | Path, start_s: float, end_s: float, target: Path) -> int:
    count = 0
    output: Any = None
    stream: Any = None
    try:
        for event in decode(source, Sampling(), on_corrupt="keep"):
            if isinstance(event, Restart) and output is not None:
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
