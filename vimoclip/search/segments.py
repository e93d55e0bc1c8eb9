"""Segments of stored videos, made from their frames in one pass and bounded memory; and what an index of them is of."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.segments import SegmentSettings
from schemas.videos import Video
from vimoclip.errors import StoreDamagedError
from vimoclip.frames import FrameVectors, columns_of, vectors
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.segments import segments_schema_of
from vimoclip.windows import Window, WindowMeans

_ROWS = 4096

Pool = Callable[[Sequence[FrameVectors]], list[NDArray[np.float32] | None]]
"""The behaviour of stretches of frames: unit vectors, fp32 (d,), each; None where the model sees nothing."""


def iter_segments(
    store: FeatureStore, settings: SegmentSettings, rows: Sequence[Video], pool: Pool | None = None
) -> Iterator[pa.Table]:
    """The segments of these videos, a table for each, in an order that these arguments decide; `rows` are live ones.

    pool: of the model of the behaviour space, where the settings have it. In memory at one time: a few thousand frames,
    those of windows that are not at their end where there is a model, and the segments of the videos they belong to.

    Raises:
        StoreDamagedError: a video's frames are not whole.
    """
    schema = segments_schema_of(store, settings)
    features = {space: made.feature for space, made in settings.spaces.items()}
    waiting = {row.take: row for row in rows}
    open_takes: dict[int, _Take] = {}
    where = None
    if len(waiting) < len(store.live_takes()):
        where = pc.field("take").isin(pa.array(list(waiting), pa.int64()))
    read = [made.feature for made in settings.behaviour.reads.values()] if settings.behaviour else []
    columns = ["take", "frame_index", "time_s", *features.values(), *columns_of(read)]
    for batch in store.tables["frames"].batches(list(dict.fromkeys(columns)), where, _ROWS):
        takes, index, time_s = (batch[name].to_numpy() for name in ("take", "frame_index", "time_s"))
        if not (wanted := [take for take in np.unique(takes).tolist() if take in waiting]):
            continue
        arrays = {space: vectors(batch[feature]).astype(np.float64) for space, feature in features.items()}
        present = {space: ~np.isnan(array[:, 0]) for space, array in arrays.items()}
        for space, array in arrays.items():
            array[~present[space]] = 0
        frames = FrameVectors.stored(batch, read) if read else None
        cuts = [0, *(np.flatnonzero(np.diff(takes)) + 1).tolist(), len(takes)]
        for first, last in itertools.pairwise(cuts):
            take = int(takes[first])
            if take not in wanted:
                continue
            part = open_takes.get(take) or open_takes.setdefault(take, _Take(waiting[take], settings, pool))
            run = slice(first, last)
            part.add(
                index[run],
                time_s[run],
                {space: array[run] for space, array in arrays.items()},
                {space: array[run] for space, array in present.items()},
                frames.at(run) if frames is not None else None,
            )
            if part.whole:
                del open_takes[take], waiting[take]
                yield part.table(schema)
    if waiting:
        row = next(iter(waiting.values()))
        raise _not_whole(row, open_takes[row.take].count if row.take in open_takes else 0)


class _Take:
    """One video on its way into windows."""

    def __init__(self, row: Video, settings: SegmentSettings, pool: Pool | None) -> None:
        if row.duration_s is None or not row.frames:
            raise _not_whole(row, 0)
        self._row = row
        self._means = WindowMeans(row.duration_s, settings.window_s, settings.stride_s, list(settings.spaces))
        self._windows: list[Window] = []
        self._held = _Held(pool) if pool is not None else None

    @property
    def count(self) -> int:
        return self._means.frames

    @property
    def whole(self) -> bool:
        return self.count == self._row.frames

    def add(
        self,
        index: np.ndarray,
        time_s: np.ndarray,
        arrays: dict[str, np.ndarray],
        present: dict[str, np.ndarray],
        frames: FrameVectors | None,
    ) -> None:
        if not np.array_equal(index, np.arange(self.count, self.count + len(index))):
            raise _not_whole(self._row, self.count)
        found = list(self._means.add(time_s, arrays, present))
        if self.whole:
            found += self._means.rest()
        self._windows += found
        if self._held is not None and frames is not None:
            self._held.add(frames, found, self._means.oldest)

    def table(self, schema: pa.Schema) -> pa.Table:
        n = len(self._windows)
        columns: dict[str, pa.Array] = {
            "video_id": pa.array([self._row.video_id] * n, pa.string()),
            "take": pa.array([self._row.take] * n, pa.int64()),
        }
        for name in ("start_frame", "end_frame", "start_s", "end_s"):
            columns[name] = pa.array([getattr(window, name) for window in self._windows], schema.field(name).type)
        for name in schema.names[len(columns) :]:
            if self._held is not None and name == "behaviour":
                columns[name] = _column(self._held.found, schema.field(name).type)
            else:
                columns[name] = _column([window.vectors[name] for window in self._windows], schema.field(name).type)
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


class _Held:
    """The frames of windows that are not at their end, and what the model makes of those that are: `found`, fp16."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parts: list[FrameVectors] = []
        self._first = 0  # the number of the first frame that is held
        self.found: list[np.ndarray | None] = []

    def add(self, frames: FrameVectors, windows: Sequence[Window], oldest: int) -> None:
        """The next frames, the windows that they complete, and the first frame that a later one may begin with."""
        self._parts.append(frames)
        held = FrameVectors.joined(self._parts)
        own = [held.at(slice(each.start_frame - self._first, each.end_frame - self._first)) for each in windows]
        self.found += [None if z is None else z.astype(np.float16) for z in self._pool(own)]
        self._parts = [held.at(slice(oldest - self._first, None)).copy()]
        self._first = oldest


def _column(values: Sequence[np.ndarray | None], kind: pa.FixedSizeListType) -> pa.Array:
    absent = np.array([value is None for value in values], np.bool_)
    nothing = np.zeros(kind.list_size, np.float16)
    flat = np.concatenate([nothing if value is None else value for value in values])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), kind.list_size, mask=pa.array(absent))


def _not_whole(row: Video, count: int) -> StoreDamagedError:
    return StoreDamagedError(
        f"The frames of {row.video_id} are not whole.",
        received=f"frames in order up to {count}",
        expected=f"{row.frames} frames",
        hint="Run `vimoclip verify` to see what is damaged.",
    )


# FreshSegments: segments that their table lacks, made from the frames of their videos while somebody searches.


class UnindexedSegments:
    """The segments of these videos, of which there is at least one. pool: gives the model of the behaviour space, which
    is loaded only where somebody asks for that space.

    Attributes: `table`, as `iter_segments` makes them.

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
        """The vectors of a space, null where a segment has none."""
        if space == "behaviour" and space not in self.table.schema.names:
            made = self._made(replace(self._settings, spaces={}), self._pool())
            self.table = self.table.append_column(made.schema.field(space), made[space])
        return self.table[space]

    def _made(self, settings: SegmentSettings, pool: Pool | None = None) -> pa.Table:
        return pa.concat_tables(iter_segments(self._store, settings, self._videos, pool))
