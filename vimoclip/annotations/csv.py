"""Our own label file: CSV or a workbook, whose header line ignores case and surrounding blanks.

The delimiter is the one of comma, semicolon and tab that gives the most known columns in the header. Where a header
has several names for one column, the first in this list is that column and the others are metadata:

    video     filepath, path, file, video, video_id, filename    required; relative to the file's folder, or absolute
    label     label                       required, cells may be empty; several by `;` in a cell or by repeated rows
    split     split
    start     start_s, start, start_time, time_start, `Start (s)`, start_frame …    from the first frame
    end       end_s, stop_s, end, stop, end_time …    the span is half-open, [start, end); both or neither
    subject   subject, individual         whose behaviour a row is
    fps       fps, frame_rate             the video's rate; times in frames need it
    duration  duration_s …                of the bout where there is a start and no end, else of the video

`csv_columns` knows the other names of starts and ends. Every other column with a name is metadata: its lower-cased name
→ the cell, left out where the cell is empty; but a column that looks like a time is refused. Cells such as NA are empty
(`record.MISSING`), but for filepaths.
"""

import math
from pathlib import Path

from schemas.labels import Span
from vimoclip.annotations.csv_columns import FILEPATH, Columns, Edge, recognise, seconds
from vimoclip.annotations.record import Annotations, Draft, present, refuse
from vimoclip.annotations.tables import DELIMITERS, LabelFile
from vimoclip.errors import LabelError

_KNOWN = frozenset((*FILEPATH, "label", "split", "start_s", "start", "end_s", "stop_s", "end", "stop"))
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
    path, delimiter = file.path, _delimiter(file)
    lines = file.rows(delimiter)
    line, header = next(lines, (0, []))
    if not header:
        raise LabelError(f"{path} is empty.", expected="a header line with filepath and label, then a row a label")
    _check(path, line, [name.strip().lower() for name in header])
    rows = [(line, len(row), row + [""] * (len(header) - len(row))) for line, row in lines]
    columns, doubtful = recognise(header, [cells for _, _, cells in rows])
    if doubtful:
        raise LabelError(
            f"{path} has columns that look like times, and their names are not understood.",
            received=", ".join(map(repr, doubtful)),
            expected="start_s and end_s in seconds from the first frame, or start_frame and end_frame with fps",
            hint="Rename them so; or, if they are not times in the video, for example to time_of_day.",
        )
    if columns.frame_fps is None and any(some and some[0].unit == "frame" for some in (columns.starts, columns.ends)):
        at = next(some[0].at for some in (columns.starts, columns.ends) if some and some[0].unit == "frame")
        raise LabelError(
            f"{path} has times in frames, and no rate.",
            received=repr(header[at].strip()),
            expected="a column fps",
            hint="Add a column fps, the frames per second by which they are counted.",
        )
    drafts: dict[str, Draft] = {}
    videos: dict[str, list[float | None]] = {}  # duration and rate by name
    problems: list[str] = []
    for line, length, cells in rows:
        name = cells[columns.video]
        try:
            if length > len(header):
                raise ValueError(f"{length} cells under {len(header)} columns")
            if not name.strip():
                raise ValueError("no filepath")
            row = _Row(columns, cells, delimiter != ",")
            start, end = row.span()
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        facts, subject = row.facts(start, end), row.cell(columns.subject)
        labels = [Span(each, start, end, subject or None) for each in row.labels()]
        if subject and not labels and columns.subject is not None:
            facts[header[columns.subject].strip().lower()] = subject  # nothing else would keep it
        conflicts = drafts.setdefault(name, Draft()).add(f"line {line}", labels, facts)
        problems += [f"{conflict} (video {name!r})" for conflict in conflicts]
        known = videos.setdefault(name, [None, None])
        known[:] = [known[0] or row.video_duration(), known[1] or row.number(columns.fps)]
    refuse(str(path), problems, _EXPECTED)
    return Annotations.of_file(path, (draft.done(name, *videos[name]) for name, draft in drafts.items()))


