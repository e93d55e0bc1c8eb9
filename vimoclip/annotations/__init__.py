"""Labels, splits and metadata as people write them down, and which stored video each of them means.

`read` reads a file of any format below, and `from_folders` the folders that hold the videos; both give `Annotations`,
where a video is named as it was written, and `match` finds the video_id behind each name. A format is recognised by
what a file holds, so a file may have any name; only splits, and which class names belong to a list, are told by it.

    csv.py               our own: a header with filepath and label
    animal_kingdom.py         Animal Kingdom's *_multi.txt, MammalNet's mn_*.csv
    animal_kingdom.py    its train.csv / val.csv (a row a frame, or light), AR_metadata.xlsx
    boris.py             BORIS, tabular and aggregated events
    camtrap_dp.py        Camtrap DP, observations.csv with media.csv beside it

Whatever has a header may be an Excel workbook as well, whose first sheet is read. Nothing here opens a video or a
store.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from vimoclip.annotations import animal_kingdom, boris, camtrap_dp, csv
from vimoclip.annotations.matching import Matched, match
from vimoclip.annotations.record import Annotation, Annotations, VideoAnnotations
from vimoclip.annotations.tables import WORKBOOKS, Row, delimited, first_line, workbook
from vimoclip.errors import LabelError

# Labels from where videos lie: the name of the folder, or the label file in it.


FOLDERS = "<folders>"  # the `source` of labels that are names of folders


def from_folders(video_ids: Iterable[str]) -> Annotations:
    """Label each video with the name of the folder that directly holds it; one with no folder in its id gets none."""
    folders = {video_id: video_id.rpartition("/")[0].rpartition("/")[2] for video_id in video_ids}
    videos = (VideoAnnotations(each, (Annotation(folder),) if folder else ()) for each, folder in folders.items())
    return Annotations(FOLDERS, None, tuple(videos))


def find_labels(root: Path) -> Path | None:
    """The `labels.csv` in folder `root`, else the one beside it (in its parent), else None."""
    root = Path(os.path.abspath(root))  # the parent of `.` is `.`, and that of `a/..` is `a`
    return next((path for path in (root / "labels.csv", root.parent / "labels.csv") if path.is_file()), None)


__all__ = [
    "FOLDERS",
    "Annotation",
    "Annotations",
    "Matched",
    "VideoAnnotations",
    "find_labels",
    "from_folders",
    "match",
    "read",
]

_KNOWN = csv.KNOWN | camtrap_dp.KNOWN


def read(path: Path) -> Annotations:
    """Read a label file of any format.

    Raises:
        LabelError: the file, or one that must lie beside it, cannot be read, is not what its header promises, or
            contradicts itself.
    """
    if path.suffix.lower() in WORKBOOKS:
        sheets = workbook(path)
        if animal_kingdom.is_metadata(sheets):
            return animal_kingdom.from_metadata(path, sheets)
        events = [
            name for name, rows in sheets.items() if any(boris.is_header(row) for _, row in rows[: boris.PREAMBLE])
        ]
        if len(events) > 1:
            hint = "Export the observations grouped in one file, or each sheet as CSV."
            raise LabelError(f"{path} has events on several sheets.", received=events, expected="one sheet", hint=hint)
        return _from_rows(path, iter(next(iter(sheets.values()), [])))
    start = first_line(path)
    if animal_kingdom.is_clip(start):
        return animal_kingdom.from_list(path)
    if delimiter := animal_kingdom.delimiter_of_frames(start):
        return animal_kingdom.from_frames(path, delimiter)
    return _from_rows(path, delimited(path, _delimiter))


def _from_rows(path: Path, rows: Iterator[Row]) -> Annotations:
    """Read rows that begin with a header, or, as BORIS's older ones, with lines about the observation."""
    start: list[Row] = []
    for row in rows:
        start.append(row)
        if boris.is_header(row[1]):
            return boris.from_rows(path, start, rows)
        if len(start) == boris.PREAMBLE:
            break
    if start and camtrap_dp.is_header(start[0][1]):
        return camtrap_dp.from_rows(path, chain(start, rows))
    return csv.from_rows(path, chain(start, rows))


def _delimiter(lines: list[str]) -> str:
    """Of the line that is a header of BORIS's, else the one that makes most known columns of the first line."""
    for line in lines[: boris.PREAMBLE]:
        for delimiter in ",;\t":
            if boris.is_header(line.split(delimiter)):
                return delimiter
    header = next(iter(lines), "").lower()  # alone: cells may hold any delimiter
    return max(",;\t", key=lambda each: len(_KNOWN.intersection(map(str.strip, header.split(each)))))
