"""Exports as tables: one Parquet or Arrow IPC file each for frames, videos and labels.

Vectors keep the store's type: fixed-size lists of fp16, null where there is no vector. polars and pyarrow read them
from either format.
"""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from pipelines.export.selection import Selection
from vimoclip.progress import Progress
from vimoclip.store.frame_reader import FrameReader


def write_tables(found: Selection, frames: FrameReader, folder: Path, suffix: str, progress: Progress) -> None:
    """Write the tables of frames, videos and labels.

    Args:
        found: what to export.
        frames: reads its frames.
        folder: where to.
        suffix: `parquet` or `arrow`.
        progress: an item is a frame.
    """
    for name, rows in (("videos", found.videos), ("labels", found.labels)):
        table = plain(rows)
        with table_writer(folder / f"{name}.{suffix}", table.schema) as writer:
            writer.write_table(table)
    whole = found.store.tables["frames"].schema
    schema = pa.schema([whole.field(name).remove_metadata() for name in found.columns])  # the metadata is Lance's
    with table_writer(folder / f"frames.{suffix}", schema) as writer:
        for rows in frames.chunks(found.videos["video_id"], found.columns):
            writer.write_table(rows.cast(schema))
            progress.advance(rows.num_rows)


def table_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter | pa.ipc.RecordBatchFileWriter:
    """Open a file to write tables to, one after the other; its suffix decides the format."""
    if path.suffix == ".arrow":
        return pa.ipc.new_file(str(path), schema)
    # Dictionaries and statistics are of no use for vectors, and would take half of the time.
    words = [field.name for field in schema if pa.types.is_string(field.type)]
    single = [field.name for field in schema if not pa.types.is_nested(field.type)]
    return pq.ParquetWriter(str(path), schema, compression="zstd", use_dictionary=words, write_statistics=single)


def plain(rows: pl.DataFrame) -> pa.Table:
    """Convert to Arrow, with the string type that every reader knows."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    large = pa.large_string()
    return table.cast(pa.schema([pa.field(f.name, pa.string()) if f.type == large else f for f in table.schema]))
