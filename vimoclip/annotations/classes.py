"""Class names by their ids, from the file that a data set keeps them in: `ak_action.csv`, `mn_action.csv`.

A CSV with the columns `id` and `name`, in any order of rows: Animal Kingdom's is not in the order of its ids.
"""

from pathlib import Path

from vimoclip.annotations.record import refuse
from vimoclip.annotations.tables import delimited
from vimoclip.errors import LabelError


def class_names(path: Path, file: str) -> dict[int, str]:
    """Id → name, from `file` in the folder of the label file `path`.

    Raises LabelError when it is not there, cannot be read, or says two things of one id.
    """
    beside = path.parent / file
    if not beside.is_file():
        what = f"{path} holds ids of classes, and the file with their names is missing."
        raise LabelError(what, expected=f"{file} with the columns id and name", hint=f"Put it at {beside}.")
    rows = delimited(beside, lambda lines: max(",;\t", key=lines[0].count) if lines else ",")
    line, header = next(rows, (0, []))
    if [cell.strip().lower() for cell in header] != ["id", "name"]:
        received = f"{', '.join(map(repr, header))} on line {line}"
        raise LabelError(f"{beside} does not hold class names.", received=received, expected="the header id,name")
    names: dict[int, str] = {}
    problems = []
    for line, row in rows:
        cells = [cell.strip() for cell in row]
        if len(cells) != 2 or not cells[0].isdecimal() or not cells[1]:
            problems.append(f"line {line}: {', '.join(map(repr, row))}")
        elif names.setdefault(int(cells[0]), cells[1]) != cells[1]:
            problems.append(f"line {line}: class {cells[0]} is {names[int(cells[0])]!r} and {cells[1]!r}")
    refuse(str(beside), problems, "an id and a name on every line, and one name an id")
    return names


def split_of(path: Path) -> str | None:
    """The split that a file's name tells: `train`, `val` or `test`, the first that is a word of it."""
    words = "".join(letter if letter.isalpha() else " " for letter in path.stem.lower()).split()
    return next((word for word in words if word in ("train", "val", "test")), None)
