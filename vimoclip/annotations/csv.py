"""Our own label file: CSV or a workbook, whose header line ignores case and surrounding blanks.

The delimiter is the one of comma, semicolon and tab that gives the most known columns in the header. Where a header
has several names for one column, the first in this list is that column and the others are metadata:

    video     filepath, path, file, video, video_id, filename    required; relative to the file's folder, or absolute
    label     label                       required, cells may be empty; several by `;` in a cell or by repeated rows
    split     split
    start     start_s, start              seconds from the first frame
    end       end_s, stop_s, end, stop    seconds; the span is half-open, [start, end); both or neither

Every other column with a name is metadata: its lower-cased name → the cell, left out where the cell is empty.
"""

import math
from pathlib import Path

from schemas.labels import Span
from vimoclip.annotations.record import Annotations, Draft, refuse
from vimoclip.annotations.tables import DELIMITERS, LabelFile
from vimoclip.errors import LabelError

_COLUMNS = {
    "filepath": ("filepath", "path", "file", "video", "video_id", "filename"),
    "label": ("label",),
    "split": ("split",),
    "start_s": ("start_s", "start"),
    "end_s": ("end_s", "stop_s", "end", "stop"),
}
_KNOWN = frozenset(name for names in _COLUMNS.values() for name in names)
_EXPECTED = "a filepath, 0 <= start <= end in seconds or neither, no cell without a column, no contradiction"


def sniff(file: LabelFile) -> bool:
    """Whether the file is of this format: any file is, and `read` says what it lacks."""
    return True


def read(file: LabelFile) -> Annotations:
    """Read a label file; the format is at the top of this module.

    Rows of one video merge, and a repeated label of the same span counts once.

    Raises:
        LabelError: there are no rows, or a column is missing; or rows contradict each other, have more cells than the
            header, or lack a filepath or a possible span. It shows the first 5 such lines, and counts them.
    """
    path, rows = file.path, file.rows(_delimiter(file))
    line, header = next(rows, (0, []))
    if not header:
        raise LabelError(f"{path} is empty.", expected="a header line with filepath and label, then a row a label")
    columns, extras = _columns(path, line, [name.strip().lower() for name in header])
    drafts: dict[str, Draft] = {}
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
        labels = [Span(label.strip(), start, end) for label in values["label"].split(";") if label.strip()]
        conflicts = drafts.setdefault(name, Draft()).add(f"line {line}", labels, facts)
        problems += [f"{conflict} (video {name!r})" for conflict in conflicts]
    refuse(str(path), problems, _EXPECTED)
    return Annotations.of_file(path, (draft.done(name) for name, draft in drafts.items()))


def _delimiter(file: LabelFile) -> str:
    """The delimiter that gives the most known columns in the header and, among equals, is the most frequent there."""
    header = file.first_line.lower().replace('"', "")  # the header alone: cells may hold any delimiter
    known = {each: len(_KNOWN.intersection(map(str.strip, header.split(each)))) for each in DELIMITERS}
    return max(DELIMITERS, key=lambda each: (known[each], header.count(each)))


def _columns(path: Path, line: int, header: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Where each known column is, and each metadata column. A column without a name (a row counter) is neither."""
    present = {role: [name for name in names if name in header] for role, names in _COLUMNS.items()}
    columns = {role: header.index(names[0]) for role, names in present.items() if names}
    received = f"{', '.join(map(repr, header))} on line {line}"
    if not {"filepath", "label"} <= columns.keys():
        expected = f"label, and one of {', '.join(_COLUMNS['filepath'])}"
        raise LabelError(
            f"{path} lacks a required column.",
            received=received,
            expected=expected,
            hint="Add it; docs/labels.md has all formats.",
        )
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
