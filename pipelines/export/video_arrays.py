"""One video's frames as numpy arrays that have a value in every row."""

import numpy as np
import pyarrow as pa

from pipelines.export.selection import Selection
from vimoclip.errors import ExportError
from vimoclip.store.frame_reader import OrderedFrames


def video_arrays(found: Selection, frames: OrderedFrames, video_id: str) -> dict[str, np.ndarray]:
    """Arrays of the n frames of a video, by name.

    frame_index int32, source_frame int64, time_s float64, flow_speed float32; and of each feature `<name>` float16
    (n, D), `<name>_norm` float32 and `<name>_present` bool. Where a feature has no vector it is not present, and its
    vector and norm are zero. flow_speed is NaN where there is no motion.
    """
    rows = pa.concat_tables(frames.chunks([video_id], found.columns[1:]))
    arrays = {name: rows[name].to_numpy() for name in ("frame_index", "source_frame", "time_s")}
    arrays["flow_speed"] = rows["flow_speed"].fill_null(np.float32(np.nan)).to_numpy()
    for feature in found.features:
        vectors = rows[feature.name].combine_chunks()
        present = vectors.is_valid().to_numpy(zero_copy_only=False)
        values = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, feature.dim)  # of those present
        if not present.all():
            dense = np.zeros((len(present), feature.dim), np.float16)
            dense[present] = values
            values = dense
        arrays[feature.name] = values
        arrays[f"{feature.name}_norm"] = rows[f"{feature.name}_norm"].fill_null(np.float32(0)).to_numpy()
        arrays[f"{feature.name}_present"] = present
    return arrays


def check_names(found: Selection, *others: str) -> None:
    """Refuse features whose arrays would have each other's names, or one of `others`.

    Raises:
        ExportError: naming it.
    """
    names = ["frame_index", "source_frame", "time_s", "flow_speed", *others]
    for feature in found.features:
        names += [feature.name, f"{feature.name}_norm", f"{feature.name}_present"]
    for name in names:
        if names.count(name) > 1:
            raise ExportError(
                "Two arrays of this export would have one name.",
                received=name,
                hint="Name the features to export with --feature, or rename one.",
            )
