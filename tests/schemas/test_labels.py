"""The `labels` table and its record."""

import dataclasses
import math
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemas.labels import LABELS, Label
from tests.schemas.tables import assert_keys, round_trip

ROWS = [
    Label(video_id="a", label="grooming", source="labels.csv"),
    Label(video_id="a", label='"eats", 50%', source="labels.csv", start_s=0.0, end_s=1.5),
    Label(video_id="猿", label="call", source="folders", start_s=2.25, end_s=2.25),
    Label(video_id="a", label="call", source="e.tsv", start_s=1.0, end_s=2.0, subject="m1", clock="player"),
]


def test_record_and_schema_name_the_same_fields() -> None:
    assert {f.name for f in dataclasses.fields(Label)} == set(LABELS.names)
    assert [field.name for field in LABELS if field.nullable] == ["subject", "clock"]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = round_trip(tmp_path, pa.Table.from_pylist([asdict(row) for row in ROWS], schema=LABELS))
    assert [Label(**row) for row in rows.to_pylist()] == ROWS
    assert_keys(rows.schema, ["video_id", "label", "start_s", "source"])  # and subject, which may be null


def test_a_label_without_a_span_is_of_the_whole_video() -> None:
    assert ROWS[0].whole_video and (ROWS[0].start_s, ROWS[0].end_s) == (-math.inf, math.inf)
    assert not ROWS[1].whole_video  # though it starts at the first frame


@pytest.mark.parametrize(("t", "expected"), [(0.0, {"whole"}), (1.0, {"whole", "bout"}), (2.0, {"whole"})])
def test_one_condition_finds_labels_at_a_time(t: float, expected: set[str]) -> None:
    rows = [
        Label(video_id="a", label="whole", source="s"),
        Label(video_id="a", label="bout", source="s", start_s=0.5, end_s=1.5),
    ]
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=LABELS)
    found = table.filter((pc.field("start_s") < t) & (pc.field("end_s") > t))
    assert set(found["label"].to_pylist()) == expected
