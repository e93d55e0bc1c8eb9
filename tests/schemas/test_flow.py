"""The `flow` table."""

from pathlib import Path

import pyarrow as pa

from schemas.flow import FLOW
from tests.schemas.tables import assert_keys, round_trip


def test_rows_come_back_byte_for_byte(tmp_path: Path) -> None:
    row = {"video_id": "Tai\u0308.mp4", "take": 2**60, "frame_index": 1}
    rows = pa.Table.from_pylist(
        [row | {"flow": bytes(range(256))}, row | {"frame_index": 2, "flow": b""}],
        schema=FLOW,
    )
    found = round_trip(tmp_path, rows)
    assert found.to_pylist() == rows.to_pylist()
    assert_keys(found.schema, ["video_id", "take", "frame_index"])
    assert not any(field.nullable for field in found.schema)
