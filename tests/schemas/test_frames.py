"""The `frames` table: its columns follow from the features."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.frames import frames_schema
from tests.schemas.tables import assert_keys, round_trip

FIXED = ["video_id", "take", "frame_index", "source_frame", "time_s", "flow_speed"]


@pytest.mark.parametrize("dims", [{"clip": 512}, {"clip": 512, "moclip": 512}, {"bio": 3, "clip": 4, "moclip": 5}])
def test_a_vector_column_and_its_norm_for_each_feature(dims: dict[str, int]) -> None:
    schema = frames_schema(dims)
    assert set(schema.names) == {*FIXED, *dims, *(f"{name}_norm" for name in dims)}
    assert {name: schema.field(name).type for name in dims} == {
        name: pa.list_(pa.float16(), d) for name, d in dims.items()
    }
    # What may be missing: what has no motion. What may not: where a row belongs.
    assert [field.name for field in schema if not field.nullable] == FIXED[:-1]


def test_rows_come_back_to_the_last_bit(tmp_path: Path) -> None:
    vector = np.array([0.1, -65504, 6e-8, 0], np.float16)
    row = {"video_id": "a", "take": 2**60, "frame_index": 0, "source_frame": 2**40, "time_s": 0.1, "clip_norm": 0.1}
    rows = pa.Table.from_pylist(
        [row | {"clip": vector, "flow_speed": None}, row | {"frame_index": 1, "clip": None, "clip_norm": None}],
        schema=frames_schema({"clip": 4}),
    )
    found = round_trip(tmp_path, rows)
    assert found.equals(rows)
    assert np.array_equal(np.array(found["clip"][0].as_py(), np.float16), vector)
    assert found["clip"].null_count == found["clip_norm"].null_count == 1
    assert_keys(found.schema, ["video_id", "take", "frame_index"])
