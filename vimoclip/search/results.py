"""What a search found: `Hits`, bouts of videos, best first; as tables, pictures, HTML and clips."""

import base64
import contextlib
import html as escaping
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vimoclip.errors import VideoError

if TYPE_CHECKING:  # pictures and clips load a decoder, which a reader of hits alone should not wait for
    from vimoclip.video.contact_sheet import Strip
    from vimoclip.video.files import StoredFile


@dataclass(frozen=True)
class Hit:
    """A part [start_s, end_s) of a video, in seconds.

    Attributes:
        video_id: the video.
        start_s: where it starts.
        end_s: where it ends.
        score: the cosine of its best segment with the query, weighted over the spaces.
        percentile: how many of 100 random pairs of a query like this one and a segment are less alike (see ranking.py);
            None where there are no pairs.
        labels: of this part of the video (see vimoclip/store/labels.py).
        best_s: start and end of its best segment.
        split: of its video.
        path: of the file, when it was last seen.
        file: the file as it was when it was stored, to know whether it still shows this; not part of `Hits.to_dict`.
    """

    video_id: str
    start_s: float
    end_s: float
    score: float
    percentile: float | None
    labels: tuple[str, ...]
    best_s: tuple[float, float]
    split: str | None
    path: str
    file: "StoredFile | None" = None

    def check_file(self) -> None:
        """Make sure that the file still shows what was found in it.

        Raises:
            VideoError: it is gone, or has other content.
        """
        if self.file is not None:
            self.file.check()


_COLUMNS: dict[str, Any] = {
    "video_id": pl.String,
    "start_s": pl.Float64,
    "end_s": pl.Float64,
    "score": pl.Float64,
    "percentile": pl.Float64,
    "labels": pl.List(pl.String),
    "split": pl.String,
}


@dataclass(frozen=True)
class Hits(Sequence[Hit]):
    """Hits, best first, and how they were found. A notebook shows them with frames of each.

    Attributes:
        query: what was searched for, in words.
        by: the weight of each space.
        found: the hits.
        searched: how many segments, or frames, could be an answer.
        exact: whether the query was compared with each of them.
        closest: the best score and its percentile, even where it did not pass; None where nothing could be compared.
        notes: what else there is to know, such as that an index is out of date.
        unit: whether bouts are made of segments or of frames.
    """

    query: str
    by: dict[str, float]
    found: tuple[Hit, ...]
    searched: int
    exact: bool
    closest: tuple[float, float | None] | None
    notes: tuple[str, ...]
    unit: Literal["segments", "frames"] = "segments"

    def __len__(self) -> int:
        return len(self.found)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Hit]: ...
    def __getitem__(self, at: int | slice) -> Hit | Sequence[Hit]:
        return self.found[at]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.found)

    @property
    def summary(self) -> str:
        """What was found, or that nothing was, in one line."""
        where = f"among {self.searched} {self.unit}, {'exactly' if self.exact else 'by the index'}"
        if self.found:
            return f"{len(self)} bouts like {self.query}, {where}."
        if self.closest is None:
            return f"No match for {self.query}: no {self.unit[:-1]} can be compared with it."
        score, percentile = self.closest
        worth = "" if percentile is None else f", above {percentile:.2f}% of random pairs"
        return f"No match for {self.query} {where}; the closest has {score:.3f}{worth}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, for JSON."""
        return {
            "query": self.query,
            "by": self.by,
            "searched": self.searched,
            "unit": self.unit,
            "exact": self.exact,
            "closest": None if self.closest is None else dict(zip(("score", "percentile"), self.closest, strict=True)),
            "notes": list(self.notes),
            "hits": [{name: getattr(hit, name) for name in (*_COLUMNS, "best_s", "path")} for hit in self],
        }

    def frame(self) -> pl.DataFrame:
        """Return one row a hit: video_id, start_s, end_s, score, percentile, labels, split."""
        rows = [{name: getattr(hit, name) for name in _COLUMNS} for hit in self]
        return pl.DataFrame(rows, _COLUMNS)

    def __repr__(self) -> str:
        return "\n".join([self.summary, *self.notes, *([str(self.frame())] if self.found else [])])

    def _repr_html_(self) -> str:
        return html(self)


