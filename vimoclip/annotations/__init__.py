"""Labels, splits and metadata as people write them down, and which stored video each of them means.

`read` reads a file of any format below, and `from_folders` the folders that hold the videos; both give `Annotations`,
where a video is named as it was written, and `match` finds the video_id behind each name. A format is recognised by
what a file holds, so a file may have any name; only splits, and which class names belong to a list, follow from it.

    animal_kingdom.py    Animal Kingdom: clip lists (*_multi.txt), frame tables (train.csv, val.csv: a row a frame, or
                         light) and AR_metadata.xlsx; MammalNet: clip lists (mn_*.csv)
    boris.py             BORIS: tabular and aggregated events
    boris_project.py     BORIS: projects, which are JSON
    camtrap_dp.py        Camtrap DP: observations.csv, with media.csv beside it
    csv.py               our own: a header with filepath and label; whatever no other reader takes
    csv_columns.py       what the columns of our own are

    record.py            `Annotations`, the form that every format becomes
    recordings.py        recordings in several files: in which of them an event lies
    matching.py          `match`: which stored video each written name means
    tables.py            `LabelFile`: rows of text files and workbooks

To add a format, write its module, with `sniff` and `read` as `Reader` has them, and put a row into `READERS`.

A file with a header and a row a label may also be an Excel workbook, whose first sheet is read. Nothing here opens a
video or a store.
"""

import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, cast

from schemas.labels import Span
from vimoclip.annotations.matching import KnownVideo, Matched, match
from vimoclip.annotations.record import Annotations, VideoAnnotations, normalised
from vimoclip.annotations.tables import LabelFile

__all__ = [
    "FOLDERS",
    "READERS",
    "Annotations",
    "KnownVideo",
    "LabelFile",
    "Matched",
    "Reader",
    "VideoAnnotations",
    "find_labels",
    "from_folders",
    "match",
    "read",
]


class Reader(Protocol):
    """What a module that reads a format must define."""

    def sniff(self, file: LabelFile) -> bool:
        """Whether the file is of this format, by its first rows alone."""

    def read(self, file: LabelFile) -> Annotations:
        """Read a file that `sniff` took.

        Raises:
            LabelError: the file, or one that must lie beside it, cannot be read, is not what its header promises, or
                contradicts itself.
        """


READERS: tuple[tuple[str, str], ...] = (
    ("BORIS project", "vimoclip.annotations.boris_project"),
    ("Animal Kingdom", "vimoclip.annotations.animal_kingdom"),
    ("BORIS", "vimoclip.annotations.boris"),
    ("Camtrap DP", "vimoclip.annotations.camtrap_dp"),
    ("our file", "vimoclip.annotations.csv"),
)
"""Formats and the modules that read them. The first whose `sniff` accepts a file reads it; the last accepts any."""


def read(path: Path) -> Annotations:
    """Read a label file of any format.

    Raises:
        LabelError: the file, or one that must lie beside it, cannot be read, is not what its header promises, or
            contradicts itself.
    """
    file = LabelFile.open(path)
    readers = (cast(Reader, importlib.import_module(module)) for _, module in READERS)
    return next(reader for reader in readers if reader.sniff(file)).read(file)


FOLDERS = "<folders>"
"""The `source` of labels that are names of folders."""


def from_folders(video_ids: Iterable[str]) -> Annotations:
    """Label each video with the name of the folder that directly holds it; one with no folder in its id gets none."""
    folders = {video_id: video_id.rpartition("/")[0].rpartition("/")[2] for video_id in video_ids}
    videos = (
        VideoAnnotations(each, (Span(normalised(folder)),) if normalised(folder) else ())
        for each, folder in folders.items()
    )
    return Annotations(FOLDERS, None, tuple(videos))


def find_labels(root: Path) -> Path | None:
    """Find the `labels.csv` in folder `root`, else the one beside it (in its parent), else None."""
    root = Path(os.path.abspath(root))  # the parent of `.` is `.`, and that of `a/..` is `a`
    return next((path for path in (root / "labels.csv", root.parent / "labels.csv") if path.is_file()), None)
