"""Arrow tables through real Lance, and what must be left of their keys."""

from pathlib import Path

import lance
import pyarrow as pa

KEY = b"lance-schema:unenforced-primary-key"


def round_trip(folder: Path, rows: pa.Table) -> pa.Table:
    """The rows as Lance gives them back, with the schema on disk."""
    lance.write_dataset(rows, folder / "table.lance", schema=rows.schema)
    dataset = lance.dataset(folder / "table.lance")
    return dataset.to_table().cast(dataset.schema)


def assert_keys(schema: pa.Schema, names: list[str]) -> None:
    """These fields, in this order, are the key: not null, and known to Lance as primary key; no others are."""
    keys = {field.name: field for field in schema if (field.metadata or {}).get(KEY) == b"true"}
    positions = {name: int(field.metadata[KEY + b":position"]) for name, field in keys.items()}
    assert positions == {name: at for at, name in enumerate(names, start=1)}
    assert not any(field.nullable for field in keys.values())
