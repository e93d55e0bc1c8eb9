"""Segments of classes that a data set names by itself, such as head, middle and tail: the column `segment` of a table.

A CSV file or a workbook, whose first sheet is read, with a header; classes are in the first of the columns label,
action, class or name that it has. Animal Kingdom's is df_action.xlsx, which writes `Being Carried` where its other
files have `Being carried`: a class that is not there as it is written is looked for without regard to case.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vimoclip.annotations.tables import WORKBOOKS, delimited, workbook
from vimoclip.errors import LabelError

_CLASS = ("label", "action", "class", "name")


def read_segments(path: Path, classes: Sequence[str]) -> list[str]:
    """The segment of each class.

    Raises:
        LabelError: the file cannot be read, has no such columns, or leaves a class out.
    """
    if path.suffix.lower() in WORKBOOKS:
        rows = [cells for _, cells in next(iter(workbook(path).values()), [])]
    else:
        rows = [cells for _, cells in delimited(path, lambda lines: max(",;\t", key="".join(lines[:1]).count))]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((name for name in _CLASS if name in header), None)
    if column is None or "segment" not in header:
        raise LabelError(
            f"{path} does not say the segments of classes.",
            received=", ".join(map(repr, header)) or "no rows",
            expected=f"a header with segment, and one of {', '.join(_CLASS)}",
        )
    at, of = header.index(column), header.index("segment")
    written = {row[at].strip(): row[of].strip() for row in rows[1:] if len(row) > max(at, of) and row[of].strip()}
    found = {name: segment for name in classes if (segment := _segment(name, written)) is not None}
    missing = [name for name in classes if name not in found]
    if missing:
        raise LabelError(
            f"{path} leaves out the segment of classes.",
            received=f"none of {', '.join(missing[:5])}" + (f" and {len(missing) - 5} more" * (len(missing) > 5)),
            expected="a row for every class of the model",
        )
    return [found[name] for name in classes]


def _segment(name: str, written: Mapping[str, str]) -> str | None:
    alike = {segment for other, segment in written.items() if other.casefold() == name.casefold()}
    return written.get(name) or (alike.pop() if len(alike) == 1 else None)
