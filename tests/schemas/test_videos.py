"""The `videos` table and its record."""

import dataclasses
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from schemas.videos import VIDEOS, Video
from tests.schemas.tables import KEY, assert_keys, round_trip

NOW = datetime(2025, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
FAILED = Video(
    video_id="x' OR '1'='1/Taï\n.mp4",
    status="failed",
    path="/videos/x",
    root="/videos",
    content_hash="blake2b-128:00",
    bytes=2**40,
    mtime_ns=2**62,
    ingested_at=NOW,
    error_kind="unreadable",
    error="It cannot be read.",
    attempts=3,
)
OK = dataclasses.replace(
    FAILED,
    video_id="ok.mp4",
    status="ok",
    take=2**60 + 1,
    codec="h264",
    width=320,
    height=240,
    fps=29.97,
    time_source="rate",
    frames=7,
    decoded_frames=9,
    duration_s=0.3,
    fingerprint="0123456789abcdef",
    reduced_batch=True,
    duplicate_of="other",
    split="train",
    metadata='{"site": "Taï"}',
)


def test_record_and_schema_name_the_same_fields() -> None:
    assert {f.name for f in dataclasses.fields(Video)} == set(VIDEOS.names)


def test_fields_without_a_default_or_with_a_value_by_default_are_never_null() -> None:
    nullable = {f.name for f in dataclasses.fields(Video) if f.default is None}
    assert {field.name for field in VIDEOS if field.nullable} == nullable


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([asdict(FAILED), asdict(OK)], schema=VIDEOS)
    assert [Video(**row) for row in round_trip(tmp_path, rows).to_pylist()] == [FAILED, OK]


def test_keys_stay_keys(tmp_path: Path) -> None:
    found = round_trip(tmp_path, pa.Table.from_pylist([asdict(OK)], schema=VIDEOS)).schema
    assert_keys(found, ["video_id"])
    assert KEY not in (found.field("take").metadata or {})
