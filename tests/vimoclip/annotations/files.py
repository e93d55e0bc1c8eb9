"""Label files as tests write them, and what is read from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from vimoclip.annotations import Annotations, KnownVideo, read
from vimoclip.errors import LabelError


def write(folder: Path, name: str, text: str) -> Path:
    """A text file in a folder."""
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def workbook(path: Path, **sheets: Sequence[Sequence[object]]) -> Path:
    """An Excel workbook of these sheets."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def spans(annotations: Annotations) -> dict[str, list[tuple[str, float, float]]]:
    """Video as written → its labels."""
    return {each.name: [(a.label, a.start_s, a.end_s) for a in each.labels] for each in annotations.videos}


def refusal(path: Path) -> str:
    """The message with which a file is refused."""
    with pytest.raises(LabelError) as caught:
        read(path)
    return str(caught.value)


def stored(paths: Mapping[str, str]) -> dict[str, KnownVideo]:
    """Stored videos of which nothing but the path of each id is known."""
    return {video_id: KnownVideo(path) for video_id, path in paths.items()}
