"""Contact sheets, to look at instead of videos: a strip of frames for each span, under a title, on one picture.

All lengths are pixels. Every frame is FRAME_HEIGHT high and keeps its shape (with the aspect of its own pixels).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vimoclip.config.store import Sampling
from vimoclip.errors import ConfigError
from vimoclip.frames import VideoReset
from vimoclip.video.decode import FrameChunk, decode

FRAME_HEIGHT = 108
WIDEST = 2.4
"""Width / height of a frame; a wider one shows its middle."""

_MARGIN, _GAP, _TEXT = 14, 3, 13
_PAPER, _INK, _NOTE = (250, 249, 246), (32, 34, 36), (118, 120, 122)


@dataclass(frozen=True)
class Strip:
    """One strip of a sheet.

    Attributes:
        title: its first line of text.
        note: its second line.
        frames: uint8 (H, W, 3) each, RGB; empty for text alone.
    """

    title: str
    note: str
    frames: Sequence[NDArray[np.uint8]]


def spread(start_s: float, end_s: float, count: int) -> list[float]:
    """The middles of `count` equal parts of a span, in seconds."""
    return [start_s + (end_s - start_s) * (n + 0.5) / count for n in range(count)]


def frames_at(path: str | Path, times_s: Sequence[float]) -> list[NDArray[np.uint8]]:
    """The frames that a video shows at some times.

    The frame at a time is the last one at or before it; before the first frame it is the first one, and after the end
    the last one. Nothing is decoded past the last time.

    Args:
        path: the video file.
        times_s: seconds from the first frame, ascending.

    Returns:
        uint8 (FRAME_HEIGHT, W, 3) each, RGB.

    Raises:
        ConfigError: the times do not ascend.
        VideoError: the file cannot be decoded that far.
    """
    if any(later < earlier for earlier, later in itertools.pairwise(times_s)):
        raise ConfigError("Times to show must ascend.", received=list(times_s), expected="seconds, each after the last")
    shown: list[NDArray[np.uint8]] = []
    last: NDArray[np.uint8] | None = None
    aspect = 1.0
    for event in decode(path, Sampling(), on_corrupt="keep"):
        if isinstance(event, VideoReset):
            shown, last = [], None
        if not isinstance(event, FrameChunk):
            continue
        for frame, time_s in zip(event.frames, event.time_s.tolist(), strict=True):
            while last is not None and len(shown) < len(times_s) and time_s > times_s[len(shown)]:
                shown.append(_small(last, aspect))
            if len(shown) == len(times_s):
                return shown
            last, aspect = frame, event.pixel_aspect
    return shown + [_small(last, aspect)] * (len(times_s) - len(shown)) if last is not None else shown


def draw(strips: Sequence[Strip], columns: int = 1) -> NDArray[np.uint8]:
    """Draw all strips on one sheet, row by row.

    Args:
        strips: at least one.
        columns: strips beside each other.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        ConfigError: there are no strips.
    """
    if not strips:
        raise ConfigError("A contact sheet needs strips.", received="none", expected="at least one")
    rows = [[_small(frame, 1.0) for frame in strip.frames] for strip in strips]
    text = 2 * (_TEXT + 5)
    width = max(30 * _TEXT, *(sum(frame.shape[1] + _GAP for frame in row) for row in rows))
    height = text + FRAME_HEIGHT
    across, down = min(columns, len(strips)), -(-len(strips) // columns)
    sheet = Image.new("RGB", (_MARGIN + across * (width + _MARGIN), _MARGIN + down * (height + _MARGIN)), _PAPER)
    pen, bold, plain = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT + 1), ImageFont.load_default(_TEXT - 1)
    for n, (strip, row) in enumerate(zip(strips, rows, strict=True)):
        left = _MARGIN + n % columns * (width + _MARGIN)
        top = _MARGIN + n // columns * (height + _MARGIN)
        pen.text((left, top), _fitting(pen, strip.title, bold, width), _INK, bold)
        pen.text((left, top + _TEXT + 5), _fitting(pen, strip.note, plain, width), _NOTE, plain)
        for frame in row:
            sheet.paste(Image.fromarray(frame), (left, top + text))
            left += frame.shape[1] + _GAP
    return np.asarray(sheet)


def write(path: Path, sheet: NDArray[np.uint8]) -> Path:
    """Write a sheet, uint8 (H, W, 3) RGB, as PNG; its folder is created if need be.

    Returns:
        `path`.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(path, "PNG")
    except OSError as error:
        raise ConfigError(
            "The contact sheet cannot be written.",
            received=f"{path}: {error.strerror or error}",
            expected="the path of a file that can be written",
        ) from error
    return path


def _small(frame: NDArray[np.uint8], pixel_aspect: float) -> NDArray[np.uint8]:
    """The frame FRAME_HEIGHT high and at most WIDEST wide, its pixels made square."""
    height, width = frame.shape[:2]
    most = max(1, round(height * WIDEST / pixel_aspect))
    if width > most:
        left = (width - most) // 2
        frame, width = frame[:, left : left + most], most
    size = max(1, round(width * pixel_aspect * FRAME_HEIGHT / height)), FRAME_HEIGHT
    if size == (width, height):
        return frame
    how = cv2.INTER_AREA if height > FRAME_HEIGHT else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, size, interpolation=how), np.uint8)


def _fitting(
    pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    """The text, or as much of its beginning as fits, on one line."""
    text = " ".join(text.split())
    if pen.textlength(text, font) <= width:
        return text
    while text and pen.textlength(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…"
