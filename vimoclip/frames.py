"""Frames of videos on their way from stage to stage: batches of embedded frames, and the events of a stream.

Decoding, embedding, the store's reader and prediction all give streams of one form. For each video there come, in
order, its frames (`FrameBatch`; from the decoder `FrameChunk`, of pixels), and then `VideoDone`; or, at any point,
`VideoFailed`. `VideoReset` takes back what came of the video so far, and `Idle` says that nothing came for a while.

`vectors` and `stored_values` read a column of vectors as numpy; `runs` cuts rows where a video or a take ends.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.features import feature_columns
from schemas.videos import TimeSource, Video

Column: TypeAlias = pa.ChunkedArray | pa.FixedSizeListArray
Numbers: TypeAlias = NDArray[np.integer[Any]]

FRAME_COLUMNS = ("frame_index", "source_frame", "time_s", "flow_speed")
"""The columns of `frames` that every `FrameBatch` is read from, beside those of its features."""


@dataclass(frozen=True)
class VideoJob:
    """One video to process.

    Attributes:
        video_id: its id.
        path: absolute path of its file.
    """

    video_id: str
    path: str


@dataclass(frozen=True)
class Embeddings:
    """The vectors of n frames in one feature.

    Attributes:
        values: fp16 (n, D), of unit length; undefined where a frame has no vector.
        norm: fp32 (n,), the lengths of the raw vectors; 0 where a frame has no vector.
    """

    values: NDArray[np.floating]
    norm: NDArray[np.float32]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which frames have a vector, bool (n,)."""
        present: NDArray[np.bool_] = self.norm != 0
        return present


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """n consecutive stored frames of one video.

    Attributes:
        video_id: the video.
        frame_index: int32 (n,), counts stored frames.
        source_frame: int64 (n,), counts decoded frames.
        time_s: fp64 (n,), seconds from the first frame.
        flow_speed: fp32 (n,), frame widths per second; undefined where a frame has no motion.
        features: the vectors, by feature.
        flow: the encoded flow of each frame, None where a frame has no motion; empty where flow is not read.
        worker: the name of the worker that embedded them, where there are several.
    """

    video_id: str
    frame_index: Numbers
    source_frame: Numbers
    time_s: NDArray[np.float64]
    flow_speed: NDArray[np.float32]
    features: dict[str, Embeddings]
    flow: Sequence[bytes | None] = ()
    worker: str = ""

    @classmethod
    def from_arrow(cls, video_id: str, rows: pa.Table | pa.RecordBatch, features: Iterable[str]) -> Self:
        """Read rows of `frames` without copying them.

        Args:
            video_id: the video that all rows belong to.
            rows: rows with the columns that `frame_columns` names.
            features: the features to read.
        """
        speed = rows["flow_speed"].fill_null(np.float32(np.nan))
        return cls(
            video_id,
            rows["frame_index"].to_numpy(),
            rows["source_frame"].to_numpy(),
            rows["time_s"].to_numpy(),
            speed.to_numpy(zero_copy_only=False) if isinstance(speed, pa.Array) else speed.to_numpy(),
            {name: embeddings(rows, name) for name in features},
        )

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Join parts of one video, one after another, without their flow. A single part is returned as it is."""
        first = parts[0]
        if len(parts) == 1:
            return first
        features = {
            name: Embeddings(
                np.concatenate([part.features[name].values for part in parts]),
                np.concatenate([part.features[name].norm for part in parts]),
            )
            for name in first.features
        }
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in FRAME_COLUMNS
        }
        return cls(first.video_id, **columns, features=features, worker=first.worker)

    def __len__(self) -> int:
        return len(self.frame_index)

    def __getitem__(self, rows: slice | Numbers) -> Self:
        """Some of the frames, without their flow: a view for a slice, a copy for an array of positions."""
        features = {name: Embeddings(each.values[rows], each.norm[rows]) for name, each in self.features.items()}
        columns = {name: getattr(self, name)[rows] for name in FRAME_COLUMNS}
        return replace(self, **columns, features=features, flow=())

    def copy(self) -> Self:
        """The same frames, without their flow, in memory of their own."""
        return self[np.arange(len(self))]


@dataclass(frozen=True)
class VideoInfo:
    """What decoding found out about a video.

    Attributes:
        codec: name of the codec.
        width: pixels, upright.
        height: pixels, upright.
        pixel_aspect: width / height of one pixel.
        fps: mean decoded frames per second.
        time_source: as all that follows but decoded_frames, duration_s and broken, see `schemas.videos.Video`.
        decoded_frames: the number of frames that the file decodes to.
        duration_s: the last frame's time plus one period.
        broken: None, or the kind of the error after which the frames decoded so far were kept.
    """

    codec: str
    width: int
    height: int
    pixel_aspect: float
    fps: float
    time_source: TimeSource
    decoded_frames: int
    duration_s: float
    broken: str | None = None
    repaired_times: int = 0
    repaired_at: str | None = None
    container_start_s: float | None = None
    first_frame_s: float | None = None
    levels: str | None = None

    @property
    def clock_offset_s(self) -> float:
        """What a player's clock shows at the first frame, in seconds: 0 where it is not known."""
        if self.container_start_s is None or self.first_frame_s is None:
            return 0.0
        return self.first_frame_s - self.container_start_s

    @classmethod
    def of_row(cls, row: Video) -> Self:
        """What an ingest found out about a stored video, as far as its row keeps it."""
        return cls(
            codec=row.codec or "",
            width=row.width or 0,
            height=row.height or 0,
            pixel_aspect=1.0,
            fps=row.fps or 0.0,
            time_source=row.time_source or "rate",
            decoded_frames=row.decoded_frames or 0,
            duration_s=row.duration_s or 0.0,
            container_start_s=row.container_start_s,
            first_frame_s=row.first_frame_s,
        )


