"""Class groups from tables of a data set's own."""

from collections import Counter
from pathlib import Path

import openpyxl
import pytest

from vimoclip.annotations.animal_kingdom import class_names, read_class_groups
from vimoclip.errors import LabelError


@pytest.mark.parametrize("header", ["label,segment", "name;segment;count", "Segment,n,Action"])
def test_csv(tmp_path: Path, header: str) -> None:
    delimiter = ";" if ";" in header else ","
    columns = header.lower().split(delimiter)
    rows = [["a", "tail"], ["b, c", "head"]]
    lines = [header]
    for name, segment in rows:
        cells = {"segment": segment, "n": "3", "count": "3"}
        lines.append(delimiter.join(cells.get(column, f'"{name}"') for column in columns))
    (tmp_path / "s.csv").write_text("\n".join(lines))
    assert read_class_groups(tmp_path / "s.csv", ["b, c", "a"]) == ["head", "tail"]


def test_a_workbook(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["action", "index", "segment"], ["a", 0, "tail"], ["b", 1, "head"]):
        book.active.append(row)
    book.save(tmp_path / "s.xlsx")
    assert read_class_groups(tmp_path / "s.xlsx", ["a", "b"]) == ["tail", "head"]


def test_animal_kingdoms(shared_annotations: Path) -> None:
    folder = shared_annotations / "animal_kingdom"
    classes = list(class_names(folder / "train_multi.txt", "ak_action.csv").values())
    segments = read_class_groups(folder / "df_action.xlsx", classes)
    of = dict(zip(classes, segments, strict=True))
    assert (of["Abseiling"], of["Attacking"], of["Being carried"]) == ("tail", "head", "tail")
    assert Counter(segments) == {"head": 17, "middle": 29, "tail": 94}


def test_case_matters_only_where_it_tells_classes_apart(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("label,segment\nLying Down,head\nrun,head\nRUN,tail\nEat,head\nEAT,tail\n")
    assert read_class_groups(tmp_path / "s.csv", ["Lying down", "run", "RUN"]) == ["head", "head", "tail"]
    with pytest.raises(LabelError, match="none of eat"):
        read_class_groups(tmp_path / "s.csv", ["eat"])


@pytest.mark.parametrize(
    ("text", "message"),
    [("label,count\na,3", "'label', 'count'"), ("", "no rows"), ("label,segment\nb,head", "none of a"),
     ("label,segment\na,", "none of a")],
)  # fmt: skip
def test_what_is_missing(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(LabelError, match=message):
        read_class_groups(tmp_path / "s.csv", ["a"])
