"""The segments that a search looks through: those of the `segments` table, and of videos that came after it.

What is not in the table, or was made from a feature that has changed since, is made from the frames: slower, and said
so, but never left out (fresh_segments.py). All columns but the vectors are in memory; those are in row_vectors.py.
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
from vimoclip.errors import SearchError
from vimoclip.frames import Pool
from vimoclip.search.fresh_segments import FreshSegments
from vimoclip.search.options import Unit
from vimoclip.search.row_vectors import RowVectors, Vectors
from vimoclip.search.segments import changed, settings_of
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table
from vimoclip.store.vector_index import has_index

_OF_VIDEOS = ["video_id", "take", "split", "path", "duration_s"]
_COLUMNS = ["take", "start_s", "end_s"]
Rows = NDArray[np.int64]


class Corpus:
    """The segments of a snapshot's videos. Row numbers count them video by video, in order of time.

    Attributes: `unit`, what a row is; `settings`; per video `video_ids`, `takes`, `splits`, `paths` and `durations`, in
    seconds; per row `video` (into video_ids), `start_s` and `end_s`; `notes`, what is out of date; `lost`, whether
    there is a behaviour space that is of no use, since a feature that its model reads has changed.
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
        self.video_ids, self.takes = videos["video_id"], np.array(videos["take"], np.int64)
        self.splits, self.paths, self.durations = videos["split"], videos["path"], videos["duration_s"]
        stored, missing = self._open()
        self._pool = functools.cache(functools.partial(_model, store, self.settings))
        fresh = FreshSegments(store, self.settings, missing, self._pool) if missing else None
        self._number_rows(stored, fresh)
        spaces = {str(space): (self.column(space), self.dim(space)) for space in self.settings.names}
        self._vectors = RowVectors(self._table, len(self._addresses), fresh, spaces)

    def _open(self) -> tuple[pa.Table | None, list[Video]]:
        """Set `settings` and `_table`. The rows of the table that are of use, their _COLUMNS and `_rowid`; and the
        videos of which it has none."""
        settings = settings_of(self._store)
        if settings is None:
            raise SearchError(
                f"The store {self._store.place} has no segments to search.",
                expected="those that `vimoclip index` makes",
                hint="Run `vimoclip index`.",
            )
        self.settings: SegmentSettings = settings
        self._table = self._store.tables["segments"]
        stale = self._note_changed()
        stored = None if stale else self._table.addresses(_COLUMNS)
        there = set() if stored is None else set(np.unique(stored["take"].to_numpy()).tolist())
        missing = set(self.takes.tolist()) - there
        if not missing:
            return stored, []
        if not stale:
            self.notes.append(
                f"{_videos(len(missing))} came after the index was made, and searched from the frames: run `vimoclip "
                "index`."
            )
        return stored, [row for row in self._store.rows() if row.status == "ok" and row.take in missing]

    def _note_changed(self) -> list[Space]:
        """Note what was made from a feature that has changed: the means that it leaves the whole table of no use, and
        behaviour, which is then left out of `settings`."""
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

    def _number_rows(self, stored: pa.Table | None, fresh: FreshSegments | None) -> None:
        """Put the rows in order, of the table and then the fresh ones, each of which has its place among all of them;
        rows of takes that no reader sees are left out."""
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

    def of_video(self, video: int) -> slice:
        """The rows of one video."""
        return slice(int(self._bounds[video]), int(self._bounds[video + 1]))

    @functools.cached_property
    def video_numbers(self) -> dict[str, int]:
        """By video_id."""
        return {video_id: n for n, video_id in enumerate(self.video_ids)}

    def column(self, space: str) -> str:
        """The name of a space's column in the table."""
        return space

    def dim(self, space: str) -> int:
        """The width D of a space."""
        if space == "behaviour" and self.settings.behaviour is not None:
            return self.settings.behaviour.dim
        return self._store.features[self.settings.spaces[space].feature].dim

    @property
    def pool(self) -> Pool:
        """The model of the behaviour space, on the CPU: a query is one stretch of frames.

        Raises:
            CheckpointError: it is not in the store.
        """
        return self._pool()

    def vectors(self, space: str, rows: Rows) -> Vectors:
        """Vectors of rows, fp16 (n, D), and their lengths, fp32 (n,); one that is not there is zero, and so is its."""
        return self._vectors.at(space, self._places[rows])

    def pieces(self, space: str, rows: Rows) -> Iterator[tuple[slice, Vectors]]:
        """The `vectors` of many rows: at once where the space is held in memory, else a part of `rows` at a time."""
        return self._vectors.pieces(space, self._places[rows])

    def unit_vectors(self, space: str, rows: Rows) -> NDArray[np.float32]:
        """Vectors of a few rows, fp32 (n, D), of unit length; NaN where there is none."""
        found, sizes = self.vectors(space, rows)
        return np.asarray(found.astype(np.float32) / np.where(sizes > 0, sizes, np.nan)[:, None], np.float32)

    @functools.cached_property
    def indexed(self) -> dict[str, Table]:
        """The table, by space whose vectors it has an index of."""
        spaces = self.settings.names if len(self._addresses) else ()
        return {space: self._table for space in spaces if has_index(self._table, space)}

    def table_rows(self, addresses: NDArray[np.uint64]) -> Rows:
        """The rows at these addresses of the table, -1 where no reader sees one."""
        sorter = self._by_address
        return self._rows[sorter[np.searchsorted(self._addresses, addresses, sorter=sorter)]]

    @functools.cached_property
    def _by_address(self) -> NDArray[np.int64]:
        return np.argsort(self._addresses)

    @functools.cached_property
    def fresh_rows(self) -> Rows:
        """The rows that are not in the table."""
        return np.flatnonzero(self._places >= len(self._addresses))


def _model(store: FeatureStore, settings: SegmentSettings) -> Pool:
    from vimoclip.search.behaviour_space import load  # torch

    if settings.behaviour is None:
        raise ValueError("there is no behaviour space")
    return load(store, settings.behaviour)


def _videos(count: int) -> str:
    return "1 video" if count == 1 else f"{count} videos"
