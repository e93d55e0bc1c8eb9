"""What a search looks through: `Corpus`, the segments of a store, and `FrameCorpus`, its single frames.

Segments come from the table `segments`, and from videos that were added after it was made. Those that the table lacks,
or made from a feature that has changed since, are made from the frames (segments.py): this is slower, and a note says
so, but none is left out. All columns but the vectors are in memory; `VectorCache` reads the vectors.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.segments import SegmentSettings, Space
from schemas.videos import Video
from vimoclip.errors import SearchError
from vimoclip.frames import vectors
from vimoclip.progress import count
from vimoclip.search.cosine import lengths
from vimoclip.search.options import Unit
from vimoclip.search.segments import Pool, UnindexedSegments
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.segments import DEFAULT_FEATURES, changed_spaces, made_from, read_segment_settings
from vimoclip.store.table import Table
from vimoclip.store.vector_index import has_index
from vimoclip.video.files import StoredFile
from vimoclip.windows import spans

PACKED_BYTES = 1 << 30
"""The largest space that is held in memory: 1 M vectors of 512."""

_FEW_ROWS = 8
"""A space is read whole once a request asks for 1/8 of its places, or requests have read as many places as it has."""

_CHUNK_ROWS = 1 << 16
"""Places read at a time from a larger space."""

RowIds = NDArray[np.int64]
Vectors = tuple[NDArray[np.float16], NDArray[np.float32]]
"""Vectors, fp16 (n, D), and their lengths, fp32 (n,)."""


class VectorCache:
    """The vectors of what is searched through, by place: rows of a table, and then fresh segments.

    Places 0 … stored − 1 are the rows of the table in their order on disk; the fresh segments follow. A space that is
    small enough is read whole, once, and stays in memory when much of it is asked for; otherwise only what is asked for
    is read.

    Args:
        table: whose rows are searched.
        stored: how many of its rows; 0 where the table is of no use.
        fresh: segments that the table lacks.
        spaces: for each space its column in the table, and its width D.
    """

    def __init__(
        self, table: Table, stored: int, fresh: UnindexedSegments | None, spaces: Mapping[str, tuple[str, int]]
    ) -> None:
        self._table, self._stored, self._fresh, self._spaces = table, stored, fresh, spaces
        self._asked: dict[str, int] = {}  # by space, how many places were asked for before it was read whole
        self._packed: dict[str, Vectors] = {}

    def __len__(self) -> int:
        return self._stored + (len(self._fresh) if self._fresh is not None else 0)

    def at(self, space: str, places: RowIds) -> Vectors:
        """Read the vectors at places, and their lengths; a missing vector is zero, and so is its length.

        Args:
            space: one of `spaces`.
            places: int64 (n,).

        Returns:
            fp16 (n, D) and fp32 (n,).
        """
        if space not in self._packed:
            self._asked[space] = self._asked.get(space, 0) + len(places)
            few = len(places) * _FEW_ROWS < len(self) and self._asked[space] < len(self)
            if few or not self._fits(space):
                return _zeroed(self._read(space, places))
            self._packed[space] = _zeroed(self._read_all(space))
        packed, sizes = self._packed[space]
        if len(places) == len(packed) and np.array_equal(places, np.arange(len(packed))):
            return packed, sizes
        return packed[places], sizes[places]

    def pieces(self, space: str, places: RowIds) -> Iterator[tuple[slice, Vectors]]:
        """Read many places as `at` does: at once where the space is held in memory, otherwise a part at a time.

        Yields:
            Which of `places`, and their vectors and lengths.
        """
        step = max(1, len(places)) if self._fits(space) else _CHUNK_ROWS
        for first in range(0, len(places), step):
            part = slice(first, first + step)
            yield part, self.at(space, places[part])

    def _fits(self, space: str) -> bool:
        return 2 * len(self) * self._spaces[space][1] <= PACKED_BYTES

    def _read(self, space: str, places: RowIds) -> NDArray[np.float16]:
        column, dim = self._spaces[space]
        out = np.zeros((len(places), dim), np.float16)
        stored = places < self._stored
        if stored.any():
            order = np.sort(places[stored])
            found = vectors(self._table.take(order, [column])[column])
            out[stored] = found[np.searchsorted(order, places[stored])]
        if not stored.all() and self._fresh is not None:
            out[~stored] = vectors(self._fresh.column(space).take(pa.array(places[~stored] - self._stored)))
        return out

    def _read_all(self, space: str) -> NDArray[np.float16]:
        column, dim = self._spaces[space]
        out = np.zeros((len(self), dim), np.float16)
        filled = 0
        if self._stored:
            for batch in self._table.batches([column], rows=1 << 14):
                out[filled : filled + batch.num_rows] = vectors(batch[column])
                filled += batch.num_rows
        if self._fresh is not None:
            out[filled:] = vectors(self._fresh.column(space))
        return out


def _zeroed(found: NDArray[np.float16]) -> Vectors:
    """Vectors with zeros for those that are missing, and the lengths of all."""
    found[np.isnan(found[:, 0])] = 0
    return found, lengths(found)


_OF_FILES = ["path", "bytes", "mtime_ns", "content_hash", "error_kind"]  # the fields of StoredFile
_OF_VIDEOS = ["video_id", "take", "duration_s", *_OF_FILES]
_COLUMNS = ["take", "start_s", "end_s"]
Rows = NDArray[np.int64]


class Corpus:
    """The segments of a snapshot's videos. Row numbers count them video by video, in order of time.

    Attributes:
        unit: what a row is.
        settings: what the segments were made from.
        video_ids: of V videos.
        takes: their takes, int64 (V,).
        splits: their splits, or None.
        durations: in seconds, or None.
        video: the number of each row's video, int32 (n,).
        start_s: where each row starts, in seconds, fp64 (n,).
        end_s: where it ends.
        notes: what is out of date, in words.
        lost: whether the behaviour space is unusable because a feature that its model reads has changed.

    Raises:
        SearchError: the store has no segments, or they were made from a feature that is gone.
        StoreDamagedError: a table, or the frames of a video that has no segments yet, are not whole.
    """

    unit: Unit = "segments"

    def __init__(self, store: FeatureStore) -> None:
        """Read all but the vectors."""
        self._store = store
        self.notes: list[str] = []
        self.lost = False
        live = pc.field("status") == "ok"
        videos = store.tables["videos"].read(_OF_VIDEOS, live & pc.field("take").is_valid()).to_pydict()
        self.video_ids, self.takes = videos["video_id"], np.array(videos["take"], np.int64)
        splits = store.splits()
        self.splits, self.durations = [splits[video_id] for video_id in self.video_ids], videos["duration_s"]
        self._files = [videos[name] for name in _OF_FILES]
        stored, missing = self._open()
        self._pool = functools.cache(functools.partial(_model, store, self.settings))
        fresh = UnindexedSegments(store, self.settings, missing, self._pool) if missing else None
        self._number_rows(stored, fresh)
        spaces = {str(space): (self.column(space), self.dim(space)) for space in self.settings.names}
        self._vectors = VectorCache(self._table, len(self._addresses), fresh, spaces)

    def _open(self) -> tuple[pa.Table | None, list[Video]]:
        """Set `settings` and `_table`; return the table's usable rows, and the videos that have none there."""
        settings = read_segment_settings(self._store)
        if settings is None:
            raise SearchError(
                f"The store {self._store.place} has no segments to search.",
                expected="those that `vimoclip index` makes",
                hint="Run `vimoclip index`.",
            )
        self.settings: SegmentSettings = settings
        self._table = self._store.tables["segments"]
        stale = self._note_changed()
        stored = None if stale else self._table.scan_with_row_ids(_COLUMNS)
        there = set() if stored is None else set(np.unique(stored["take"].to_numpy()).tolist())
        missing = set(self.takes.tolist()) - there
        if not missing:
            return stored, []
        if not stale:
            self.notes.append(
                f"{count(len(missing), 'video')} came after the index was made, and searched from the frames: "
                "run `vimoclip index`."
            )
        return stored, [row for row in self._store.live_videos() if row.take in missing]

    def _note_changed(self) -> list[Space]:
        """Note what was made from a feature that has changed; return the means among it.

        Those means make the whole table unusable; the behaviour space is just left out of `settings`.
        """
        stale = changed_spaces(self._store, self.settings)
        if "behaviour" in stale:
            stale.remove("behaviour")
            self.settings, self.lost = replace(self.settings, behaviour=None), True
            self.notes.append(
                "The behaviour space is stale: a feature that its model reads has changed. Train anew, then `vimoclip "
                "index --behaviour RUN`."
            )
        for space in stale:
            feature = self.settings.spaces[space].feature
            if feature not in self._store.features:
                raise SearchError(
                    f"The {space} of the segments was made from {feature}, which the store no longer has.",
                    received=f"features {', '.join(self._store.features)}",
                    hint=f"Run `vimoclip index --{space} FEATURE` to make it from another.",
                )
        if stale:
            names = " and ".join(self.settings.spaces[space].feature for space in stale)
            self.notes.append(
                f"The index is stale: {names} changed after it was made. Everything was searched from the frames: run "
                "`vimoclip index`."
            )
        return stale

    def _number_rows(self, stored: pa.Table | None, fresh: UnindexedSegments | None) -> None:
        """Order the rows of the table and the fresh ones, each with its place; those that no reader sees drop out."""
        parts = [table for table in (stored, fresh.table if fresh is not None else None) if table is not None]
        columns = {name: np.concatenate([part[name].to_numpy() for part in parts] or [[]]) for name in _COLUMNS}
        takes = columns["take"].astype(np.int64)
        numbers = {take: n for n, take in enumerate(self.takes.tolist())}
        distinct, inverse = np.unique(takes, return_inverse=True)
        codes = np.array([numbers.get(take, -1) for take in distinct.tolist()], np.int32)
        video = codes[inverse] if len(takes) else np.empty(0, np.int32)
        order = np.argsort(video, kind="stable")
        order = order[np.searchsorted(video[order], 0) :]
        self.video = video[order]
        self.start_s, self.end_s = columns["start_s"][order], columns["end_s"][order]
        self._bounds = np.searchsorted(self.video, np.arange(len(self.video_ids) + 1))
        self._places = order  # by row
        self._rows = np.full(len(video), -1, np.int64)  # by place
        self._rows[order] = np.arange(len(order))
        self._addresses = np.empty(0, np.uint64) if stored is None else stored["_rowid"].to_numpy()

    def __len__(self) -> int:
        return len(self.video)

    def file(self, video: int) -> StoredFile:
        """The file of a video, by its number."""
        return StoredFile(*(column[video] for column in self._files))

    def of_video(self, video: int) -> slice:
        """Return the rows of one video, by its number."""
        return slice(int(self._bounds[video]), int(self._bounds[video + 1]))

    def rows_of(self, duration_s: float, frames: int) -> int:
        """Count the rows that a video would have.

        Args:
            duration_s: its length in seconds.
            frames: how many frames of it would be stored.
        """
        return len(spans(duration_s, self.settings.window_s, self.settings.stride_s)[0])

    @functools.cached_property
    def video_numbers(self) -> dict[str, int]:
        """The number of each video, by video_id."""
        return {video_id: n for n, video_id in enumerate(self.video_ids)}

    def column(self, space: str) -> str:
        """Return the name of a space's column in the table."""
        return space

    def dim(self, space: str) -> int:
        """Return the width D of a space."""
        if space == "behaviour" and self.settings.behaviour is not None:
            return self.settings.behaviour.dim
        return self._store.features[self.settings.spaces[space].feature].dim

    @property
    def pool(self) -> Pool:
        """The model of the behaviour space, on the CPU, since a query is a single segment.

        Raises:
            CheckpointError: the model is not in the store, or is damaged.
        """
        return self._pool()

    def vectors(self, space: str, rows: Rows) -> Vectors:
        """Read the vectors of rows, and their lengths; a missing vector is zero, and so is its length.

        Args:
            space: one of the settings'.
            rows: int64 (n,).

        Returns:
            fp16 (n, D) and fp32 (n,).
        """
        return self._vectors.at(space, self._places[rows])

    def pieces(self, space: str, rows: Rows) -> Iterator[tuple[slice, Vectors]]:
        """Read the `vectors` of many rows: at once where the space is held in memory, otherwise a part at a time.

        Yields:
            Which of `rows`, and their vectors and lengths.
        """
        return self._vectors.pieces(space, self._places[rows])

    def unit_vectors(self, space: str, rows: Rows) -> NDArray[np.float32]:
        """Read the vectors of a few rows at unit length, fp32 (n, D); NaN where there is none."""
        found, sizes = self.vectors(space, rows)
        return np.asarray(found.astype(np.float32) / np.where(sizes > 0, sizes, np.nan)[:, None], np.float32)

    @functools.cached_property
    def indexed(self) -> dict[str, Table]:
        """The table, by each space whose vectors it has an index of."""
        spaces = self.settings.names if len(self._addresses) else ()
        return {space: self._table for space in spaces if has_index(self._table, space)}

    def table_rows(self, addresses: NDArray[np.uint64]) -> Rows:
        """Return the rows at these addresses of the table, int64 (n,); -1 where no reader sees the row.

        Args:
            addresses: `_rowid` of the table, uint64 (n,).
        """
        sorter = self._by_address
        return self._rows[sorter[np.searchsorted(self._addresses, addresses, sorter=sorter)]]

    @functools.cached_property
    def _by_address(self) -> NDArray[np.int64]:
        return np.argsort(self._addresses)

    @functools.cached_property
    def fresh_rows(self) -> Rows:
        """The rows that are not in the table, int64 (m,)."""
        return np.flatnonzero(self._places >= len(self._addresses))


