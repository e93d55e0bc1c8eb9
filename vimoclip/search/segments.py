"""Segments of stored videos, made from their frames in one pass and bounded memory.

`iter_segments` makes those that `vimoclip index` stores; `UnindexedSegments` those that the table lacks during a
search. vimoclip/store/segments.py says what stored segments were made from.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.segments import SegmentSettings
from schemas.videos import Video
from vimoclip.frames import FrameBatch, VideoDone
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.frame_reader import FrameReader
from vimoclip.store.segments import segments_schema_of
from vimoclip.windows import Window, iter_windows, mean_direction, vector_sum

_ROWS = 4096
POOLED_TOGETHER = 32
"""How many segments the model of the behaviour space gets at once."""

Pool = Callable[[Sequence[FrameBatch]], list[NDArray[np.float32] | None]]
"""Gives the behaviour of each of several runs of frames: a unit vector, fp32 (d,), or None where it sees nothing."""


def iter_segments(
    store: FeatureStore, settings: SegmentSettings, rows: Sequence[Video], pool: Pool | None = None
) -> Iterator[pa.Table]:
    """Make the segments of videos.

    In memory at one time are a few thousand frames, those of a window, and the segments of one video.

    Args:
        store: the snapshot that has the frames.
        settings: what the segments are made from.
        rows: live videos.
        pool: the model of the behaviour space, where the settings have that space.

    Yields:
        The rows of `segments` of one video, in the order in which the videos' frames lie on the disk.

    Raises:
        StoreDamagedError: a video's frames are not whole.
    """
    schema = segments_schema_of(store, settings)
    read = [made.feature for made in settings.spaces.values()]
    if settings.behaviour is not None:
        read += [made.feature for made in settings.behaviour.reads.values()]
    reader = FrameReader(store, rows)
    videos = {row.video_id: row for row in rows}
    segments = _Segments(settings, pool)
    for event in iter_windows(
        reader.iter_videos(reader.on_disk(), dict.fromkeys(read), _ROWS), settings.window_s, settings.stride_s
    ):
        if isinstance(event, Window):
            segments.add(event)
        elif isinstance(event, VideoDone):
            yield segments.table(videos[event.video_id], schema)
            segments = _Segments(settings, pool)


class _Segments:
    """The segments of one video, from its windows in order; one with the same frames as the last is skipped."""

    def __init__(self, settings: SegmentSettings, pool: Pool | None) -> None:
        self._spaces = {space: made.feature for space, made in settings.spaces.items()}
        self._pool = pool
        self._bounds: list[tuple[int, int, float, float]] = []
        self._vectors: dict[str, list[np.ndarray | None]] = {space: [] for space in self._spaces}
        self._waiting: list[FrameBatch] = []  # for the model
        self._pooled: list[np.ndarray | None] = []

    def add(self, window: Window) -> None:
        """Add the next window."""
        bounds = window.start_frame, window.end_frame
        if self._bounds and self._bounds[-1][:2] == bounds:
            return
        self._bounds.append((*bounds, window.start_s, window.end_s))
        for space, feature in self._spaces.items():
            mean = mean_direction(vector_sum(window.frames.features[feature]))
            self._vectors[space].append(None if mean is None else mean.astype(np.float16))
        if self._pool is not None:
            self._waiting.append(window.frames)
            if len(self._waiting) == POOLED_TOGETHER:
                self._run_model(self._pool)

    def _run_model(self, pool: Pool) -> None:
        self._pooled += [None if z is None else z.astype(np.float16) for z in pool(self._waiting)]
        self._waiting = []

    def table(self, video: Video, schema: pa.Schema) -> pa.Table:
        """Return the rows of `segments`."""
        if self._pool is not None:
            self._run_model(self._pool)
        n = len(self._bounds)
        columns: dict[str, pa.Array] = {
            "video_id": pa.array([video.video_id] * n, pa.string()),
            "take": pa.array([video.take] * n, pa.int64()),
        }
        for name, values in zip(
            ("start_frame", "end_frame", "start_s", "end_s"), zip(*self._bounds, strict=True), strict=True
        ):
            columns[name] = pa.array(values, schema.field(name).type)
        for name in schema.names[len(columns) :]:
            pooled = self._pool is not None and name == "behaviour"
            columns[name] = _column(self._pooled if pooled else self._vectors[name], schema.field(name).type)
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _column(values: Sequence[np.ndarray | None], kind: pa.FixedSizeListType) -> pa.Array:
    absent = np.array([value is None for value in values], np.bool_)
    nothing = np.zeros(kind.list_size, np.float16)
    flat = np.concatenate([nothing if value is None else value for value in values])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), kind.list_size, mask=pa.array(absent))


class UnindexedSegments:
    """Segments that the table lacks, made from the frames of their videos during a search.

    Args:
        store: the snapshot.
        settings: what the segments are made from.
        videos: at least one.
        pool: gives the model of the behaviour space, which is loaded only when that space is asked for.

    Attributes:
        table: the segments, as `iter_segments` makes them.

    Raises:
        StoreDamagedError: a video's frames are not whole.
    """

    def __init__(
        self, store: FeatureStore, settings: SegmentSettings, videos: Sequence[Video], pool: Callable[[], Pool]
    ) -> None:
        self._store, self._settings, self._videos, self._pool = store, settings, videos, pool
        self.table = self._made(replace(settings, behaviour=None))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, space: str) -> pa.ChunkedArray:
        """Return the vectors of a space, null where a segment has none."""
        if space == "behaviour" and space not in self.table.schema.names:
            made = self._made(replace(self._settings, spaces={}), self._pool())
            self.table = self.table.append_column(made.schema.field(space), made[space])
        return self.table[space]

    def _made(self, settings: SegmentSettings, pool: Pool | None = None) -> pa.Table:
        return pa.concat_tables(iter_segments(self._store, settings, self._videos, pool))
