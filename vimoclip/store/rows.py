"""Embedded frames on their way to a commit: checked, made into rows of `frames` and `flow`, and buffered.

They are checked here because Lance accepts NaN and gaps as they come.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from schemas.features import Feature
from schemas.flow import FLOW
from vimoclip.atomic import defer_interrupts
from vimoclip.errors import VideoError
from vimoclip.frames import Embeddings, FrameBatch


def check(frames: FrameBatch, features: dict[str, Feature], count: int, last_source: int, last_s: float) -> None:
    """Refuse frames that do not follow the frames before them.

    Args:
        frames: of one video.
        features: those of the store that are made here, by name.
        count: how many frames came before.
        last_source: the decoded frame that the last of those was.
        last_s: its time in seconds.

    Raises:
        VideoError: `embedding-failed`: the frames are not consecutive; a value is missing, is there without motion, or
            has another shape or dtype than the store's features have; or a vector is not finite or not of unit length.
    """
    n, video_id = len(frames.frame_index), frames.video_id
    if n == 0 or not np.array_equal(frames.frame_index, np.arange(count, count + n)):
        raise _refused(f"Frames of {video_id} are not consecutive.", frames.frame_index.tolist()[:5], count)
    columns = {"source_frame": frames.source_frame, "time_s": frames.time_s, "flow_speed": frames.flow_speed}
    for name, column in columns.items():
        if column.shape != (n,):
            raise _refused(f"{name} of {video_id} has the wrong form.", column.shape, (n,))
    if not (np.diff(frames.source_frame, prepend=last_source) > 0).all():
        raise _refused(f"Source frames of {video_id} do not increase.", frames.source_frame.tolist()[:5])
    times = np.concatenate([[last_s], frames.time_s])
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise _refused(f"Times of {video_id} do not increase.", frames.time_s.tolist()[:5])
    if count == 0 and times[1] != 0:
        raise _refused(f"Times of {video_id} do not start at its first frame.", times[1], 0)
    moving = frames.frame_index > 0
    if [flow is not None for flow in frames.flow] != moving.tolist():
        raise _refused(f"Not every frame of {video_id} but the first has flow.")
    speed = frames.flow_speed[moving]
    if not (np.isfinite(speed) & (speed >= 0)).all():
        raise _refused(f"flow_speed of {video_id} is not finite.", speed.tolist()[:5])
    if set(frames.features) != set(features):
        raise _refused(f"Features of {video_id} differ.", set(frames.features), set(features))
    for name, vectors in frames.features.items():
        due = moving if features[name].kind == "motion" else np.ones(n, np.bool_)
        check_vectors(video_id, features[name], vectors, due)


def check_vectors(video_id: str, feature: Feature, vectors: Embeddings, due: np.ndarray) -> None:
    """Refuse vectors of a video that cannot be stored.

    Args:
        video_id: the video.
        feature: what the vectors are of.
        vectors: of n frames.
        due: which frames must have a vector; the others must not, bool (n,).

    Raises:
        VideoError: `embedding-failed`: as `check`.
    """
    form, expected = vectors.values, (len(due), feature.dim)
    if form.shape != expected or form.dtype != np.float16 or vectors.norm.shape != due.shape:
        raise _refused(f"{feature.name} has the wrong form.", f"{form.dtype} {form.shape}", f"float16 {expected}")
    if not np.array_equal(vectors.present, due):
        raise _refused(f"{feature.name} of {video_id} is missing somewhere, or is there without motion.")
    values, norm = vectors.values[vectors.present], vectors.norm[vectors.present]
    length = np.linalg.norm(values.astype(np.float32), axis=1)
    if not ((np.isfinite(norm) & (norm > 0)).all() and (np.abs(length - 1) < 1e-2).all()):  # NaN compares false
        raise _refused(f"{feature.name} of {video_id} has vectors that are not finite and of unit length.")


def _refused(what: str, received: object = None, expected: object = None) -> VideoError:
    """The error for frames that cannot be stored."""
    return VideoError("embedding-failed", what, received=received, expected=expected)


def frame_rows(schema: pa.Schema, take: int, frames: FrameBatch) -> pa.Table:
    """Make rows of `frames`.

    Args:
        schema: that of the table, to the letter.
        take: the take that the frames belong to.
        frames: with the vectors of some or all features; the columns of the others are null.
    """
    n = len(frames.frame_index)
    still = np.array([flow is None for flow in frames.flow])
    columns = {
        "video_id": pa.array([frames.video_id] * n, pa.string()),
        "take": pa.array(np.full(n, take, np.int64)),
        "frame_index": pa.array(frames.frame_index.astype(np.int32)),
        "source_frame": pa.array(frames.source_frame.astype(np.int64)),
        "time_s": pa.array(frames.time_s.astype(np.float64)),
        "flow_speed": pa.array(frames.flow_speed.astype(np.float32), mask=still),
    }
    for name, vectors in frames.features.items():
        columns |= feature_arrays(name, vectors)
    absent = {field.name: pa.nulls(n, field.type) for field in schema if field.name not in columns}
    return pa.Table.from_arrays([(columns | absent)[name] for name in schema.names], schema=schema)


def feature_arrays(name: str, vectors: Embeddings) -> dict[str, pa.Array]:
    """Make the two columns of a feature: `<name>` fp16[D] and `<name>_norm` fp32, null where there is no vector."""
    absent = ~vectors.present
    values = pa.array(np.where(absent[:, None], np.float16(0), vectors.values).ravel())
    return {
        name: pa.FixedSizeListArray.from_arrays(values, vectors.values.shape[1], mask=pa.array(absent)),
        f"{name}_norm": pa.array(vectors.norm.astype(np.float32), mask=absent),
    }


def flow_rows(take: int, frames: FrameBatch) -> pa.Table:
    """Make rows of `flow`, one for each frame that has motion."""
    moving = [i for i, flow in enumerate(frames.flow) if flow is not None]
    return pa.Table.from_arrays(
        [
            pa.array([frames.video_id] * len(moving), pa.string()),
            pa.array(np.full(len(moving), take, np.int64)),
            pa.array(frames.frame_index[moving].astype(np.int32)),
            pa.array([frames.flow[i] for i in moving], pa.binary()),
        ],
        schema=FLOW,
    )


class CommitBuffer:
    """Rows of one table that wait for its next commit, in the order they were added.

    They wait as one Arrow stream in one block of Arrow's own memory, not as the small arrays they come in. Decoded
    frames, some megabytes at a time, come and go on the C heap; anything small that is kept meanwhile lands in the
    holes they leave, so that the next ones no longer fit and the heap grows: by up to 0.6 MB a waiting frame, as
    measured.

    Args:
        schema: of the rows.
        commit: commits rows to the table.
        check: called before a commit, to raise when the write lock is lost.
        max_rows: rows from which the buffer is `due`; None sets no limit.
        max_bytes: bytes from which it is.
        max_s: seconds since the last commit from which it is.

    Attributes:
        rows: how many rows wait.
        bytes: how many bytes they have.
    """

    def __init__(
        self,
        schema: pa.Schema,
        commit: Callable[[pa.Table], object],
        check: Callable[[], None] = lambda: None,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        max_s: float | None = None,
    ) -> None:
        self._schema, self._commit, self._check = schema, commit, check
        self._limits = max_rows or math.inf, max_bytes or math.inf, max_s or math.inf
        self._last_s = time.monotonic()
        self._clear()

    def _clear(self) -> None:
        self._closed: list[pa.Table] = []
        self._open()
        self.rows = self.bytes = 0

    def _open(self) -> None:
        self._sink = pa.BufferOutputStream()
        self._stream = pa.ipc.new_stream(self._sink, self._schema)

    def add(self, rows: pa.Table) -> None:
        """Add a copy of rows.

        Args:
            rows: their schema must be the buffer's, to the letter.

        Raises:
            pyarrow.ArrowInvalid: another schema; the buffer is as it was.
        """
        self._stream.write_table(rows)
        self.rows += rows.num_rows
        self.bytes += rows.nbytes

    @property
    def due(self) -> bool:
        """Whether rows wait and have reached a limit."""
        max_rows, max_bytes, max_s = self._limits
        waited = time.monotonic() - self._last_s
        return self.rows > 0 and (self.rows >= max_rows or self.bytes >= max_bytes or waited >= max_s)

    def table(self) -> pa.Table:
        """Return all waiting rows. They stay in the buffer: a commit that fails must not lose them."""
        self._stream.close()
        self._closed.append(pa.ipc.open_stream(self._sink.getvalue()).read_all())
        self._open()
        return pa.concat_tables(self._closed)

    def flush(self) -> bool:
        """Commit the waiting rows; whether there were any. Ctrl-C waits until it is done."""
        waits = self.rows > 0
        if waits:
            with defer_interrupts():
                rows = self.table()
                self._check()
                self._commit(rows)
                self._clear()
        self._last_s = time.monotonic()
        return waits
