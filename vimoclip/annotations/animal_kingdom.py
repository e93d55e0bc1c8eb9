"""Animal Kingdom's annotation of actions, and MammalNet's lists: labels of whole clips, as ids of classes.

    train_multi.txt, val_multi.txt           clip lists: no header; on every line a clip and the ids of its classes
    mn_train.csv, mn_val.csv, mn_test.csv    clip lists of MammalNet
    train.csv, val.csv                       frame tables: a header; a row a frame or, in the light form, a row a clip
    AR_metadata.xlsx                         metadata: a workbook with a row a clip, on its sheet AR

Names of classes lie beside the file, in ak_action.csv or, for a list whose name begins with `mn_`, in mn_action.csv.
Labels follow the ids, never the rows. `read_class_groups` reads which group (head, middle, tail) each class is in.
"""

import ast
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from schemas.labels import Span
from vimoclip.annotations.record import Annotations, Draft, VideoAnnotations, refuse
from vimoclip.annotations.tables import LabelFile, Row, delimited, text
from vimoclip.errors import LabelError


def sniff(file: LabelFile) -> bool:
    """Whether the file is a clip list, a frame table or the metadata."""
    return _is_metadata(file) or _is_clip(file.first_line) or _frames_delimiter(file.first_line) is not None


def read(file: LabelFile) -> Annotations:
    """Read a file of any of these forms, with the class names that lie beside it.

    Raises:
        LabelError: the file or the class names cannot be read, a line is malformed, or an id has no name.
    """
    if _is_metadata(file):
        return _read_metadata(file)
    if _is_clip(file.first_line):
        return _read_clips(file.path)
    return _read_frames(file.path, _frames_delimiter(file.first_line) or " ")


_NAMES = "ak_action.csv"


def class_names(path: Path, file: str) -> dict[int, str]:
    """Read the names of classes from the file that lies beside a label file.

    It is a CSV with the columns `id` and `name`; Animal Kingdom's rows are not in the order of their ids.

    Args:
        path: of the label file.
        file: the name of the other.

    Returns:
        The name of each id.

    Raises:
        LabelError: the file is missing, cannot be read, or gives an id two names.
    """
    beside = path.parent / file
    if not beside.is_file():
        what = f"{path} holds ids of classes, and the file with their names is missing."
        raise LabelError(what, expected=f"{file} with the columns id and name", hint=f"Put it at {beside}.")
    rows = delimited(beside)
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
    """Return the split in a file's name: the first of `train`, `val` and `test` that is a word of it, or None."""
    words = "".join(letter if letter.isalpha() else " " for letter in path.stem.lower()).split()
    return next((word for word in words if word in ("train", "val", "test")), None)


def _labels(cell: str, names: Mapping[int, str]) -> tuple[list[str], list[str]]:
    """The names of comma-separated ids, and what is wrong with them in words."""
    ids = [each.strip() for each in cell.split(",") if each.strip()]
    known = [each for each in ids if each.isdecimal() and int(each) in names]
    return [names[int(each)] for each in known], [f"no class {each!r}" for each in ids if each not in known]


def _clip(name: str) -> str:
    name = name.strip()
    return name if Path(name).suffix else f"{name}.mp4"


def _header(cells: list[str]) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in cells]


# Clip lists have no header; every line has a clip and the ids of its classes, with blanks between them.
#
#     AAACXZTV.mp4         2 40           Animal Kingdom: train_multi.txt, val_multi.txt; names in ak_action.csv
#     trimmed_videos/Di4eEBZjkA4.mp4 1    MammalNet: mn_train.csv, mn_val.csv, mn_test.csv; names in mn_action.csv
#
# The file's name has the split.


_CLIP = re.compile(r"\s*(\S+\.[A-Za-z0-9]+)((?:\s+[0-9]+)+)\s*")


def _is_clip(line: str) -> bool:
    return _CLIP.fullmatch(line) is not None


