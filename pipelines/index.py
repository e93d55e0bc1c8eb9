"""Making segments, the windows over stored frames that search looks through, and the vector indexes over them.

Videos without segments get theirs, so it is run again after an ingest. When a feature, the model of the behaviour
space, the window or the stride has changed, all segments are made anew. Each commit adds whole videos: a killed run
leaves a shorter index, and the same command continues it.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from schemas.segments import MadeBy, SegmentSettings, Space
from schemas.videos import Video
from vimoclip.atomic import defer_interrupts
from vimoclip.config.base import check_window
from vimoclip.config.store import RunConfig
from vimoclip.errors import SearchError
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.search.segments import Pool, iter_segments
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.store.lock import WriteLock, writer_lock
from vimoclip.store.rows import CommitBuffer
from vimoclip.store.segments import (
    STRIDE_S,
    WINDOW_S,
    changed_spaces,
    made_from,
    read_segment_settings,
    segments_schema_of,
)
from vimoclip.store.table import GRACE, Table
from vimoclip.store.vector_index import has_index, update, wants_rows
from vimoclip.windows import check_window_rate

FLUSH_ROWS, FLUSH_BYTES = 50_000, 128 << 20
FRAGMENTS = 16
"""Fragments are merged only above this number: each run adds one, and merging rewrites every segment."""


@dataclass(frozen=True)
class IndexRequest:
    """What to index. What is not given stays as it is in the index, or is the default for a new one.

    Attributes:
        store: the store.
        window_s: length of a segment, in s.
        stride_s: from the start of one segment to the next, in s.
        features: the feature to make a space from, by space.
        behaviour: the folder of a finished run of train-fusion, whose model makes the behaviour space; "none" leaves
            that space out.
        run: where the model runs.
        wait: whether to wait for another writer, rather than fail.
    """

    store: LocationLike
    window_s: float | None = None
    stride_s: float | None = None
    features: dict[Space, str] = field(default_factory=dict)
    behaviour: Path | Literal["none"] | None = None
    run: RunConfig = field(default_factory=RunConfig)
    wait: bool = True


@dataclass
class IndexReport:
    """What an index run did.

    Attributes:
        settings: what the segments are made from.
        videos: videos that got segments in this run.
        segments: how many they got.
        known: videos that had segments before.
        total: segments there are now.
        dropped: segments deleted because their takes are gone.
        rebuilt: why all segments were made anew, in words; empty where they were not.
        vectors: rows added to the vector index, by space; empty while the table is too small for one.
        exact: whether every search compares with every segment.
        seconds: how long it took.
    """

    settings: SegmentSettings
    videos: int = 0
    segments: int = 0
    known: int = 0
    total: int = 0
    dropped: int = 0
    rebuilt: list[str] = field(default_factory=list)
    vectors: dict[str, int] = field(default_factory=dict)
    exact: bool = True
    seconds: float = 0.0


def run(request: IndexRequest, progress: Progress = NO_PROGRESS) -> IndexReport:
    """Bring the segments up to date.

    Args:
        request: what to index.
        progress: an item is a video.

    Raises:
        SearchError: the store has no feature to make segments from.
        FeatureError: a feature that was asked for does not exist, or does not fit its space.
        ConfigError: the window or the stride is not valid, or no video has two stored frames in a window.
        CheckpointError: the run is not finished, or was trained on other features than the store's.
        StoreError: the store cannot be read or written.
    """
    began = time.monotonic()
    at = FeatureStore.open(request.store).place
    with writer_lock(at, request.wait, progress.message) as lock:
        report = _Index(request, FeatureStore.open(at), lock, progress).run()
    report.seconds = time.monotonic() - began
    return report


class _Index:
    """One indexing run, with the write lock held."""

    def __init__(self, request: IndexRequest, store: FeatureStore, lock: WriteLock, progress: Progress) -> None:
        self._store, self._lock, self._progress, self._run = store, lock, progress, request.run
        self._before = read_segment_settings(store)
        self._settings = _wanted(store, request, self._before)

    def run(self) -> IndexReport:
        report = IndexReport(self._settings)
        if self._before is not None and self._before != self._settings:
            report.rebuilt = _differences(self._before, self._settings)
        table = self._table(bool(report.rebuilt))
        live = {row.take: row for row in self._store.live_videos()}
        there = _takes(table)
        if gone := sorted(there - _kept(self._store)):
            where = pc.field("take").isin(pa.array(gone, pa.int64()))
            report.dropped = table.count(where)
            self._lock.check()
            table.delete(where)
        todo = [row for take, row in live.items() if take not in there]
        report.known = len(live) - len(todo)
        self._fill(table, todo, report)
        table = table.latest()
        self._lock.check()
        table.index("take")
        for space in self._settings.names:
            if wants_rows(table, space):
                self._progress.stage(f"index of {space}")
            if added := update(table, space, self._lock.check):
                report.vectors[space] = added
                table = table.latest()
        if len(table.fragments()) > FRAGMENTS:
            table.compact_and_clean(GRACE)
        else:
            table.cleanup_versions(GRACE)
        table = table.latest()
        report.total = table.count()
        report.exact = not any(has_index(table, space) for space in self._settings.names)
        return report

    def _table(self, rebuild: bool) -> Table:
        """The table of segments; empty where it is new, or made anew."""
        table = self._store.tables.get("segments")
        if table is not None and not rebuild:
            return table
        self._lock.check()
        with defer_interrupts():
            return Table.create(self._store.place, "segments", segments_schema_of(self._store, self._settings))

    def _fill(self, table: Table, todo: list[Video], report: IndexReport) -> None:
        buffer = CommitBuffer(table.schema, table.append, self._lock.check, FLUSH_ROWS, FLUSH_BYTES)
        self._progress.stage("segments", len(todo))
        for rows in iter_segments(self._store, self._settings, todo, self._pool()) if todo else ():
            buffer.add(rows.cast(table.schema))
            report.videos += 1
            report.segments += rows.num_rows
            if buffer.due:
                buffer.flush()
            self._progress.advance()
        buffer.flush()

    def _pool(self) -> Pool | None:
        if self._settings.behaviour is None:
            return None
        from vimoclip.device import pick_device, set_threads
        from vimoclip.search.behaviour_space import load_behaviour_model  # torch

        set_threads(self._run)
        return load_behaviour_model(self._store, self._settings.behaviour, pick_device(self._run.device))


def _wanted(store: FeatureStore, request: IndexRequest, before: SegmentSettings | None) -> SegmentSettings:
    """What the segments are to be made from: as asked, else as before, else the defaults."""
    asked = dict(request.features)
    if before is not None:
        for space, made in before.spaces.items():
            if made.feature in store.features:
                asked.setdefault(space, made.feature)  # type: ignore[arg-type]
    window = request.window_s if request.window_s is not None else before.window_s if before else WINDOW_S
    stride = request.stride_s if request.stride_s is not None else before.stride_s if before else STRIDE_S
    check_window(window, stride)
    if request.window_s is not None:
        check_window_rate(window, ((row.frames, row.duration_s) for row in store.live_videos()))
    spaces = made_from(store, asked)
    if not spaces:
        raise SearchError(
            f"The store {store.place} has no feature to make segments from.",
            received=", ".join(store.features) or "no features",
            expected="clip or moclip, or --appearance or --motion with the name of another",
        )
    return SegmentSettings(window, stride, spaces, _behaviour(store, request, before))


def _behaviour(store: FeatureStore, request: IndexRequest, before: SegmentSettings | None) -> MadeBy | None:
    """The model that was asked for; else the present one, unless its features have changed."""
    if request.behaviour == "none":
        return None
    if request.behaviour is None:
        return before.behaviour if before is not None and "behaviour" not in changed_spaces(store, before) else None
    from vimoclip.search.behaviour_space import save_behaviour_model  # torch

    return save_behaviour_model(store, request.behaviour)


def _differences(before: SegmentSettings, after: SegmentSettings) -> list[str]:
    """What has changed, in words."""
    found = [
        f"the {what} was {old:g} s and is {new:g} s"
        for what, old, new in (
            ("window", before.window_s, after.window_s),
            ("stride", before.stride_s, after.stride_s),
        )
        if old != new
    ]
    for space in {**before.spaces, **after.spaces}:
        old_made, new_made = before.spaces.get(space), after.spaces.get(space)
        if old_made is None or new_made is None:
            found.append(f"{space} {'was not there' if old_made is None else 'can no longer be made'}")
        elif old_made.feature != new_made.feature:
            found.append(f"{space} was made from {old_made.feature} and is from {new_made.feature}")
        elif old_made != new_made:
            found.append(f"{new_made.feature} has changed since")
    if before.behaviour != after.behaviour:
        old_model, new_model = before.behaviour, after.behaviour
        if old_model is None or new_model is None:
            found.append(f"behaviour {'was not there' if old_model is None else 'is no longer made'}")
        else:
            found.append(f"behaviour was made by model {old_model.id} and is by {new_model.id}")
    return found


def _takes(table: Table) -> set[int]:
    found: set[int] = set()
    for batch in table.batches(["take"], rows=1 << 20):
        found.update(pc.unique(batch["take"]).to_pylist())
    return found


def _kept(store: FeatureStore) -> set[int]:
    """The takes that a row of videos names, including removed videos, which may be taken back."""
    return {row.take for row in store.rows() if row.take is not None}