FRAMES = 6
"""Pictures that a hit is shown with."""
_QUALITY = 80


_NOT_SHOWN = {"changed": "its file has other content now", "unreadable": "its file is gone, or cannot be read"}


def strip(hit: Hit, frames: int = FRAMES) -> "Strip":
    """Draw one hit as a row of pictures; without any where its file can no longer be decoded."""
    from vimoclip.video.contact_sheet import Strip, frames_at, spread

    shown: list[NDArray[np.uint8]] = []
    missing = ""
    try:
        hit.check_file()
        shown = frames_at(hit.path, spread(hit.start_s, hit.end_s, frames))
    except VideoError as error:
        missing = f"; {_NOT_SHOWN.get(error.kind, 'its file cannot be decoded')}"
    return Strip(f"{hit.video_id}  {span_text(hit)}", f"{percentile_text(hit)}{missing}", shown)


def cannot_be_shown(hits: Iterable[Hit]) -> list[tuple[str, str]]:
    """List the videos of hits whose files no longer show them, with why. Files of another date are read whole."""
    found: dict[str, str] = {}
    for hit in hits:
        if hit.video_id not in found:
            try:
                hit.check_file()
            except VideoError as error:
                found[hit.video_id] = error.what
    return list(found.items())


def span_text(hit: Hit) -> str:
    """Say where a hit is: its start and end."""
    return f"{hit.start_s:.2f} s to {hit.end_s:.2f} s"


def percentile_text(hit: Hit) -> str:
    """Say a hit's score, percentile and labels."""
    parts = [f"{hit.score:.3f}"]
    if hit.percentile is not None:
        parts.append(f"above {hit.percentile:.2f}% of random pairs")
    return ", ".join([*parts, *hit.labels])


def sheet(hits: Hits) -> NDArray[np.uint8]:
    """Draw a strip for each hit, below each other: uint8 (H, W, 3), RGB.

    Raises:
        ConfigError: there are no hits.
    """
    from vimoclip.video.contact_sheet import draw

    return draw([strip(hit) for hit in hits])


def html(hits: Hits, frames: int = FRAMES) -> str:
    """Write a table with a row of small JPEGs for each hit. Ids and labels are escaped.

    Args:
        hits: what to show.
        frames: pictures a hit.
    """
    head = "".join(f"<p>{escaping.escape(line)}</p>" for line in (hits.summary, *hits.notes))
    return head + "<table>" + "".join(_row(hit, frames) for hit in hits) + "</table>"


def _row(hit: Hit, frames: int) -> str:
    made = strip(hit, frames)
    pictures = "".join(f'<img style="display:inline" alt="" src="{source}">' for source in data_uris(made.frames))
    title, note = escaping.escape(made.title), escaping.escape(made.note)
    return f'<tr><td style="text-align:left"><b>{title}</b><br>{note}<br>{pictures}</td></tr>'


def data_uris(frames: Iterable[NDArray[np.uint8]]) -> Iterator[str]:
    """Encode RGB frames, uint8 (H, W, 3), as JPEGs that a page holds within itself."""
    import PIL.Image

    for frame in frames:
        data = io.BytesIO()
        with contextlib.closing(PIL.Image.fromarray(frame)) as image:
            image.save(data, "JPEG", quality=_QUALITY)
        yield f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


_SAFE = re.compile(r"[^\w.-]+")  # letters of any script stay


def export_clips(hits: Hits, folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Cut a clip for each hit, best first.

    Args:
        hits: whose files are cut.
        folder: where the clips go.

    Returns:
        The paths of the clips; and for each hit that has none, its video and the reason.

    Raises:
        SearchError: the folder cannot be written to.
    """
    from vimoclip.video.encode import cut_clip

    written, without = [], []
    for n, hit in enumerate(hits, start=1):
        name = _SAFE.sub("_", PurePosixPath(hit.video_id).stem)[:80]
        target = folder / f"{n:03d}-{name}-{hit.start_s:.2f}-{hit.end_s:.2f}.mp4"
        try:
            hit.check_file()
            cut_clip(hit.path, hit.start_s, hit.end_s, target)
            written.append(str(target))
        except VideoError as error:
            without.append((hit.video_id, str(error)))
    return written, without
