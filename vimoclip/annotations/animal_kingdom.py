"""Animal Kingdom's own annotation of actions, which is of whole clips, as files with a header.

train.csv, val.csv    original_vido_id video_id frame_id path labels (sic), a row a frame, with blanks between cells;
                      labels are ids by commas: "2,40". The light form has a row a clip and `;`, and fewer columns.
AR_metadata.xlsx      sheet AR, a row a clip: video_id, type (the split: train or test), labels, and list_animal_action,
                      a Python list of (animal, action), or of texts that each hold one. Sheet Action: Label, Action.

Labels follow the ids. `video_id` is a running number where there is an original_vido_id. Clips are named ID.mp4.
"""

import ast
import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from vimoclip.annotations.classes import class_names, split_of
from vimoclip.annotations.record import Annotation, Annotations, Draft, VideoAnnotations, refuse
from vimoclip.annotations.tables import Row
from vimoclip.errors import LabelError

_NAMES = "ak_action.csv"
_IDS = ("original_vido_id", "original_video_id", "video_id")
_EXPECTED = f"on every line a video, and the ids of its classes with commas between them, all in {_NAMES}"


def delimiter_of_frames(header: str) -> str | None:
    """What lies between the columns, where this is a header of train.csv or val.csv; else None."""
    for delimiter in " ;,\t":
        columns = _header(header.split(delimiter))
        if "labels" in columns and "label" not in columns and any(name in columns for name in _IDS):
            return delimiter
    return None


def from_frames(path: Path, delimiter: str) -> Annotations:
    """Read train.csv or val.csv, full (millions of lines, read one at a time) or light, as one entry a clip."""
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
    videos = (VideoAnnotations(name, tuple(map(Annotation, each)), split) for name, each in labels.items())
    return Annotations(path.name, Path(os.path.abspath(path)).parent, tuple(videos))


def is_metadata(sheets: Mapping[str, list[Row]]) -> bool:
    """Whether a workbook is AR_metadata.xlsx."""
    return bool(sheets.get("AR")) and {"video_id", "labels"} <= set(_header(sheets["AR"][0][1]))


def from_metadata(path: Path, sheets: Mapping[str, list[Row]]) -> Annotations:
    """Read sheet AR: labels, split, and the animals of a clip as its `species`, joined by `; `.

    Class names are those of ak_action.csv where it lies beside the workbook, else those of sheet Action.
    """
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
        wrong += drafts.setdefault(_clip(cells["video_id"]), Draft()).add(f"line {line}", map(Annotation, found), facts)
        problems += [f"line {line}: {each}" for each in wrong]
    refuse(f"Sheet AR of {path}", problems, _EXPECTED)
    videos = tuple(draft.done(name) for name, draft in drafts.items())
    return Annotations(path.name, Path(os.path.abspath(path)).parent, videos)


def _actions(path: Path, sheets: Mapping[str, list[Row]]) -> dict[int, str]:
    """Id → name of sheet Action. In the published file one row has lost its id: that is the one id no other row has."""
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


def _labels(cell: str, names: Mapping[int, str]) -> tuple[list[str], list[str]]:
    """The names of ids with commas between them, and in words what is wrong with them."""
    ids = [each.strip() for each in cell.split(",") if each.strip()]
    known = [each for each in ids if each.isdecimal() and int(each) in names]
    return [names[int(each)] for each in known], [f"no class {each!r}" for each in ids if each not in known]


def _animals(pairs: object) -> Iterator[str]:
    """The animal of every (animal, action), however deep the lists, and the texts that hold one, are nested."""
    if isinstance(pairs, str):
        pairs = ast.literal_eval(pairs)
    if isinstance(pairs, tuple) and pairs:
        yield str(pairs[0]).strip()
    elif isinstance(pairs, list):
        for each in pairs:
            yield from _animals(each)
    else:
        raise ValueError(pairs)


def _clip(name: str) -> str:
    name = name.strip()
    return name if Path(name).suffix else f"{name}.mp4"


def _header(cells: list[str]) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in cells]
