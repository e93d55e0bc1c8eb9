"""Labels, splits and metadata as people write them down, and which stored video each of them means.

Both sources, a CSV file (`from_csv`) and the folders that hold the videos (`from_folders`), give `Annotations`, where a
video is named as it was written; `match` finds the video_id behind each name. Nothing here opens a video or a store.

The CSV is UTF-8, with or without a byte-order mark, and has a header line, in which case and surrounding blanks do not
matter. Its delimiter is the one of comma, semicolon and tab that makes most known columns of the header. Where a
header has several names for one column, the first of this list is that column and the others are metadata:

    video     filepath, path, file, video, video_id, filename    required; relative to the file's folder, or absolute
    label     label                       required, cells may be empty; several by `;` in a cell or by repeated rows
    split     split
    start     start_s, start              seconds from the first frame
    end       end_s, stop_s, end, stop    seconds; the span is half-open, [start, end); both or neither

Every other column with a name is metadata: its lower-cased name → the cell, left out where the cell is empty.
"""

import csv
import io
import math
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.labels import Label
from vimoclip.errors import LabelError

FOLDERS = "<folders>"  # the `source` of labels that are names of folders

_COLUMNS = {
    "filepath": ("filepath", "path", "file", "video", "video_id", "filename"),
    "label": ("label",),
    "split": ("split",),
    "start_s": ("start_s", "start"),
    "end_s": ("end_s", "stop_s", "end", "stop"),
}
_KNOWN = frozenset(name for names in _COLUMNS.values() for name in names)
_SEVERAL = "/"  # in place of a video_id: several are meant. No video_id is this, as none is absolute.


@dataclass(frozen=True)
class Annotation:
    """One label of [start_s, end_s) in seconds from the first frame; of the whole video by default."""

    label: str
    start_s: float = -math.inf
    end_s: float = math.inf


@dataclass(frozen=True)
class VideoAnnotations:
    """Everything written about one video. `name` is its filepath exactly as written."""

    name: str
    labels: tuple[Annotation, ...] = ()
    split: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Annotations:
    """One source: its file's name or FOLDERS, that file's absolute folder or None, its videos as first mentioned."""

    source: str
    folder: Path | None
    videos: tuple[VideoAnnotations, ...]


@dataclass(frozen=True)
class Matched:
    """What `match` found: `unknown` and `ambiguous` hold names as written, everything else video_ids.

    videos: every id matched, labelled or not, in order of first mention. splits, metadata: of those that have any.
    """

    labels: list[Label]
    splits: dict[str, str]
    metadata: dict[str, dict[str, str]]
    unknown: list[str]
    ambiguous: list[str]
    videos: list[str]


def from_csv(path: Path) -> Annotations:
    """Read a label file; the format is at the top of this module.

    Rows of one video merge, and a repeated label of the same span counts once. Raises LabelError when the file cannot
    be read, is empty, not UTF-8 or not CSV, or lacks a column; and, with their lines, for rows that contradict each
    other, have more cells than the header, no filepath or an impossible span: the first 5 and how many there are.
    """
    rows = _rows(path)
    line, header = next(rows, (0, []))
    if not header:
        raise LabelError(f"{path} is empty.", expected="a header line with filepath and label, then a row a label")
    columns, extras = _columns(path, line, [name.strip().lower() for name in header])
    drafts: dict[str, _Draft] = {}
    problems: list[str] = []
    for line, row in rows:
        cells = row + [""] * (len(header) - len(row))
        name = cells[columns["filepath"]]
        values = {role: cells[at].strip() for role, at in columns.items()}
        facts = {extra: cells[at].strip() for extra, at in extras.items()} | {"split": values.get("split", "")}
        try:
            if len(row) > len(header):
                raise ValueError(f"{len(row)} cells under {len(header)} columns")
            if not values["filepath"]:
                raise ValueError("no filepath")
            start, end = _span(values.get("start_s", ""), values.get("end_s", ""))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        labels = [Annotation(label.strip(), start, end) for label in values["label"].split(";") if label.strip()]
        conflicts = drafts.setdefault(name, _Draft()).add(f"line {line}", labels, facts)
        problems += [f"{conflict} (video {name!r})" for conflict in conflicts]
    _refuse(str(path), problems)
    return Annotations(
        path.name, Path(os.path.abspath(path)).parent, tuple(draft.done(name) for name, draft in drafts.items())
    )


