"""The `frames` table: one row per stored frame, with a column per feature. Its conventions hold everywhere:

- `frame_index` counts stored frames from 0; `source_frame` counts decoded ones. Ranges of either are half-open.
- Times are seconds from the first frame, and strictly increase. They are the file's, as FFmpeg's best_effort_timestamp
  has them: pts, or dts where these do better. Frames stay in decode order: real files have pts that fall although the
  decode order is correct, and sorting by them would shuffle the frames. A time that is missing or does not increase is
  repaired alone: it lies evenly between the trusted ones around it. `videos.time_source`, `repaired_times` and
  `repaired_at` say so. Only where a file gives no times at all are they n / average rate.
- Motion at stored frame t runs from the frame decoded just before it to t, whatever the sampling, so that storing fewer
  frames stores a subset of the same vectors. It is in frame widths per second, u to the right and v down. Frame 0 has
  no motion: its `moclip` is null.
- Vectors are finite, and L2-normalised before they become fp16; `clip_norm` and `moclip_norm` recover the raw ones.
- Readers see only rows of the take that the `videos` row names.
"""

import pyarrow as pa

from schemas import key


def frames_schema(dims: dict[str, int]) -> pa.Schema:
    """The schema for these features.

    Args:
        dims: the width D of each feature, by its name: `{"clip": 512}`.

    Returns:
        The columns of every store and, for each feature, `<name>` fp16[D] and `<name>_norm`.
    """
    vectors = []
    for name, dim in dims.items():
        vectors.append(pa.field(name, pa.list_(pa.float16(), dim)))
        vectors.append(pa.field(f"{name}_norm", pa.float32()))
    return pa.schema(
        [
            key("video_id", pa.string(), 1),
            key("take", pa.int64(), 2),
            key("frame_index", pa.int32(), 3),
            pa.field("source_frame", pa.int64(), nullable=False),
            pa.field("time_s", pa.float64(), nullable=False),
            *vectors,
            pa.field("flow_speed", pa.float32()),
        ]
    )
