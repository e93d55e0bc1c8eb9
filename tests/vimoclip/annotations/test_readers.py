"""Formats as rows of READERS: a format is one module and one row, and each is told in the docs."""

import importlib
from pathlib import Path

import pytest

import vimoclip.annotations
from tests.vimoclip.annotations.files import refusal, spans, workbook, write
from vimoclip.annotations import READERS, read

SUBTITLES = '''
"""Subtitles as labels: SubRip, whose video has the same name."""

import re

from schemas.labels import Span
from vimoclip.annotations import Annotations, LabelFile, VideoAnnotations

_TIMES = re.compile(r"00:00:(\\d+),000 --> 00:00:(\\d+),000")


def sniff(file: LabelFile) -> bool:
    return file.first_line == "1" and "-->" in file.start


def read(file: LabelFile) -> Annotations:
    cues = file.path.read_text().strip().split("\\n\\n")
    labels = []
    for _, times, text in map(str.splitlines, cues):
        labels.append(Span(text, *map(float, _TIMES.fullmatch(times).groups())))
    return Annotations.of_file(file.path, [VideoAnnotations(file.path.stem + ".mp4", tuple(labels))])
'''
CUES = "1\n00:00:01,000 --> 00:00:03,000\ngrooming\n\n2\n00:00:04,000 --> 00:00:09,000\nresting\n"


def test_a_new_format_is_a_module_and_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab").mkdir()
    write(tmp_path / "lab", "__init__.py", "")
    write(tmp_path / "lab", "subtitles.py", SUBTITLES)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = write(tmp_path, "a.srt", CUES)
    assert "lacks a required column" in refusal(path)
    monkeypatch.setattr(vimoclip.annotations, "READERS", (("SubRip", "lab.subtitles"), *READERS))
    assert spans(read(path)) == {"a.mp4": [("grooming", 1.0, 3.0), ("resting", 4.0, 9.0)]}
    assert spans(read(write(tmp_path, "own.csv", "filepath,label,start,end\na.mp4,x,1,2\n"))) == {
        "a.mp4": [("x", 1.0, 2.0)]
    }


def test_each_reader_is_in_the_docs() -> None:
    headings = {line.removeprefix("## ").lower() for line in Path("docs/labels.md").read_text().splitlines()}
    assert {name.lower() for name, _ in READERS} <= headings


def test_only_the_last_reader_takes_any_file(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "x.csv", "filepath,label\n"),
        write(tmp_path, "y.csv", ""),
        workbook(tmp_path / "z.xlsx", s=[]),
    ]
    for path in files:
        file = vimoclip.annotations.LabelFile.open(path)
        taken = [importlib.import_module(module).sniff(file) for _, module in READERS]
        assert taken == [*[False] * (len(READERS) - 1), True]


@pytest.mark.parametrize("lines", [0, 130])
def test_the_header_of_events_may_lie_below_a_long_description(tmp_path: Path, lines: int) -> None:
    description = '"' + "\n".join(["quiet, warm; windy"] * lines) + '"'
    text = f"Observation id;o\nDescription;{description}\nTime;Media file path;Behavior;Status\n"
    events = "1;a.mp4;groom;START\n3;a.mp4;groom;STOP\n"
    assert spans(read(write(tmp_path, "events.csv", text + events))) == {"a.mp4": [("groom", 1.0, 3.0)]}


def test_events_below_a_broken_quote_are_told_to_be_no_csv(tmp_path: Path) -> None:
    text = 'Observation id\to\nDescription\t"groom" test\nTime\tMedia file path\tBehavior\tStatus\n1\ta.mp4\tx\tPOINT\n'
    assert "is not CSV from line 2" in refusal(write(tmp_path, "events.tsv", text))


def test_the_first_of_two_headers_says_the_delimiter(tmp_path: Path) -> None:
    first = "Time\tMedia file path\tBehavior\tStatus\n1\ta.mp4\tgroom\tPOINT\n"
    second = "Time,Media file path,Behavior,Status\n2,a.mp4,rest,POINT\n"
    assert "line 3: no behaviour; line 4: no behaviour" in refusal(write(tmp_path, "events.tsv", first + second))
