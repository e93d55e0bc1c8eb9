"""What a search found: bouts of videos, best first."""

import base64
import contextlib
import html as escaping
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vimoclip.errors import VideoError

if TYPE_CHECKING:  # pictures and clips load a decoder: who only reads hits waits for none
    from vimoclip.video.contact_sheet import Strip


@dataclass(frozen=True)
class Hit:
    """A stretch [start_s, end_s) of a video, in seconds.

    score: the cosine of its best segment with the query, weighted over the spaces. percentile: of 100 random pairs, how
    many are less alike (see ranking.py); None where there are none. labels: those of the stretch (see
    labels.py). best_s: where its best segment is. path: of the file, when it was last seen.
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

    query: what was searched for, in words. by: the weight of each space. searched: how many segments, or frames, could
    be an answer; unit: which of the two. exact: whether the query was compared with each of them. closest: the best
    score, with its percentile, also where it did not pass; None where nothing could be compared. notes: what else there
    is to know.
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
        """One line: what was found, or that nothing was."""
        where = f"among {self.searched} {self.unit}, {'exactly' if self.exact else 'by the index'}"
        if self.found:
            return f"{len(self)} bouts like {self.query}, {where}."
        if self.closest is None:
            return f"No match for {self.query}: no {self.unit[:-1]} can be compared with it."
        score, percentile = self.closest
        worth = "" if percentile is None else f", above {percentile:.2f}% of random pairs"
        return f"No match for {self.query} {where}; the closest has {score:.3f}{worth}."

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, for JSON."""
        return {
            "query": self.query,
            "by": self.by,
            "searched": self.searched,
            "unit": self.unit,
            "exact": self.exact,
            "closest": None if self.closest is None else dict(zip(("score", "percentile"), self.closest, strict=True)),
            "notes": list(self.notes),
            "hits": [asdict(hit) for hit in self],
        }

    def frame(self) -> pl.DataFrame:
        """One row a hit."""
        rows = [{name: getattr(hit, name) for name in _COLUMNS} for hit in self]
        return pl.DataFrame(rows, _COLUMNS)

    def __repr__(self) -> str:
        return "\n".join([self.summary, *self.notes, *([str(self.frame())] if self.found else [])])

    def _repr_html_(self) -> str:
        return html(self)


# Hits to look at: strips of frames, on a sheet or in a notebook.


FRAMES = 6
_QUALITY = 80


def strip(hit: Hit, frames: int = FRAMES) -> "Strip":
    """One hit as a row of pictures; without any where its file can no longer be decoded."""
    from vimoclip.video.contact_sheet import Strip, frames_at, spread

    shown: list[NDArray[np.uint8]] = []
    missing = ""
    try:
        shown = frames_at(hit.path, spread(hit.start_s, hit.end_s, frames))
    except VideoError:
        missing = "; its file is gone, or cannot be decoded"
    return Strip(f"{hit.video_id}  {span_text(hit)}", f"{percentile_text(hit)}{missing}", shown)


def span_text(hit: Hit) -> str:
    """Where it is, in words."""
    return f"{hit.start_s:.2f} s to {hit.end_s:.2f} s"


def percentile_text(hit: Hit) -> str:
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
    from vimoclip.video.contact_sheet import draw

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
    import PIL.Image

    for frame in frames:
        data = io.BytesIO()
        with contextlib.closing(PIL.Image.fromarray(frame)) as image:
            image.save(data, "JPEG", quality=_QUALITY)
        yield f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


_SAFE = re.compile(r"[^\w.-]+")  # letters of any script stay


def export_clips(hits: Hits, folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """A file a hit, best first: their paths; and video and reason where there can be none.

    Raises:
        SearchError: the folder cannot be written to.
    """
    from vimoclip.video.encode import cut_clip

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
