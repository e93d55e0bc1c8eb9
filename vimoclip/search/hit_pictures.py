"""Hits to look at: strips of frames, on a sheet or in a notebook."""

import base64
import contextlib
import html as escaping
import io
from collections.abc import Iterable, Iterator

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from vimoclip.errors import VideoError
from vimoclip.search.results import Hit, Hits
from vimoclip.video.contact_sheet import Strip, draw, frames_at, spread

FRAMES = 6
_QUALITY = 80


def strip(hit: Hit, frames: int = FRAMES) -> Strip:
    """One hit as a row of pictures; without any where its file can no longer be decoded."""
    shown: list[NDArray[np.uint8]] = []
    missing = ""
    try:
        shown = frames_at(hit.path, spread(hit.start_s, hit.end_s, frames))
    except VideoError:
        missing = "; its file is gone, or cannot be decoded"
    return Strip(f"{hit.video_id}  {span(hit)}", f"{worth(hit)}{missing}", shown)


def span(hit: Hit) -> str:
    """Where it is, in words."""
    return f"{hit.start_s:.2f} s to {hit.end_s:.2f} s"


def worth(hit: Hit) -> str:
    """Its score, percentile and labels, in words."""
    parts = [f"{hit.score:.3f}"]
    if hit.percentile is not None:
        parts.append(f"above {hit.percentile:.2f}% of random pairs")
    return ", ".join([*parts, *hit.labels])


def sheet(hits: Hits) -> NDArray[np.uint8]:
    """A strip a hit, below each other: uint8 (H, W, 3), RGB.

    Raises:
        ConfigError: there are no hits.
    """
    return draw([strip(hit) for hit in hits])


def html(hits: Hits, frames: int = FRAMES) -> str:
    """A table with a row of small JPEGs a hit. Nothing in it is read as markup, whatever the ids and labels."""
    head = "".join(f"<p>{escaping.escape(line)}</p>" for line in (hits.summary, *hits.notes))
    return head + "<table>" + "".join(_row(hit, frames) for hit in hits) + "</table>"


def _row(hit: Hit, frames: int) -> str:
    made = strip(hit, frames)
    pictures = "".join(f'<img style="display:inline" alt="" src="{source}">' for source in data_uris(made.frames))
    title, note = escaping.escape(made.title), escaping.escape(made.note)
    return f'<tr><td style="text-align:left"><b>{title}</b><br>{note}<br>{pictures}</td></tr>'


def data_uris(frames: Iterable[NDArray[np.uint8]]) -> Iterator[str]:
    """RGB frames, uint8 (H, W, 3), as JPEGs that a page holds within itself."""
    for frame in frames:
        data = io.BytesIO()
        with contextlib.closing(PIL.Image.fromarray(frame)) as image:
            image.save(data, "JPEG", quality=_QUALITY)
        yield f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