def _model(store: FeatureStore, settings: SegmentSettings) -> Pool:
    from vimoclip.search.behaviour_space import load_behaviour_model  # torch

    if settings.behaviour is None:
        raise ValueError("there is no behaviour space")
    return load_behaviour_model(store, settings.behaviour)


class FrameCorpus(Corpus):
    """The stored frames of a snapshot's videos, from the table `frames`: a corpus whose rows are single frames.

    A frame lasts from its own time to that of the next, so that consecutive frames make one bout. Their vectors have no
    index: each is compared, in parts where there are more than memory should hold. The spaces are those that the
    segments are made from, or else the default ones.
    """

    unit: Unit = "frames"

    def _open(self) -> tuple[pa.Table, list[Video]]:
        before = read_segment_settings(self._store)
        asked: dict[Space, str] = {
            space: before.spaces[space].feature
            for space in DEFAULT_FEATURES
            if before is not None and space in before.spaces and before.spaces[space].feature in self._store.features
        }
        spaces = made_from(self._store, asked)
        if not spaces:
            raise SearchError(
                f"The frames of {self._store.place} have nothing to be compared by.",
                received=", ".join(self._store.features) or "no features",
                expected="clip or moclip",
            )
        self.settings = SegmentSettings(0.0, 0.0, spaces)
        self._table = self._store.tables["frames"]
        found = self._table.scan_with_row_ids(["take", "frame_index", "time_s"])
        take, index, time_s = (found[name].to_numpy() for name in ("take", "frame_index", "time_s"))
        lasts = dict(zip(self.takes.tolist(), self.durations, strict=True))
        order = np.lexsort((index, take))
        ends = np.append(time_s[order][1:], 0.0)
        for at in np.flatnonzero(np.append(np.diff(take[order]) != 0, len(order) > 0)):  # the last frame of a take
            last_s = float(time_s[order[at]])
            ends[at] = max(last_s, lasts.get(int(take[order[at]])) or last_s)
        end_s = np.empty_like(time_s)
        end_s[order] = ends[: len(order)]
        columns = [found["take"], found["time_s"], pa.chunked_array([end_s]), found["_rowid"]]
        return pa.table(columns, names=["take", "start_s", "end_s", "_rowid"]), []

    def rows_of(self, duration_s: float, frames: int) -> int:
        """Count the rows that a video would have: its frames."""
        return max(1, frames)

    def column(self, space: str) -> str:
        """Return the name of the space's feature."""
        return self.settings.spaces[space].feature
