"""Lists without a header: on every line a clip and the ids of its classes, with blanks between them.

    AAACXZTV.mp4         2 40           Animal Kingdom: train_multi.txt, val_multi.txt; names in ak_action.csv
    trimmed_videos/Di4eEBZjkA4.mp4 1    MammalNet: mn_train.csv, mn_val.csv, mn_test.csv; names in mn_action.csv

The names lie beside the list. The split is in the name of the file.
"""

import os
import re
from pathlib import Path

from vimoclip.annotations.classes import class_names, split_of
from vimoclip.annotations.record import Annotation, Annotations, Draft, refuse
from vimoclip.annotations.tables import text

_CLIP = re.compile(r"\s*(\S+\.[A-Za-z0-9]+)((?:\s+[0-9]+)+)\s*")


def is_clip(line: str) -> bool:
    """Whether this is a line of such a list."""
    return _CLIP.fullmatch(line) is not None


def from_list(path: Path) -> Annotations:
    """Read a list. Raises LabelError for a line that is none, and for an id that has no name, with their lines."""
    file = "mn_action.csv" if path.name.startswith("mn_") else "ak_action.csv"
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
        labels = [Annotation(names[each]) for each in ids if each in names]
        drafts.setdefault(clip[1], Draft()).add(f"line {number}", labels, {"split": split_of(path) or ""})
    refuse(str(path), problems, f"a clip and the ids of its classes, all of them in {file}, on every line")
    videos = tuple(draft.done(name) for name, draft in drafts.items())
    return Annotations(path.name, Path(os.path.abspath(path)).parent, videos, elsewhere=True)
