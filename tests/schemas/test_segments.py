"""The `segments` table: its columns follow from the spaces, and what made it comes back."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.segments import INDEX_KEY, MadeFrom, SegmentSettings, segments_schema
from tests.schemas.tables import assert_keys, round_trip

FIXED = ["video_id", "take", "start_frame", "end_frame", "start_s", "end_s"]
SETTINGS = SegmentSettings(
    2.0, 0.5, {"appearance": MadeFrom("clip", "0" * 16), "motion": MadeFrom('it\'s "so"', "1" * 16)}
)


@pytest.mark.parametrize("dims", [{"appearance": 8}, {"appearance": 8, "motion": 6}, {"motion": 6}])
def test_a_column_for_each_space_and_only_they_may_be_null(dims: dict[str, int]) -> None:
    schema = segments_schema(dims, SETTINGS)
    assert schema.names == [*FIXED, *dims]
    assert {name: schema.field(name).type for name in dims} == {
        name: pa.list_(pa.float16(), d) for name, d in dims.items()
    }
    assert [field.name for field in schema if not field.nullable] == FIXED


def test_rows_and_settings_come_back_to_the_last_bit(tmp_path: Path) -> None:
    row = {
        "video_id": "Taï e\u0301.mp4",
        "take": 2**60,
        "start_frame": 0,
        "end_frame": 50,
        "start_s": 0.1,
        "end_s": 2.1,
    }
    vector = np.array([0.1, -1, 6e-8, 0], np.float16)
    rows = pa.Table.from_pylist(
        [row | {"appearance": vector}, row | {"start_frame": 25, "appearance": None}],
        schema=segments_schema({"appearance": 4}, SETTINGS),
    )
    found = round_trip(tmp_path, rows)
    assert found.equals(rows)
    assert np.array_equal(np.array(found["appearance"][0].as_py(), np.float16), vector)
    assert_keys(found.schema, ["video_id", "take", "start_frame"])
    assert SegmentSettings.from_json(found.schema.metadata[INDEX_KEY]) == SETTINGS


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"window_s": 1, "stride_s": 1, "spaces": {"motion": {}}}'])
def test_what_is_no_settings_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        SegmentSettings.from_json(text)