def _read_clips(path: Path) -> Annotations:
    file = "mn_action.csv" if path.name.startswith("mn_") else _NAMES
    names = class_names(path, file)
    drafts: dict[str, Draft] = {}
    problems = []
    for number, line in enumerate(text(path).splitlines(), 1):
        if not line.strip():
            continue
        if (clip := _CLIP.fullmatch(line)) is None:
            problems.append(f"line {number}: {line.strip()[:80]!r}")
            continue
        ids = [int(each) for each in clip[2].split()]
        problems += [f"line {number}: no class {each} in {file}" for each in ids if each not in names]
        labels = [Span(names[each]) for each in ids if each in names]
        drafts.setdefault(clip[1], Draft()).add(f"line {number}", labels, {"split": split_of(path) or ""})
    refuse(str(path), problems, f"a clip and the ids of its classes, all of them in {file}, on every line")
    return Annotations.of_file(path, (draft.done(name) for name, draft in drafts.items()), elsewhere=True)


# Frame tables and metadata have a header with `labels`, whose cells are comma-separated ids, "2,40". Clips are ID.mp4.
#
#     train.csv, val.csv    original_vido_id video_id frame_id path labels (sic), a row a frame, with blanks between
#                           cells; video_id is a running number beside an original_vido_id. The light form has a row a
#                           clip, `;` between cells, and fewer columns. The file's name has the split.
#     AR_metadata.xlsx      sheet AR, a row a clip: video_id, type (the split: train or test), labels, and
#                           list_animal_action, a Python list of (animal, action), or of texts that each hold one.
#                           Class names are those of ak_action.csv where it lies beside the workbook, else those of
#                           sheet Action: Label, Action.


_IDS = ("original_vido_id", "original_video_id", "video_id")
_EXPECTED = f"on every line a video, and the ids of its classes with commas between them, all in {_NAMES}"


def _frames_delimiter(header: str) -> str | None:
    """The delimiter of the columns where this is a header of train.csv or val.csv; otherwise None."""
    for delimiter in " ;,\t":
        columns = _header(header.split(delimiter))
        if "labels" in columns and "label" not in columns and any(name in columns for name in _IDS):
            return delimiter
    return None


def _read_frames(path: Path, delimiter: str) -> Annotations:
    """Read one entry a clip from millions of lines, one line at a time."""
    names = class_names(path, _NAMES)
    labels: dict[str, dict[str, None]] = {}
    problems: list[str] = []
    last = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            columns = _header(next(row for row in rows if any(map(str.strip, row))))  # blank lines may lie above
            name_at, ids_at = columns.index(next(name for name in _IDS if name in columns)), columns.index("labels")
            for row in rows:
                if len(row) <= max(name_at, ids_at) or not row[name_at].strip():
                    if any(row):
                        problems.append(f"line {rows.line_num}: {delimiter.join(row)[:80]!r}")
                elif (row[name_at], row[ids_at]) != last:
                    last = (row[name_at], row[ids_at])
                    found, wrong = _labels(row[ids_at], names)
                    problems += [f"line {rows.line_num}: {each}" for each in wrong]
                    labels.setdefault(_clip(row[name_at]), {}).update(dict.fromkeys(found))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        hint = "Take the file as the data set has it."
        raise LabelError(f"{path} cannot be read.", received=error, expected="CSV in UTF-8", hint=hint) from error
    refuse(str(path), problems, _EXPECTED)
    split = split_of(path)
    videos = (VideoAnnotations(name, tuple(map(Span, each)), split) for name, each in labels.items())
    return Annotations.of_file(path, videos)


def _is_metadata(file: LabelFile) -> bool:
    rows = (file.sheets or {}).get("AR", [])
    return bool(rows) and {"video_id", "labels"} <= set(_header(rows[0][1]))


