"""The segments that a search looks through: those of the `segments` table, and of videos that came after it.

What is not in the table, or was made from a feature that has changed since, is made from the frames: slower, and said
so, but never left out (segments.py). All columns but the vectors are in memory; those are in corpus.py.
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
from vimoclip.search.cosine import lengths
from vimoclip.search.options import Unit
from vimoclip.search.segments import Pool, UnindexedSegments
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.segments import DEFAULT_FEATURES, changed_spaces, made_from, read_segment_settings
from vimoclip.store.table import Table
from vimoclip.store.vector_index import has_index, take

# RowVectors: the vectors of what is searched through, by the place of each: rows of a table, and then fresh ones.
#
# A space is read whole, once, and stays in memory, where it is small enough and much of it is asked for. Else what is
# asked for is read.


PACKED_BYTES = 1 << 30
"""A space is held in memory when it is no larger: 1 M vectors of 512 are."""

_FEW_ROWS = 8
"""A space is read whole once this part of its places is asked for, or as many were read by themselves as it has."""

_CHUNK_ROWS = 1 << 16
"""So many places are read at a time of a space that is larger."""

RowIds = NDArray[np.int64]
Vectors = tuple[NDArray[np.float16], NDArray[np.float32]]


class VectorCache:
    """Places 0 … stored − 1 are the rows of the table in their order on disk; those after them are the fresh ones.

    spaces: of each, its column in the table, and its width D.
    """

    def __init__(
        self, table: Table, stored: int, fresh: UnindexedSegments | None, spaces: Mapping[str, tuple[str, int]]
    ) -> None:
        self._table, self._stored, self._fresh, self._spaces = table, stored, fresh, spaces
        self._asked: dict[str, int] = {}  # how many were read by themselves
        self._packed: dict[str, Vectors] = {}

    def __len__(self) -> int:
        return self._stored + (len(self._fresh) if self._fresh is not None else 0)

    def at(self, space: str, places: RowIds) -> Vectors:
        """Vectors, fp16 (n, D), and their lengths, fp32 (n,); one that is not there is zero, and so is its length."""
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
        """`at` many places: at once where the space is held in memory, else a part of `places` at a time."""
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
            found = vectors(take(self._table, order, [column])[column])
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
    """With zeros for the vectors that are not there, and the lengths of all."""
    found[np.isnan(found[:, 0])] = 0
    return found, lengths(found)


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
        fresh = UnindexedSegments(store, self.settings, missing, self._pool) if missing else None
        self._number_rows(stored, fresh)
        spaces = {str(space): (self.column(space), self.dim(space)) for space in self.settings.names}
        self._vectors = VectorCache(self._table, len(self._addresses), fresh, spaces)

    def _open(self) -> tuple[pa.Table | None, list[Video]]:
        """Set `settings` and `_table`. The rows of the table that are of use, their _COLUMNS and `_rowid`; and the
        videos of which it has none."""
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
                f"{_videos(len(missing))} came after the index was made, and searched from the frames: run `vimoclip "
                "index`."
            )
        return stored, [row for row in self._store.live_videos() if row.take in missing]

    def _note_changed(self) -> list[Space]:
        """Note what was made from a feature that has changed: the means that it leaves the whole table of no use, and
        behaviour, which is then left out of `settings`."""
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
    from vimoclip.search.behaviour_space import load_behaviour_model  # torch

    if settings.behaviour is None:
        raise ValueError("there is no behaviour space")
    return load_behaviour_model(store, settings.behaviour)


def _videos(count: int) -> str:
    return "1 video" if count == 1 else f"{count} videos"


# Single frames to search through, straight from the table `frames`: nothing has to be made for it.
#
# A frame is shown from its own time to that of the next one, so that frames which follow each other make one bout.
# There is no index of their vectors: each is compared, in pieces where they are more than memory is to hold.


class FrameCorpus(Corpus):
    """As a corpus of segments is, but a row is a stored frame. Spaces are features: those that the segments are made
    from, else the store's own."""

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

    def column(self, space: str) -> str:
        """The feature's."""
        return self.settings.spaces[space].feature