def _delimiter(file: LabelFile) -> str:
    """The delimiter that gives the most known columns in the header and, among equals, is the most frequent there."""
    header = file.first_line.lower().replace('"', "")  # the header alone: cells may hold any delimiter
    known = {each: len(_KNOWN.intersection(map(str.strip, header.split(each)))) for each in DELIMITERS}
    return max(DELIMITERS, key=lambda each: (known[each], header.count(each)))


def _check(path: Path, line: int, header: list[str]) -> None:
    received = f"{', '.join(map(repr, header))} on line {line}"
    if "label" not in header or not set(FILEPATH) & set(header):
        expected = f"label, and one of {', '.join(FILEPATH)}"
        raise LabelError(
            f"{path} lacks a required column.",
            received=received,
            expected=expected,
            hint="Add it; docs/labels.md has all formats.",
        )
    if twice := [name for name in dict.fromkeys(header) if name and header.count(name) > 1]:
        raise LabelError(f"{path} has two columns called {twice[0]!r}.", received=received, hint="Rename one of them.")


class _Row:
    """The cells of one row, by what their columns are.

    comma: whether fractions may be written with a comma.
    """

    def __init__(self, columns: Columns, cells: list[str], comma: bool) -> None:
        self._columns = columns
        self._cells = cells
        self._comma = comma

    def cell(self, at: int | None) -> str:
        return "" if at is None else present(self._cells[at])

    def number(self, at: int | None) -> float | None:
        """A positive number, or None."""
        try:
            number = float(self.cell(at).replace(",", ".") if self._comma else self.cell(at))
        except ValueError:
            return None
        return number if 0 < number < math.inf else None

    def labels(self) -> list[str]:
        cells = self._cells[self._columns.label].split(";")
        return [label for each in cells if (label := present(each))]

    def span(self) -> tuple[float, float]:
        """The span in seconds; the whole video where there are no times. Raises ValueError that says what is wrong."""
        columns = self._columns
        first = next((edge for edge in columns.starts if self.cell(edge.at)), None)
        last = next((edge for edge in columns.ends if self.cell(edge.at)), None)
        length = None if last else columns.duration
        if length and not (first and self.cell(length.at)):
            length = None
        if first is None and last is None:
            return -math.inf, math.inf
        start, end = (self._cells[edge.at].strip() if edge else "" for edge in (first, last or length))
        if first is None or (last or length) is None:
            written = [self._cells[some[0].at].strip() if some else "" for some in (columns.starts, columns.ends)]
            start, end = start or written[0], end or written[1]
            raise ValueError(f"start {start!r} and end {end!r}: one of them is missing")
        try:
            begin = self._seconds(first)
            finish = self._seconds(last) if last else begin + self._seconds(length)
        except ValueError as error:
            why = f": {error}" if "rate" in str(error) else " or times such as 0:01:05.5"
            raise ValueError(f"start {start!r} and end {end!r} are not two numbers{why}") from None
        if not 0 <= begin <= finish < math.inf:
            raise ValueError(f"start {start!r} and end {end!r} are negative, not finite or in the wrong order")
        return begin, finish

    def facts(self, start: float, end: float) -> dict[str, str]:
        """The split and the metadata, without the duration of a bout."""
        columns = self._columns
        facts = {name: self.cell(at) for name, at in columns.metadata.items()} | {"split": self.cell(columns.split)}
        if columns.duration and start > -math.inf:
            try:
                same = abs(self._seconds(columns.duration) - (end - start)) <= 0.05
            except ValueError:
                same = False
            if same:
                facts = {
                    name: cell for name, cell in facts.items() if columns.metadata.get(name) != columns.duration.at
                }
        return facts

    def video_duration(self) -> float | None:
        """How long the video is, where the row says so."""
        columns = self._columns
        edge = columns.video_duration or (None if columns.starts or columns.ends else columns.duration)
        try:
            length = self._seconds(edge) if edge and self.cell(edge.at) else 0.0
        except ValueError:
            return None
        return length if 0 < length < math.inf else None

    def _seconds(self, edge: Edge | None) -> float:
        if edge is None:
            raise ValueError("no time")
        fps = self.number(self._columns.frame_fps)
        moment = seconds(self.cell(edge.at), edge.unit, fps, self._comma)
        if edge.included and fps:
            moment += 1 / fps
        return moment + 0.0  # -0.0 becomes 0.0: they would be two keys in the store
