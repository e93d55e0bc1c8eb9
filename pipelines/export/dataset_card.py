"""The README.md of a `datasets` folder: the YAML that names its splits and columns, and what they mean."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.export.selection import Selection

_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}  # of Arrow's types; others are called alike


@dataclass(frozen=True)
class SplitFiles:
    """A split as it was written. files: a pattern, relative to the folder. bytes: in memory."""

    name: str
    files: str
    videos: int
    bytes: int


def card(found: Selection, schema: pa.Schema, splits: list[SplitFiles]) -> str:
    """The text of README.md."""
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

Exported from a ViMoCLIP store. One row a video; lists have one entry a stored frame.

| column | holds |
|---|---|
| `video_id` | the video's path below the folder that was ingested |
| `labels` | label, start_s, end_s; a label of the whole video has no start and end |
| `frame_index`, `source_frame` | the frame's number among those stored, and among those decoded |
| `time_s` | seconds from the first frame |
| `flow_speed` | mean optical flow in frame widths a second; NaN at the first frame, which has none |
| `<feature>` | float16 vectors of unit length, one a frame |
| `<feature>_norm` | the length that they had; vector · norm is the model's raw output |
| `<feature>_present` | false where there is no vector; vector and norm are zero there |

| feature | of | width | model | weights | training | fingerprint |
|---|---|---|---|---|---|---|
{made_by}

All that made them is in `features.json`.
"""


def _column(kind: pa.DataType) -> dict[str, Any]:
    """A column's type in the YAML of `datasets`."""
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
