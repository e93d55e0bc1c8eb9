"""Strips of frames for a page: each frame a small picture within the page itself, with words for who cannot see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.demo.steps import Sought
from vimoclip.search.results import Hit, data_uris
from vimoclip.video.contact_sheet import frames_at, spread

FRAMES = 4
"""Of a strip; a phone shows so many beside each other."""


@dataclass(frozen=True)
class Picture:
    """uri: data. alt: in words. width, height: pixels."""

    uri: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class HitStrip:
    """A hit of a search. caption: the store's, of the video."""

    hit: Hit
    caption: str
    pictures: list[Picture]


@dataclass(frozen=True)
class SearchShown:
    """A search. line: its command. asked: what was searched for, as pictures; none of words. searched: segments."""

    sought: Sought
    line: str
    asked: list[Picture]
    hits: list[HitStrip]
    searched: int


def pictures(path: str, times_s: Sequence[float], what: str) -> list[Picture]:
    """The frames of a video at these times.

    Raises:
        VideoError: it cannot be decoded.
    """
    frames = frames_at(path, times_s)
    return [
        Picture(uri, f"{what}, at {time_s:.1f} s", frame.shape[1], frame.shape[0])
        for uri, frame, time_s in zip(data_uris(frames), frames, times_s, strict=True)
    ]


def strip(path: str, start_s: float, end_s: float, what: str, count: int = FRAMES) -> list[Picture]:
    """So many frames of a span, evenly spread."""
    return pictures(path, spread(start_s, end_s, count), what)


def hit_strips(document: dict[str, Any], captions: dict[str, str]) -> list[HitStrip]:
    """The hits of a search's document. captions: by video."""
    shown = []
    for each in document["hits"]:
        hit = Hit(**each | {"labels": tuple(each["labels"]), "best_s": tuple(each["best_s"])})
        caption = captions[hit.video_id]
        shown.append(HitStrip(hit, caption, strip(hit.path, hit.start_s, hit.end_s, caption.rstrip("."))))
    return shown
