"""Exports as a folder that Hugging Face's `datasets.load_dataset` reads as it is, one row a video."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pipelines.export.dataset_card import SplitFiles, card
from pipelines.export.selection import Selection
from pipelines.export.split_names import split_names
from pipelines.export.tables import plain, table_writer
from pipelines.export.video_arrays import check_names, video_arrays
from schemas.videos import VIDEOS
from vimoclip.store.frame_reader import OrderedFrames

GROUP_BYTES, SHARD_BYTES = 32 << 20, 512 << 20
"""Of rows that are written, and read, at once; and about the size of a file, as the Hub advises."""

_OF_VIDEO = ("video_id", "split", "fps", "duration_s", "width", "height")
_OF_FRAMES = {
    "frame_index": pa.int32(),
    "source_frame": pa.int64(),
    "time_s": pa.float64(),
    "flow_speed": pa.float32(),
}
_SPANS = pa.list_(pa.struct([("label", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]))


def write_dataset(
    found: Selection, frames: OrderedFrames, folder: Path, progress: Callable[[int], None]
) -> dict[str | None, str]:
    """Write `data/<split>-00000.parquet` … and README.md; what each of the store's splits is called there.

    A row holds one video, so that memory is bounded by the longest one.

    Raises:
        ExportError: two columns would have one name.
    """
    check_names(found, *_OF_VIDEO, "labels")
    videos = plain(_videos(found))
    schema = _schema(found, videos.schema)
    labels = found.labels.partition_by("video_id", as_dict=True)

    def rows(of_split: pa.Table) -> Iterator[pa.Table]:
        for video in of_split.to_pylist():
            spans = labels.get((video["video_id"],), found.labels.clear()).select("label", "start_s", "end_s")
            arrays = video_arrays(found, frames, video["video_id"])
            yield _row(schema, video | {"labels": spans.to_dicts()}, arrays)
            progress(len(arrays["frame_index"]))

    names = split_names(found.videos["split"])
    (folder / "data").mkdir()
    written = []
    for split, name in sorted(names.items(), key=lambda item: item[1]):
        of_split = videos.filter(pa.array(found.videos["split"].eq_missing(split).to_list()))
        written.append(_write(name, rows(of_split), schema, folder))
    (folder / "README.md").write_text(card(found, schema, written), encoding="utf-8")
    return names


def _videos(found: Selection) -> pl.DataFrame:
    """What may be wanted of whole videos, and the store's metadata, under names that no other column has."""
    taken = {*_OF_VIDEO, *_OF_FRAMES, "labels"}
    taken |= {f"{feature.name}{end}" for feature in found.features for end in ("", "_norm", "_present")}
    columns = [pl.col(name) for name in _OF_VIDEO]
    for column in found.videos.columns:
        if column in VIDEOS.names:
            continue
        name = column
        while name in taken:
            name = f"metadata.{name}"
        taken.add(name)
        columns.append(pl.col(column).alias(name))
    return found.videos.select(columns)


def _schema(found: Selection, videos: pa.Schema) -> pa.Schema:
    vectors = []
    for feature in found.features:
        vectors += [
            (feature.name, pa.list_(pa.list_(pa.float16(), feature.dim))),
            (f"{feature.name}_norm", pa.list_(pa.float32())),
            (f"{feature.name}_present", pa.list_(pa.bool_())),
        ]
    of_frames = [(name, pa.list_(kind)) for name, kind in _OF_FRAMES.items()]
    more = [pa.field(name, kind) for name, kind in (("labels", _SPANS), *of_frames, *vectors)]
    return pa.schema([*videos, *more])


def _row(schema: pa.Schema, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in arrays:
            columns.append(pa.array([values[field.name]], field.type))
            continue
        array = arrays[field.name]
        flat = pa.array(array.ravel())
        per_frame = flat if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
        columns.append(pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), per_frame))
    return pa.Table.from_arrays(columns, schema=schema)


def _write(name: str, rows: Iterable[pa.Table], schema: pa.Schema, folder: Path) -> SplitFiles:
    groups = _groups(rows)
    videos = size = 0
    for number, first in enumerate(groups):
        with table_writer(folder / "data" / f"{name}-{number:05}.parquet", schema) as writer:
            in_shard = 0
            for group in itertools.chain([first], groups):
                writer.write_table(group)
                videos, size, in_shard = videos + group.num_rows, size + group.nbytes, in_shard + group.nbytes
                if in_shard >= SHARD_BYTES:
                    break
    return SplitFiles(name, f"data/{name}-*.parquet", videos, size)


def _groups(rows: Iterable[pa.Table]) -> Iterator[pa.Table]:
    group: list[pa.Table] = []
    size = 0
    for row in rows:
        group.append(row)
        size += row.nbytes
        if size >= GROUP_BYTES:
            yield pa.concat_tables(group)
            group, size = [], 0
    if group:
        yield pa.concat_tables(group)
