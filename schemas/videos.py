"""The `videos` table: one row per video, and the record of what is committed.

A row with status `ok` names the **take**: the one set of rows in `frames` and `flow` that readers see. It is written
after them, so a crash can leave rows that are never seen but never half a video, and replacing a video means replacing
one row.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import pyarrow as pa

from schemas import key

Status = Literal["ok", "failed", "duplicate", "removed"]
TimeSource = Literal["pts", "repaired", "rate", "assumed"]

VIDEOS = pa.schema(
    [
        key("video_id", pa.string(), 1),
        pa.field("status", pa.string(), nullable=False),
        pa.field("take", pa.int64()),
        pa.field("path", pa.string(), nullable=False),
        pa.field("root", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("codec", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("fps", pa.float64()),
        pa.field("time_source", pa.string()),
        pa.field("repaired_times", pa.int64()),
        pa.field("repaired_at", pa.string()),
        pa.field("container_start_s", pa.float64()),
        pa.field("first_frame_s", pa.float64()),
        pa.field("levels", pa.string()),
        pa.field("frames", pa.int64()),
        pa.field("decoded_frames", pa.int64()),
        pa.field("duration_s", pa.float64()),
        pa.field("fingerprint", pa.string()),
        pa.field("reduced_batch", pa.bool_(), nullable=False),
        pa.field("duplicate_of", pa.string()),
        pa.field("split", pa.string()),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("error_kind", pa.string()),
        pa.field("error", pa.string()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("ingested_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Video:
    """One row of `videos`.

    Attributes:
        video_id: POSIX path relative to the ingested folder, unchanged (unicode, quotes and all).
        status: `ok`; `failed` (error_kind and error say why); `duplicate` (same content as duplicate_of); `removed`.
        path: absolute path of the file when it was last seen.
        root: absolute path of the folder it was found under.
        content_hash: `blake2b-128:<hex>` of the whole file.
        bytes: size of the file.
        mtime_ns: its modification time.
        ingested_at: UTC.
        take: names this video's rows in frames and flow; null unless frames were stored. An `ok` row always has one.
        codec: name of the video's codec.
        width: pixels after rotation.
        height: pixels after rotation.
        fps: mean decoded frames per second, by the times that are stored.
        time_source: where the times come from: `pts`, the file gives every one; `repaired`, it gives them, and those
            that are missing or do not increase lie between their neighbours; `rate` (n / the container's average rate,
            because the file gives no times); `assumed` (as `rate`, but the file does not name a rate: 25).
        repaired_times: how many times were repaired.
        repaired_at: the decoded frames that they belong to, as `100, 230-245`; cut short with `...` after 20 ranges.
        container_start_s: the time at which the file begins, sound and all, on its own clock in seconds: where a
            player's clock shows 0. None where the file does not say, and in rows that format 1 wrote.
        first_frame_s: the first frame's time on the same clock.
        levels: how deep pictures (more than 8 bits) became 8 bits, as `1024-4095 of 0-65535`; None for others.
        frames: the number of rows stored.
        decoded_frames: the number of frames that the file decodes to.
        duration_s: the last frame's time plus one period.
        fingerprint: of the features this take was made with (see schemas/features.py).
        reduced_batch: the device ran out of memory and the batch was halved: vectors may differ in their last bits.
        duplicate_of: the video_id of the video with the same content.
        split: the split that a label file names, such as `train`, `val` or `test`; null without one.
        metadata: JSON object of strings: the other columns of a label file (site, species, ...).
        error_kind: why it failed, in a word; see `vimoclip.errors.VideoError`.
        error: why it failed; on an `ok` row, why a newer version of the file could not replace this take.
        attempts: how often it was decoded.
    """

    video_id: str
    status: Status
    path: str
    root: str
    content_hash: str
    bytes: int
    mtime_ns: int
    ingested_at: datetime
    take: int | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    time_source: TimeSource | None = None
    repaired_times: int | None = None
    repaired_at: str | None = None
    container_start_s: float | None = None
    first_frame_s: float | None = None
    levels: str | None = None
    frames: int | None = None
    decoded_frames: int | None = None
    duration_s: float | None = None
    fingerprint: str | None = None
    reduced_batch: bool = False
    duplicate_of: str | None = None
    split: str | None = None
    metadata: str = field(default="{}")
    error_kind: str | None = None
    error: str | None = None
    attempts: int = 0

    @property
    def clock_offset_s(self) -> float:
        """What a player's clock shows at the first frame, in seconds: 0 where it is not known."""
        if self.container_start_s is None or self.first_frame_s is None:
            return 0.0
        return self.first_frame_s - self.container_start_s