def _read_metadata(file: LabelFile) -> Annotations:
    """Read labels, split, and the animals of a clip as its `species`, joined by `; `."""
    path, sheets = file.path, file.sheets or {}
    names = class_names(path, _NAMES) if (path.parent / _NAMES).is_file() else _actions(path, sheets)
    drafts: dict[str, Draft] = {}
    problems: list[str] = []
    rows = iter(sheets["AR"])
    columns = _header(next(rows)[1])
    for line, row in rows:
        cells = dict(zip(columns, [*map(str.strip, row), *[""] * len(columns)], strict=False))
        if not cells["video_id"]:
            problems.append(f"line {line}: no video_id")
            continue
        found, wrong = _labels(cells["labels"], names)
        try:
            species = "; ".join(dict.fromkeys(_animals(ast.literal_eval(cells.get("list_animal_action") or "[]"))))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            species, wrong = "", [*wrong, f"list_animal_action is {cells['list_animal_action'][:80]!r}"]
        facts = {"split": cells.get("type", ""), "species": species}
        wrong += drafts.setdefault(_clip(cells["video_id"]), Draft()).add(f"line {line}", map(Span, found), facts)
        problems += [f"line {line}: {each}" for each in wrong]
    refuse(f"Sheet AR of {path}", problems, _EXPECTED)
    return Annotations.of_file(path, (draft.done(name) for name, draft in drafts.items()))


def _actions(path: Path, sheets: Mapping[str, list[Row]]) -> dict[int, str]:
    """The name of each id on sheet Action. One published row has lost its id: the one id that no other row has."""
    header, *rows = [row for _, row in sheets.get("Action", [])] or [[]]
    columns = _header(header)
    if not {"label", "action"} <= set(columns):
        received = ", ".join(map(repr, columns)) or "no such sheet"
        hint = f"Put {_NAMES}, with the columns id and name, at {path.parent / _NAMES}."
        raise LabelError(
            f"Sheet Action of {path} lacks class names.", received=received, expected="Label and Action", hint=hint
        )
    cells = [[*map(str.strip, row), *[""] * len(columns)] for row in rows]
    pairs = [(row[columns.index("label")], row[columns.index("action")]) for row in cells]
    names = {int(label): action for label, action in pairs if label.isdecimal() and action}
    lost = [action for label, action in pairs if not label.isdecimal()]
    if len(lost) == 1 and len(free := set(range(len(pairs))) - names.keys()) == 1:
        names[free.pop()] = lost[0]
    return names


def _animals(pairs: object) -> Iterator[str]:
    """The animal of every (animal, action), however deeply lists, and texts that hold such pairs, are nested."""
    if isinstance(pairs, str):
        pairs = ast.literal_eval(pairs)
    if isinstance(pairs, tuple) and pairs:
        yield str(pairs[0]).strip()
    elif isinstance(pairs, list):
        for each in pairs:
            yield from _animals(each)
    else:
        raise ValueError(pairs)


_CLASS = ("label", "action", "class", "name")


def read_class_groups(path: Path, classes: Sequence[str]) -> list[str]:
    """Read the group of each class, such as head, middle and tail, from the column `segment` of a table.

    The table is a CSV file or a workbook, whose first sheet is read, with a header; classes are in the first of the
    columns label, action, class and name that it has. Animal Kingdom's is df_action.xlsx, which writes `Being Carried`
    where its other files have `Being carried`: a class that is missing as written is looked up without regard to case.

    Args:
        path: of the table.
        classes: names of C classes.

    Returns:
        C names of groups, in the order of the classes.

    Raises:
        LabelError: the file cannot be read, lacks these columns, or leaves a class out.
    """
    rows = [cells for _, cells in LabelFile.open(path).rows()]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((name for name in _CLASS if name in header), None)
    if column is None or "segment" not in header:
        raise LabelError(
            f"{path} does not say the groups of classes.",
            received=", ".join(map(repr, header)) or "no rows",
            expected=f"a header with segment, and one of {', '.join(_CLASS)}",
        )
    at, of = header.index(column), header.index("segment")
    written = {row[at].strip(): row[of].strip() for row in rows[1:] if len(row) > max(at, of) and row[of].strip()}
    found = {name: group for name in classes if (group := _group(name, written)) is not None}
    missing = [name for name in classes if name not in found]
    if missing:
        raise LabelError(
            f"{path} leaves out the group of classes.",
            received=f"none of {', '.join(missing[:5])}" + (f" and {len(missing) - 5} more" * (len(missing) > 5)),
            expected="a row for every class of the model",
        )
    return [found[name] for name in classes]


def _group(name: str, written: Mapping[str, str]) -> str | None:
    alike = {group for other, group in written.items() if other.casefold() == name.casefold()}
    return written.get(name) or (alike.pop() if len(alike) == 1 else None)
