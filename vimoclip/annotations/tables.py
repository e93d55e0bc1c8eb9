"""Rows of text files and workbooks, before anybody knows what they mean.

A row is its line number, from 1, and its cells as text. Rows that are all blank are left out.
"""

import csv
import io
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from vimoclip.errors import LabelError

Row = tuple[int, list[str]]

WORKBOOKS = (".xlsx", ".xlsm")


def text(path: Path) -> str:
    """A whole file of UTF-8, without its byte-order mark. Raises LabelError that names the line of a wrong byte."""
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {error.strerror}.", expected="a file of labels") from error
    except UnicodeDecodeError as error:
        line = len((error.object[: error.start] + b".").splitlines())
        received = f"byte 0x{error.object[error.start]:02x} at position {error.start}, on line {line}"
        hint = "Save the file as UTF-8 (spreadsheets call it 'CSV UTF-8')."
        raise LabelError(f"{path} is not UTF-8 text.", received=received, expected="UTF-8", hint=hint) from error


def first_line(path: Path, most: int = 4096) -> str:
    """The first line that is not blank, or as much of it as lies in the first bytes; empty where there is none."""
    try:
        with path.open("rb") as file:
            start = file.read(most)
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {error.strerror}.", expected="a file of labels") from error
    return next(iter(start.decode("utf-8", "replace").removeprefix("\ufeff").strip().splitlines()), "")


def delimited(path: Path, delimiter: Callable[[list[str]], str]) -> Iterator[Row]:
    """Rows of a CSV file; `delimiter` picks it from the first 100 lines that are not blank, quotes taken out.

    Raises LabelError when it cannot be read, is not UTF-8 or not CSV.
    """
    whole = text(path)
    start = [line.replace('"', "") for line in whole[:100_000].splitlines() if line.strip()]
    # Strict: otherwise a quote that is never closed swallows the rest of the file without a word.
    with_delimiter = delimiter(start[:100])
    rows = csv.reader(io.StringIO(whole, newline=""), delimiter=with_delimiter, skipinitialspace=True, strict=True)
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
    """The rows of every sheet of an Excel workbook, by the sheet's name; formulas as what they last came to."""
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it leaves aside: styles, drop-down lists
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                for sheet in book.worksheets:
                    sheet.reset_dimensions()  # some programs write a wrong extent, and all beyond it would be lost
                return {sheet.title: _sheet(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
            finally:
                book.close()
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {error.strerror or error}.", expected="a workbook") from error
    except Exception as error:  # the library passes on whatever a damaged file ran into
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
    return value.isoformat() if isinstance(value, datetime) else str(value)
