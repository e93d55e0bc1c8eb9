"""The segments that a search looks through: those of the `segments` table, and of videos that came after it.

What is not in the table, or was made from a feature that has changed since, is made from the frames: slower, and said
so, but never left out. All columns but the vectors are in memory; a space's vectors are read once, where they fit.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.segments import SegmentSettings, Space
from schemas.videos import Video
from vimoclip import vector_index
from vimoclip.answers import Unit
from vimoclip.arrays import vectors
from vimoclip.cosines import lengths
from vimoclip.errors import SearchError
from vimoclip.frame_vectors import Pool
from vimoclip.segments import changed, segments_of, settings_of
from vimoclip.store import FeatureStore
from vimoclip.tables import Table

PACKED_BYTES = 1 << 30
"""A space is held in memory when it is no larger: 1 M vectors of 512 are."""

_FEW = 8
"""A space is read whole once this part of its rows is asked for, or as many were read by themselves as it has."""

_PIECE = 1 << 16
"""So many rows are read at a time of a space that is larger."""

_OF_VIDEOS = ["video_id", "take", "split", "path", "duration_s"]
_COLUMNS = ["take", "start_s", "end_s"]
Rows = NDArray[np.int64]
Vectors = tuple[NDArray[np.float16], NDArray[np.float32]]


class Corpus:
    """The segments of a snapshot's videos. Row numbers count them video by video, in order of time.

    Attributes: `unit`, what a row is; `settings`; per video `video_ids`, `splits`, `paths` and `durations`, in seconds;
    per row `video` (into video_ids), `start_s` and `end_s`; `notes`, what is out of date; `lost`, whether there is a
    behaviour space that is of no use, since a feature that its model reads has changed.
    """

    unit: Unit = "segments"

    def __init__(self, store: FeatureStore) -> None:
        """Read all but the vectors.

        Raises:
            SearchError: the store has no segments, or they are of a feature that is gone. StoreDamagedError.
        """
        self._store = store
        self.notes: list[str] = []
        self.lost = False
        live = pc.field("status") == "ok"
        videos = store.tables["videos"].read(_OF_VIDEOS, live & pc.field("take").is_valid()).to_pydict()
        self.video_ids, self._takes = videos["video_id"], videos["take"]
        self.splits, self.paths, self.durations = videos["split"], videos["path"], videos["duration_s"]
        self._missing: list[Video] = []
        self._fresh: pa.Table | None = None
        self._arrange(self._open(), {take: n for n, take in enumerate(self._takes)})

    def _open(self) -> pa.Table | None:
        """Set `settings`, `_table` and what is missing in it; its rows: _COLUMNS, and their `_rowid`."""
        settings = settings_of(self._store)
        if settings is None:
            raise SearchError(
                f"The store {self._store.place} has no segments to search.",
                expected="those that `vimoclip index` makes",
                hint="Run `vimoclip index`.",
            )
        self.settings: SegmentSettings = settings
        self._table = self._store.tables["segments"]
        stale = self._changed()
        found = self._table.addresses(_COLUMNS) if not stale else None
        there = set(np.unique(found["take"].to_numpy()).tolist()) if found is not None else set()
        if missing := set(self._takes) - there:
            self._missing = [row for row in self._store.rows() if row.status == "ok" and row.take in missing]
            self._fresh = self._from_frames(replace(self.settings, behaviour=None))
        if missing and not stale:
            self.notes.append(
                f"{_videos(len(missing))} came after the index was made, and searched from the frames: run `vimoclip "
                "index`."
            )
        return found

    def _changed(self) -> list[Space]:
        stale = changed(self._store, self.settings)
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

    def column(self, space: str) -> str:
        """The name of a space's column in the table."""
        return space

    def _from_frames(self, settings: SegmentSettings, pool: Pool | None = None) -> pa.Table | None:
        tables = list(segments_of(self._store, settings, self._missing, pool))
        return pa.concat_tables(tables) if tables else None

    @functools.cached_property
    def pool(self) -> Pool:
        """The model of the behaviour space, on the CPU: a query is one stretch of frames.

        Raises:
            CheckpointError: it is not in the store.
        """
        from vimoclip.behaviour import load  # torch

        if self.settings.behaviour is None:
            raise ValueError("there is no behaviour space")
        return load(self._store, self.settings.behaviour)

    def _arrange(self, found: pa.Table | None, videos: dict[int, int]) -> None:
        parts = [table for table in (found, self._fresh) if table is not None]
        columns = {name: np.concatenate([part[name].to_numpy() for part in parts] or [[]]) for name in _COLUMNS}
        takes = columns["take"].astype(np.int64)
        distinct, inverse = np.unique(takes, return_inverse=True)
        codes = np.array([videos.get(take, -1) for take in distinct.tolist()], np.int32)
        video = codes[inverse] if len(takes) else np.empty(0, np.int32)
        order = np.argsort(video, kind="stable")
        order = order[np.searchsorted(video[order], 0) :]  # not those of takes that no reader sees
        self.video = video[order]
        self.start_s, self.end_s = columns["start_s"][order], columns["end_s"][order]
        self._place = order  # of each row, among those of the table and then the fresh ones
        self._stored = found.num_rows if found is not None else 0
        self._address = found["_rowid"].to_numpy() if found is not None else np.empty(0, np.uint64)
        self._row = np.full(len(video), -1, np.int64)
        self._row[order] = np.arange(len(order))
        self._bounds = np.searchsorted(self.video, np.arange(len(self.video_ids) + 1))
        self._asked: dict[str, int] = {}
        self._packed: dict[str, Vectors] = {}

    def __len__(self) -> int:
        return len(self.video)

    def of_video(self, video: int) -> slice:
        """The rows of one video."""
        return slice(int(self._bounds[video]), int(self._bounds[video + 1]))

    @functools.cached_property
    def video_numbers(self) -> dict[str, int]:
        """By video_id."""
        return {video_id: n for n, video_id in enumerate(self.video_ids)}

    @functools.cached_property
    def fresh_rows(self) -> Rows:
        """The rows that are not in the table."""
        return np.flatnonzero(self._place >= self._stored)

    def dim(self, space: str) -> int:
        """The width D of a space."""
        if space == "behaviour" and self.settings.behaviour is not None:
            return self.settings.behaviour.dim
        return self._store.features[self.settings.spaces[space].feature].dim

    def vectors(self, space: str, rows: Rows) -> Vectors:
        """Vectors of rows, fp16 (n, D), and their lengths, fp32 (n,); one that is not there is zero, and so is its."""
        places = self._place[rows]
        if space not in self._packed:
            self._asked[space] = self._asked.get(space, 0) + len(rows)
            few = len(rows) * _FEW < len(self) and self._asked[space] < len(self)
            if few or not self._fits(space):
                return self._read(space, places)
            self._packed[space] = self._pack(space)
        packed, sizes = self._packed[space]
        if len(places) == len(packed) and np.array_equal(places, np.arange(len(packed))):
            return packed, sizes
        return packed[places], sizes[places]

    def pieces(self, space: str, rows: Rows) -> Iterator[tuple[slice, Vectors]]:
        """The `vectors` of many rows: at once where the space is held in memory, else a part of `rows` at a time."""
        step = max(1, len(rows)) if self._fits(space) else _PIECE
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            yield part, self.vectors(space, rows[part])

    def _fits(self, space: str) -> bool:
        rows = self._stored + (self._fresh.num_rows if self._fresh is not None else 0)
        return 2 * rows * self.dim(space) <= PACKED_BYTES

    def unit_vectors(self, space: str, rows: Rows) -> NDArray[np.float32]:
        """Vectors of a few rows, fp32 (n, D), of unit length; NaN where there is none."""
        found, sizes = self.vectors(space, rows)
        return np.asarray(found.astype(np.float32) / np.where(sizes > 0, sizes, np.nan)[:, None], np.float32)

    def table_rows(self, addresses: NDArray[np.uint64]) -> Rows:
        """The rows at these addresses of the table, -1 where no reader sees one."""
        sorter = self._by_address
        return self._row[sorter[np.searchsorted(self._address, addresses, sorter=sorter)]]

    @functools.cached_property
    def indexed(self) -> dict[str, Table]:
        """The table, by space whose vectors it has an index of."""
        spaces = self.settings.names if self._stored else ()
        return {space: self._table for space in spaces if vector_index.has_index(self._table, space)}

    @functools.cached_property
    def _by_address(self) -> NDArray[np.int64]:
        return np.argsort(self._address)

    @functools.cached_property
    def takes(self) -> NDArray[np.int64]:
        """The take of each video, in the order of video_ids."""
        return np.array(self._takes, np.int64)

    def _pack(self, space: str) -> Vectors:
        column, fresh = self.column(space), self._fresh_column(space)
        packed = np.zeros((self._stored + (len(fresh) if fresh is not None else 0), self.dim(space)), np.float16)
        filled = 0
        if self._stored:
            for batch in self._table.batches([column], rows=1 << 14):
                packed[filled : filled + batch.num_rows] = vectors(batch[column])
                filled += batch.num_rows
        if fresh is not None:
            packed[filled:] = vectors(fresh)
        packed[np.isnan(packed[:, 0])] = 0
        return packed, lengths(packed)

    def _fresh_column(self, space: str) -> pa.ChunkedArray | None:
        """The vectors of the rows that are not in the table."""
        if self._fresh is None:
            return None
        if space == "behaviour" and space not in self._fresh.schema.names:  # once, and where somebody asks for it
            made = self._from_frames(replace(self.settings, spaces={}), self.pool)
            assert made is not None
            self._fresh = self._fresh.append_column(made.schema.field(space), made[space])
        return self._fresh[space]

    def _read(self, space: str, places: NDArray[np.int64]) -> Vectors:
        out = np.zeros((len(places), self.dim(space)), np.float16)
        stored = places < self._stored
        if stored.any():
            order = np.sort(places[stored])
            column = self.column(space)
            found = vectors(vector_index.take(self._table, order, [column])[column])
            out[stored] = found[np.searchsorted(order, places[stored])]
        if not stored.all() and (fresh := self._fresh_column(space)) is not None:
            out[~stored] = vectors(fresh.take(pa.array(places[~stored] - self._stored)))
        out[np.isnan(out[:, 0])] = 0
        return out, lengths(out)


def _videos(count: int) -> str:
    return "1 video" if count == 1 else f"{count} videos"