@dataclass(frozen=True)
class VideoReset:
    """Forget this video's frames so far: it begins again, with other times."""

    video_id: str


@dataclass(frozen=True)
class VideoDone:
    """The video is complete.

    Attributes:
        video_id: the video.
        info: what decoding found out about it.
        reduced_batch: whether memory ran out and a batch was halved.
        attempts: how often it was tried in this run.
    """

    video_id: str
    info: VideoInfo
    reduced_batch: bool = False
    attempts: int = 1


@dataclass(frozen=True)
class VideoFailed:
    """The video cannot be had.

    Attributes:
        video_id: the video.
        kind: as in `vimoclip.errors.VideoError`.
        message: the text of the error.
        attempts: as in `VideoDone`.
    """

    video_id: str
    kind: str
    message: str
    attempts: int = 1


@dataclass(frozen=True)
class Idle:
    """Nothing came for a second: the caller may do other work."""


FrameEvent = FrameBatch | VideoReset | VideoDone | VideoFailed | Idle


def frame_columns(features: Iterable[str]) -> list[str]:
    """The columns of `frames` that `FrameBatch.from_arrow` needs for these features."""
    return [*FRAME_COLUMNS, *feature_columns(features)]


def embeddings(rows: pa.Table | pa.RecordBatch, feature: str) -> Embeddings:
    """Read one feature from rows of `frames`, without copying its vectors."""
    vectors, norms = feature_columns([feature])
    norm = rows[norms].fill_null(np.float32(0))
    return Embeddings(
        stored_values(rows[vectors]),
        norm.to_numpy(zero_copy_only=False) if isinstance(norm, pa.Array) else norm.to_numpy(),
    )


def runs(
    constant: Sequence[NDArray[np.integer[Any]]], counting: Sequence[NDArray[np.integer[Any]]] = ()
) -> list[slice]:
    """Cut n rows into the longest ranges in which nothing but the count changes.

    Args:
        constant: columns, (n,) each, that have one value within a range: take, video.
        counting: columns, (n,) each, that grow by 1 from row to row: frame_index, row numbers.

    Returns:
        The ranges in order; empty without rows.
    """
    columns = [*constant, *counting]
    if not len(columns[0]):
        return []
    cut = np.zeros(len(columns[0]) - 1, np.bool_)
    for column in constant:
        cut |= np.diff(column) != 0
    for column in counting:
        cut |= np.diff(column) != 1
    bounds = [0, *(np.flatnonzero(cut) + 1).tolist(), len(columns[0])]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def vectors(column: Column) -> NDArray[np.floating]:
    """Read a column of vectors, such as `clip` or `moclip`, as numpy.

    Args:
        column: n fixed-size lists of D floating-point numbers.

    Returns:
        (n, D) of the column's own dtype, fp16 in a store. A column in one chunk and without nulls, as
        `FeatureStore.sequence` and `batches` give it, gives a read-only view of its memory; any other gives a copy, in
        which a null vector is NaN.

    Raises:
        ValueError: the column does not hold such lists.
    """
    if not (pa.types.is_fixed_size_list(column.type) and pa.types.is_floating(column.type.value_type)):
        raise ValueError(f"vectors are fixed-size lists of floating-point numbers, not {column.type}")
    return _joined(column, _with_nans)


def stored_values(column: Column) -> NDArray[np.floating]:
    """Read a column of vectors as numpy, whatever values stand in the place of nulls.

    Args:
        column: n fixed-size lists of D floating-point numbers.

    Returns:
        (n, D) of the column's own dtype: a read-only view of the column's memory, or a copy if it has several chunks.
    """
    return _joined(column, _view)


def _joined(column: Column, of: Callable[[pa.FixedSizeListArray], NDArray[np.floating]]) -> NDArray[np.floating]:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [of(chunk) for chunk in chunks if len(chunk)]
    if len(parts) == 1:
        return parts[0]
    dtype = column.type.value_type.to_pandas_dtype()
    return np.concatenate(parts) if parts else np.empty((0, column.type.list_size), dtype)


def _view(chunk: pa.FixedSizeListArray) -> NDArray[np.floating]:
    width, values = chunk.type.list_size, chunk.values  # `values` ignores slicing: it holds those of the whole array
    first = values.offset + chunk.offset * width
    flat = np.frombuffer(values.buffers()[1], values.type.to_pandas_dtype())[first : first + len(chunk) * width]
    flat.flags.writeable = False
    return flat.reshape(len(chunk), width)


def _with_nans(chunk: pa.FixedSizeListArray) -> NDArray[np.floating]:
    rows = _view(chunk)
    if chunk.null_count:
        rows = rows.copy()
        rows[chunk.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return rows