def from_folders(video_ids: Iterable[str]) -> Annotations:
    """Label each video with the name of the folder that directly holds it; one with no folder in its id gets none."""
    folders = {video_id: video_id.rpartition("/")[0].rpartition("/")[2] for video_id in video_ids}
    videos = (VideoAnnotations(each, (Annotation(folder),) if folder else ()) for each, folder in folders.items())
    return Annotations(FOLDERS, None, tuple(videos))


def match(annotations: Annotations, known: Mapping[str, str]) -> Matched:
    """Find the stored video behind every written name; `known` maps video_id → absolute path of the file.

    In this order: (a) the name, joined to the label file's folder unless it is absolute, is the path of a video (`..`
    and `.` taken out, symlinks not followed, the disk not touched); (b) the name is a video_id; (c) either of them with
    `/` for every backslash, and without `.` and `..`; (d) one video_id ends with `/` + the name. Where none holds, all
    again with names and ids in Unicode NFC (macOS writes NFD) and blanks around folder and file names dropped. Where
    the rule that finds something finds several videos, the name is ambiguous. Names of one video merge; raises
    LabelError when what they say contradicts.
    """
    names = [video.name for video in annotations.videos]
    found = _find(names, annotations.folder, known, str)
    if rest := [name for name in names if name not in found]:
        found |= _find(rest, annotations.folder, known, _loosely)
    drafts: dict[str, _Draft] = {}
    problems: list[str] = []
    for video in annotations.videos:
        if (video_id := found.get(video.name, _SEVERAL)) != _SEVERAL:
            facts = video.metadata | {"split": video.split or ""}
            conflicts = drafts.setdefault(video_id, _Draft()).add(repr(video.name), video.labels, facts)
            problems += [f"{conflict} (both are video {video_id!r})" for conflict in conflicts]
    _refuse(annotations.source, problems)
    source, videos = annotations.source, [draft.done(video_id) for video_id, draft in drafts.items()]
    labels = [(video.name, each) for video in videos for each in video.labels]
    return Matched(
        labels=[Label(video_id=v, label=a.label, start_s=a.start_s, end_s=a.end_s, source=source) for v, a in labels],
        splits={video.name: video.split for video in videos if video.split is not None},
        metadata={video.name: video.metadata for video in videos if video.metadata},
        unknown=[name for name in names if name not in found],
        ambiguous=[name for name in names if found.get(name) == _SEVERAL],
        videos=list(drafts),
    )


def find_labels(root: Path) -> Path | None:
    """The `labels.csv` in folder `root`, else the one beside it (in its parent), else None."""
    root = Path(os.path.abspath(root))  # the parent of `.` is `.`, and that of `a/..` is `a`
    return next((path for path in (root / "labels.csv", root.parent / "labels.csv") if path.is_file()), None)


class _Draft:
    """What is known so far about one video, and where each part of it was written."""

    def __init__(self) -> None:
        self.labels: dict[tuple[str, float], tuple[float, str]] = {}
        self.facts: dict[str, tuple[str, str]] = {}  # split (never the name of a metadata column) and metadata

    def add(self, where: str, labels: Iterable[Annotation], facts: Mapping[str, str]) -> list[str]:
        """Add what is written at `where`; empty facts say nothing. Returns what contradicts, in words."""
        conflicts = []
        for each in labels:
            end, earlier = self.labels.setdefault((each.label, each.start_s), (each.end_s, where))
            if end != each.end_s:
                span = f"from {each.start_s} s at {end} and {each.end_s} s"
                conflicts.append(f"{earlier} and {where} end {each.label!r} {span}")
        for name, value in facts.items():
            first, earlier = self.facts.setdefault(name, (value, where)) if value else ("", "")
            if first != value:
                conflicts.append(f"{earlier} and {where} set {name} to {first!r} and {value!r}")
        return conflicts

    def done(self, name: str) -> VideoAnnotations:
        facts = {fact: value for fact, (value, _) in self.facts.items()}
        labels = tuple(Annotation(label, start, end) for (label, start), (end, _) in self.labels.items())
        return VideoAnnotations(name, labels, facts.pop("split", None), facts)


