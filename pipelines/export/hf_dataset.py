"""Exports as a folder that Hugging Face's `datasets.load_dataset` reads as it is: one row per video, and README.md."""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pipelines.export.npz import check_names, video_arrays
from pipelines.export.selection import Selection
from pipelines.export.tables import plain, table_writer
from schemas.videos import VIDEOS
from vimoclip.progress import Progress
from vimoclip.store.frame_reader import FrameReader

# README.md: YAML that names the splits and columns for `datasets`, and what they mean.


_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}  # of Arrow's types; the others are the same


@dataclass(frozen=True)
class SplitFiles:
    """A split as it was written.

    Attributes:
        name: as `datasets` has it.
        files: a pattern of its files, relative to the folder.
        videos: how many.
        bytes: of its rows in memory.
    """

    name: str
    files: str
    videos: int
    bytes: int


def card(found: Selection, schema: pa.Schema, splits: list[SplitFiles]) -> str:
    """The text of README.md.

    Args:
        found: what is exported.
        schema: of the rows.
        splits: as they were written.
    """
    from huggingface_hub import DatasetCardData  # slow to load

    data = DatasetCardData(
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split.name, "path": split.files} for split in splits],
            }
        ],
        dataset_info={
            "features": [{"name": field.name, **_column(field.type)} for field in schema],
            "splits": [
                {"name": split.name, "num_bytes": split.bytes, "num_examples": split.videos} for split in splits
            ],
        },
    )
    made_by = "\n".join(
        f"| `{f.name}` | {f.kind} | {f.dim} | {f.model} | {f.weights} | {f.training} | `{f.fingerprint}` |"
        for f in found.features
    )
    return f"""---
{data.to_yaml()}
---

# Features of {found.videos.height} videos, {found.frames} frames

Exported from a ViMoCLIP store. One row per video; lists have one entry per stored frame.

| column | holds |
|---|---|
| `video_id` | the video's path below the folder that was ingested |
| `labels` | label, start_s, end_s; a label of the whole video has no start and end |
| `frame_index`, `source_frame` | the frame's number among the stored frames, and among the decoded frames |
| `time_s` | seconds from the first frame |
| `flow_speed` | mean optical flow in frame widths per second; NaN at the first frame, which has none |
| `<feature>` | float16 vectors of unit length, one per frame |
| `<feature>_norm` | the vectors' length before; vector · norm is the model's raw output |
| `<feature>_present` | false where there is no vector; vector and norm are zero there |

| feature | of | width | model | weights | training | fingerprint |
|---|---|---|---|---|---|---|
{made_by}

`features.json` has everything that made them.
"""


def _column(kind: pa.DataType) -> dict[str, Any]:
    """A column's type, as the YAML of `datasets` has it."""
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        of = kind.value_type
        inner: Any
        if pa.types.is_struct(of):
            inner = [{"name": field.name, **_column(field.type)} for field in of]
        else:
            inner = _column(of)
            inner = inner.get("dtype", inner)
        length = {"length": kind.list_size} if pa.types.is_fixed_size_list(kind) else {}
        return {"list": inner, **length}
    return {"dtype": _NAMES.get(str(kind), str(kind))}


# Names of splits that Hugging Face's `datasets` accepts.


UNSPLIT = "unsplit"
"""The split of videos without one; they must not be mistaken for training data."""

_LONGEST = 60  # characters in the name of a split, which is a part of file names


def split_names(splits: Iterable[str | None]) -> dict[str | None, str]:
    """Find a name for each split: letters, digits and _, but not `all`; unique even without regard to case.

    A split that already has such a name keeps it; of several that differ only in case, one keeps it.

    Args:
        splits: of the store; None is that of videos without one.

    Returns:
        Names by split.
    """
    names: dict[str | None, str] = {}
    each = set(splits)
    kept = {split for split in each if split is not None and _fits(split)}
    for split in sorted(each, key=lambda split: (split not in kept, split is not None, split or "")):
        name = base = _mended(split)
        number = 2
        while name.casefold() in (other.casefold() for other in names.values()):
            name, number = f"{base}_{number}", number + 1
        names[split] = name
    return names


def _fits(split: str) -> bool:
    return split != "all" and re.fullmatch(rf"\w{{1,{_LONGEST}}}", split) is not None


def _mended(split: str | None) -> str:
    if split is None:
        return UNSPLIT
    name = re.sub(r"\W", "_", split)[:_LONGEST]
    return f"{name}_" if name in ("", "all") else name


# The rows.


GROUP_BYTES, SHARD_BYTES = 32 << 20, 512 << 20
"""Bytes of a row group, which is written and read at once; and about those of a file, as the Hub advises."""

_OF_VIDEO = ("video_id", "split", "fps", "duration_s", "width", "height")
_OF_FRAMES = {
    "frame_index": pa.int32(),
    "source_frame": pa.int64(),
    "time_s": pa.float64(),
    "flow_speed": pa.float32(),
}
_SPANS = pa.list_(pa.struct([("label", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]))


def write_dataset(found: Selection, frames: FrameReader, folder: Path, progress: Progress) -> dict[str | None, str]:
    """Write `data/<split>-00000.parquet` … and README.md.

    A row holds one video, so that the longest video bounds the memory.

    Args:
        found: what to export.
        frames: reads its frames.
        folder: where to.
        progress: an item is a frame.

    Returns:
        Names of the splits in the export, by the store's; None is the split of videos without one.

    Raises:
        ExportError: two columns would have the same name.
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
            progress.advance(len(arrays["frame_index"]))

    names = split_names(found.videos["split"])
    (folder / "data").mkdir()
    written = []
    for split, name in sorted(names.items(), key=lambda item: item[1]):
        of_split = videos.filter(pa.array(found.videos["split"].eq_missing(split).to_list()))
        written.append(_write(name, rows(of_split), schema, folder))
    (folder / "README.md").write_text(card(found, schema, written), encoding="utf-8")
    return names


def _videos(found: Selection) -> pl.DataFrame:
    """The columns about whole videos, and the store's metadata under names that other columns do not have."""
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
