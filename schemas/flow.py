"""The `flow` table: the optical flow of each stored frame.

With it a motion student can be trained without decoding the videos again. It is a table of its own because an image
beside the vectors makes row writes several times slower. `flow` is one grey JPEG of 448 rows by 224 columns: the u
plane above the v plane, uint8, a signed square root on a fixed scale (see vimoclip/flow/encoding.py). It is grey rather
than colour so that neither plane is chroma-subsampled. Frame 0 of a video has no motion and no row.
"""

import pyarrow as pa

from schemas import key

FLOW = pa.schema(
    [
        key("video_id", pa.string(), 1),
        key("take", pa.int64(), 2),
        key("frame_index", pa.int32(), 3),
        pa.field("flow", pa.binary(), nullable=False),
    ]
)
