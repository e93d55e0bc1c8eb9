"""Bouts to BORIS's events and back through the importer of BORIS's events: the same spans."""

import csv
import io
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.vimoclip.annotations.files import spans, write
from tests.vimoclip.made_up_predictions import prediction, predictions
from vimoclip.annotations import KnownVideo, match, read
from vimoclip.prediction.export import AGGREGATED, TABULAR, Form, boris_rows

FORMS: list[Form] = ["aggregated", "tabular"]
LONG = prediction("site/a.mp4", [(n, n + 2) for n in range(9)], [[n % 5 / 5 + 0.1, n // 4 / 2] for n in range(9)])
SHORT = prediction("b.mp4", [(0, 1 / 3)], [[0.1, 0.9]])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_reading_gives_the_same_spans(tmp_path: Path, form: Form, delimiter: str) -> None:
    found = predictions(LONG, SHORT, window_s=2.0)
    annotations = read(write(tmp_path, "events.txt", boris_rows(found, form, delimiter)))
    assert annotations.unpaired == annotations.unplaced == ()
    assert {name: sorted(own) for name, own in spans(annotations).items()} == {
        each.path: sorted((bout.label, bout.start_s, bout.end_s) for bout in each.bouts) for each in found
    }
    assert len(LONG.bouts) > 2
    stored = {each.video: KnownVideo(each.path, each.duration_s, each.fps) for each in found}
    assert sorted(match(annotations, stored).videos) == sorted(stored)
    assert all(not video.metadata for video in annotations.videos)


@pytest.mark.parametrize("form", FORMS)
def test_times_are_those_of_the_player_that_counts_from_where_the_file_begins(tmp_path: Path, form: Form) -> None:
    """A recording whose sound begins 0.75 s before its first frame."""
    late = replace(SHORT, clock_offset_s=0.75)
    rows = list(csv.DictReader(io.StringIO(boris_rows(predictions(late), form))))
    if form == "aggregated":
        assert [rows[0][name] for name in ("Start (s)", "Stop (s)", "Duration (s)")] == [
            "0.750",
            "1.083333",
            "0.333333",
        ]
    else:
        assert [row["Time"] for row in rows] == ["0.750", "1.083333"]
    assert {row["Media duration (s)"] for row in rows} == {"1.083333"}
    assert [(bout["start_s"], bout["end_s"]) for bout in predictions(late).to_dict()["videos"][0]["bouts"]] == [
        (0.0, 0.333333)
    ]


def test_columns_and_cells() -> None:
    rows = list(csv.DictReader(io.StringIO(boris_rows(predictions(SHORT), "aggregated"))))
    assert tuple(rows[0]) == AGGREGATED
    assert {name: rows[0][name] for name in ("Start (s)", "Stop (s)", "Behavior type", "Source", "Comment start")} == {
        "Start (s)": "0.000",
        "Stop (s)": "0.333333",
        "Behavior type": "STATE",
        "Source": "player #1:/videos/b.mp4",
        "Comment start": "score 0.9000",
    }
    rows = list(csv.DictReader(io.StringIO(boris_rows(predictions(SHORT), "tabular"))))
    assert tuple(rows[0]) == TABULAR
    assert [(row["Behavior type"], row["Time"]) for row in rows] == [("START", "0.000"), ("STOP", "0.333333")]


NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda name: name == name.strip() and "\ufeff" not in name
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.lists(NAMES, min_size=2, max_size=2, unique=True))
@example(["a;b|player #2:c.mp4", "x' OR '1'='1.mp4", '"', "na"], ["player #1:", "STOP"])
@example(["-dash, comma.mp4", "\N{SNOWMAN}.mp4"], ["NA", "a;b"])
def test_hostile_names(tmp_path: Path, videos: list[str], labels: list[str]) -> None:
    found = predictions(*(
        prediction(name, [(0, 2), (1, 3), (4, 6.5)], [[0.9, 0.1], [0.1, 0.1], [0.6, 0.9]], (labels[0], labels[1]))
        for name in videos
    ))  # fmt: skip
    for form in FORMS:
        annotations = read(write(tmp_path, "events.csv", boris_rows(found, form)))
        assert annotations.unpaired == annotations.unplaced == ()
        assert {name: sorted(own) for name, own in spans(annotations).items()} == {
            # Labels are read in Unicode NFC, however the class is written.
            each.path: sorted((unicodedata.normalize("NFC", b.label), b.start_s, b.end_s) for b in each.bouts)
            for each in found
        }
