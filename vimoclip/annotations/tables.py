"""`LabelFile` and the rows of text files and workbooks, before their format is known.

A row is its line number, from 1, and its cells as text. Rows that are all blank are left out.
"""

import csv
import gzip
import io
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path

from vimoclip.errors import LabelError

Row = tuple[int, list[str]]

WORKBOOKS = (".xlsx", ".xlsm")
DELIMITERS = ",;\t"

_START = 100_000  # bytes: enough for a header and the hundred lines that may come before it


@dataclass(frozen=True)
class LabelFile:
    """A label file as far as it is known before a reader takes it.

    Attributes:
        path: of the file, as it was given.
        start: the first 100,000 bytes of a text file, without a byte-order mark; a byte that is not text is U+FFFD.
            Empty for a workbook.
        sheets: the rows of each sheet of a workbook, by the sheet's name. None for a text file.
    """

    path: Path
    start: str = ""
    sheets: Mapping[str, list[Row]] | None = None

    @classmethod
    def open(cls, path: Path) -> "LabelFile":
        """Read a workbook, or the start of a text file.

        Raises:
            LabelError: the file cannot be read, or its suffix is a workbook's but its content is not.
        """
        if path.suffix.lower() in WORKBOOKS:
            return cls(path, sheets=workbook(path))
        start = _bytes(path, _START)
        return cls(path, start.decode(_encoding(start), "replace").removeprefix("\ufeff"))

    @property
    def first_line(self) -> str:
        """The first line of a text file that is not blank; empty where there is none."""
        return next(iter(self._lines), "")

    def header_delimiter(self, is_header: Callable[[list[str]], bool], within: int = 1) -> str | None:
        """Find the delimiter with which one of the first rows is a header.

        A workbook, whose cells need no delimiter, gives the first of DELIMITERS where it has the header. A file that is
        not CSV down to its header gives one all the same, and `rows` says what is wrong.

        Args:
            is_header: whether the cells of a row are the header.
            within: how many rows to try.

        Returns:
            The delimiter; None where no row is a header.
        """
        found = {}
        for delimiter in DELIMITERS if self.sheets is None else DELIMITERS[:1]:
            rows = _csv_rows(self.path, self.start, delimiter) if self.sheets is None else _first_sheet(self.sheets)
            try:
                above = next((n for n, (_, cells) in enumerate(islice(rows, within)) if is_header(cells)), None)
            except LabelError:
                lines = [line.replace('"', "").split(delimiter) for line in self._lines[:within]]
                above = next((n for n, cells in enumerate(lines) if is_header(cells)), None)
            if above is not None:
                found[delimiter] = above
        return min(found, key=found.__getitem__, default=None)

    def rows(self, delimiter: str | None = None) -> Iterator[Row]:
        """Read every row of a workbook's first sheet, or of a text file, as `delimited` does.

        Raises:
            LabelError: the text file cannot be read, is neither UTF-8 nor UTF-16, or not CSV.
        """
        return delimited(self.path, delimiter) if self.sheets is None else iter(_first_sheet(self.sheets))

    @cached_property
    def _lines(self) -> list[str]:
        return [line for line in self.start.splitlines() if line.strip()]


def _first_sheet(sheets: Mapping[str, list[Row]]) -> list[Row]:
    return next(iter(sheets.values()), [])


def _bytes(path: Path, most: int = -1) -> bytes:
    """The first bytes of a file, or all, without the compression of gzip."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                return file.read(most)
            with gzip.open(file) as inside:
                return inside.read(most)
    except (OSError, EOFError, zlib.error) as error:
        what = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
        raise LabelError(what, expected="a file of labels") from error


def _encoding(content: bytes) -> str:
    """UTF-16 where a byte-order mark says so, as Excel writes `Unicode Text`; else UTF-8."""
    return "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"


def text(path: Path) -> str:
    """Read a whole file in UTF-8, or in UTF-16 with a byte-order mark, without that mark.

    Raises:
        LabelError: the file cannot be read, or is neither; names the line of a wrong byte.
    """
    content = _bytes(path)
    encoding = _encoding(content)
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        name = encoding.upper()
        line = len((error.object[: error.start] + b".").splitlines())
        received = f"byte 0x{error.object[error.start]:02x} at position {error.start}, on line {line}"
        hint = "Save the file as UTF-8 (spreadsheets call it 'CSV UTF-8')."
        raise LabelError(f"{path} is not {name} text.", received=received, expected=name, hint=hint) from error


def delimited(path: Path, delimiter: str | None = None) -> Iterator[Row]:
    """Read the rows of a CSV file.

    Args:
        path: of the file.
        delimiter: between cells; None is the one of DELIMITERS that the header has most often.

    Raises:
        LabelError: at the first row, the file cannot be read or is not text; at any row, it is not CSV.
    """
    whole = text(path)
    if delimiter is None:
        header = next((line for line in whole[:_START].splitlines() if line.strip()), "")
        delimiter = max(DELIMITERS, key=header.count)
    yield from _csv_rows(path, whole, delimiter)


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[Row]:
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


def workbook(path: Path) -> dict[str, list[Row]]:
    """Read the rows of every sheet of an Excel workbook, by the sheet's name; formulas as their last values.

    Raises:
        LabelError: the file cannot be read, or is not a workbook.
    """
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of what it ignores: styles, drop-down lists
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                for sheet in book.worksheets:
                    sheet.reset_dimensions()  # some programs write a wrong extent, beyond which rows would be lost
                return {sheet.title: _sheet(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
            finally:
                book.close()
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {error.strerror or error}.", expected="a workbook") from error
    except Exception as error:  # openpyxl raises anything at all on a damaged file
        hint = "Open it in a spreadsheet and save it again, or export it as CSV."
        what = f"{path} is not an Excel workbook."
        raise LabelError(what, received=repr(error), expected="a file that is .xlsx inside", hint=hint) from error


def _sheet(rows: Iterator[tuple[object, ...]]) -> list[Row]:
    cells = ((line, [_cell(value) for value in row]) for line, row in enumerate(rows, 1))
    return [(line, row) for line, row in cells if any(cell.strip() for cell in row)]


def _cell(value: object) -> str:
    """A cell as a CSV file would hold it."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, timedelta):  # a time of more than a day, or in the format [h]:mm:ss
        minutes, seconds = divmod(round(value.total_seconds(), 6), 60)
        return f"{int(minutes // 60)}:{int(minutes % 60):02d}:{seconds:09.6f}"
    return value.isoformat() if isinstance(value, datetime) else str(value)