def _find(names: list[str], base: Path | None, known: Mapping[str, str], form: Callable[[str], str]) -> dict[str, str]:
    """Name → the video_id it means, or _SEVERAL; names of no video are left out. Compared as `form` writes them."""
    index: dict[tuple[str, str], str] = {}
    for video_id, path in known.items():
        # Every end of an id, not only its basename: thousands of folders may each hold a 0001.mp4.
        ends = [("end", video_id[at + 1 :]) for at, letter in enumerate(video_id) if letter == "/"]
        for kind, key in [("id", video_id), ("path", os.path.normpath(path)), *ends]:
            if index.setdefault((kind, form(key)), video_id) != video_id:
                index[kind, form(key)] = _SEVERAL
    found = {}
    for name in names:
        slashed = name.replace("\\", "/")
        keys = []
        for each in dict.fromkeys((name, slashed, os.path.normpath(slashed))):
            # Without a folder a relative name stays relative, and so is no path of a video.
            keys += [("path", os.path.normpath(os.path.join(base or "", each))), ("id", each)]
        keys += [("end", key) for kind, key in keys if kind == "id"]
        if hit := next(filter(None, (index.get((kind, form(key))) for kind, key in keys)), None):
            found[name] = hit
    return found


def _loosely(name: str) -> str:
    return unicodedata.normalize("NFC", "/".join(part.strip() for part in name.split("/")))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank, the header first."""
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {error.strerror}.", expected="a CSV file") from error
    except UnicodeDecodeError as error:
        line = len((error.object[: error.start] + b".").splitlines())
        received = f"byte 0x{error.object[error.start]:02x} at position {error.start}, on line {line}"
        hint = "Save the file as UTF-8 (spreadsheets call it 'CSV UTF-8')."
        raise LabelError(f"{path} is not UTF-8 text.", received=received, expected="UTF-8", hint=hint) from error
    header = next(iter(text.strip().splitlines()), "").replace('"', "").lower()  # alone: cells may hold any delimiter
    delimiter = max(",;\t", key=lambda each: len(_KNOWN.intersection(map(str.strip, header.split(each)))))
    # Strict: otherwise a quote that is never closed swallows the rest of the file without a word.
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    first = 1
    try:
        for row in rows:
            first = rows.line_num + 1
            if any(cell.strip() for cell in row):
                yield rows.line_num, row
    except csv.Error as error:
        what = f"{path} is not CSV from line {first} on: {error}."
        raise LabelError(what, hint="Close every quote, and double a quote inside a quoted cell.") from error


def _columns(path: Path, line: int, header: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Where each known column is, and each metadata column. A column without a name (a row counter) is neither."""
    present = {role: [name for name in names if name in header] for role, names in _COLUMNS.items()}
    columns = {role: header.index(names[0]) for role, names in present.items() if names}
    received = f"{', '.join(map(repr, header))} on line {line}"
    if not {"filepath", "label"} <= columns.keys():
        expected = f"label, and one of {', '.join(_COLUMNS['filepath'])}"
        raise LabelError(f"{path} lacks a required column.", received=received, expected=expected, hint="Add it.")
    if twice := [name for name in dict.fromkeys(header) if name and header.count(name) > 1]:
        raise LabelError(f"{path} has two columns called {twice[0]!r}.", received=received, hint="Rename one of them.")
    return columns, {name: at for at, name in enumerate(header) if name and at not in columns.values()}


def _span(start: str, end: str) -> tuple[float, float]:
    """Both cells in seconds, or the whole video when both are empty. Raises ValueError that says what is wrong."""
    if not start and not end:
        return -math.inf, math.inf
    try:
        first, last = float(start) + 0.0, float(end) + 0.0  # -0.0 becomes 0.0: they would be two keys in the store
    except ValueError:
        raise ValueError(f"start {start!r} and end {end!r} are not two numbers") from None
    if not 0 <= first <= last < math.inf:
        raise ValueError(f"start {start!r} and end {end!r} are negative, not finite or in the wrong order")
    return first, last


def _refuse(source: str, problems: list[str]) -> None:
    """Raise one LabelError that shows the first 5 of all problems; none where there are none."""
    if problems:
        expected = "a filepath, 0 <= start <= end in seconds or neither, no cell without a column, no contradiction"
        received = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        what = f"{source} cannot be used; problems: {len(problems)}."
        raise LabelError(what, received=received, expected=expected, hint="Correct the file and try again.")
