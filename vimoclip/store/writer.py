"""StoreWriter: the only way that videos, frames, flow and labels get into a store.

Rows are buffered and committed together, at most every `FLUSH_ROWS` rows, `FLUSH_BYTES` bytes or `FLUSH_S` seconds: a
commit a video would make a large store slow and its manifests large. Each commit is in the order frames, flow, labels,
videos, so that a kill at any moment leaves either a whole video or rows that no reader sees. Hold `lock.writer_lock`
around it. Features that are added later go through features.py.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from schemas.labels import Label
from schemas.videos import VIDEOS, Video
from vimoclip.atomic import defer_interrupts
from vimoclip.frames import FrameBatch
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import drop_orphan_columns
from vimoclip.store.labels import merge_labels, read_labels, write_labels
from vimoclip.store.models import drop_unreferenced_models
from vimoclip.store.rows import CommitBuffer, check, flow_rows, frame_rows
from vimoclip.store.table import GRACE, CompactionStats, Table

FLUSH_ROWS = 20_000
FLUSH_BYTES = 48 << 20
FLUSH_S = 30.0
FLUSH_VIDEOS = 512
COMPACT_EVERY_COMMITS = 200
"""Commits after which the writer merges its own small fragments: every manifest lists all fragments, so the total size
of manifests grows with the square of the commits."""
MOVED = "moved"
"""The error_kind of a videos row whose content has another id now."""


@dataclass(frozen=True)
class OptimizeStats:
    """What `StoreWriter.optimize` did.

    Attributes:
        leftover_takes: takes whose rows were dropped.
        fragments: how many were merged away.
        indexed_rows: rows added to indexes.
        bytes_before: size of the store before.
        bytes_after: and after.
    """

    leftover_takes: int
    fragments: int
    indexed_rows: int
    bytes_before: int
    bytes_after: int


class StoreWriter:
    """Writes to a store. Hold the write lock.

    Args:
        store: a snapshot taken with the lock held.
        check: called before every commit, to raise when the lock is lost.

    Attributes:
        videos: every videos row by id, as it is on disk or about to be.

    Raises:
        StoreError: a feature is taking another's place, which is to be finished first.
    """

    def __init__(self, store: FeatureStore, check: Callable[[], None] = lambda: None) -> None:
        store.check_writable()
        self._store, self._check = store, check
        self._tables = {name: table.latest() for name, table in store.tables.items()}
        self._of_takes = [name for name in ("frames", "flow", "segments") if name in self._tables]
        self.videos = {row.video_id: row for row in store.refresh().rows()}
        self._named = {row.take for row in self.videos.values() if row.take is not None}
        self._last_take = max(self._named, default=0)
        # take -> frames so far, source_frame and time of the last
        self._written: dict[int, tuple[int, int, float]] = {}
        self._buffers = {
            name: CommitBuffer(self._tables[name].schema, partial(self._append, name), check)
            for name in ("frames", "flow")
        }
        self._pending: dict[str, Video] = {}
        self._unlabelled: set[str] = set()
        self._moves: dict[str, str] = {}
        self._last_flush = time.monotonic()
        self._commits = 0

    def new_take(self) -> int:
        """Begin a take: a number that no row has, the time in nanoseconds, made to grow."""
        self._last_take = max(time.time_ns(), self._last_take + 1)
        self._written[self._last_take] = (0, -1, -1.0)
        return self._last_take

    def add(self, take: int, frames: FrameBatch) -> None:
        """Add consecutive frames to a take.

        Args:
            take: from `new_take`.
            frames: those that follow the frames before.

        Raises:
            VideoError: the frames do not follow the ones before, a value is missing or should be missing, or a vector
                is not finite and of unit length. None of them are kept.
        """
        made = {name: feature for name, feature in self._store.features.items() if not feature.elsewhere}
        check(frames, made, *self._written[take])
        self._buffer_rows("frames", frame_rows(self._tables["frames"].schema, take, frames))
        if self._store.config.keep_flow:
            self._buffer_rows("flow", flow_rows(take, frames))
        self._written[take] = (int(frames.frame_index[-1]) + 1, int(frames.source_frame[-1]), float(frames.time_s[-1]))

    def frames_in(self, take: int) -> int:
        """Count the frames that a take has so far."""
        return self._written[take][0]

    def put(self, *rows: Video) -> None:
        """Set videos rows, all in one commit, which comes after every frame that was added before."""
        for row in rows:
            self.videos[row.video_id] = self._pending[row.video_id] = row
        if len(self._pending) >= FLUSH_VIDEOS:
            self.flush()

    def move(self, old: Video, new: Video) -> None:
        """Give the same content another id: its frames, flow, labels and duplicates follow, and the old id ends.

        Labels that the new id had belonged to other content, and end too. Ctrl-C waits until the move is buffered.

        Args:
            old: the row of the old id; it has a take.
            new: the row of the new id, whose take and metadata come from the old one.
        """
        with defer_interrupts():
            self._move(old, new)

    def _move(self, old: Video, new: Video) -> None:
        assert old.take is not None
        if old.take in self._written:
            self.flush()  # some of its rows may still be buffered
        take = self.new_take()
        for name in ("frames", "flow"):
            for batch in self._tables[name].latest().batches(where=pc.field("take") == old.take):
                rows = pa.Table.from_batches([batch])
                for column, value in (("video_id", new.video_id), ("take", take)):
                    at = rows.schema.get_field_index(column)
                    values = pa.array([value] * rows.num_rows, rows.schema.field(at).type)
                    rows = rows.set_column(at, rows.schema.field(at), values)
                self._buffer_rows(name, rows.cast(self._tables[name].schema))
        self._moves[old.video_id] = new.video_id
        self.put(
            replace(new, take=take, split=new.split or old.split, metadata=old.metadata),
            replace(old, status="removed", error_kind=MOVED, error=f"now {new.video_id}"),
        )

    def set_labels(self, labels: Iterable[Label], video_ids: Iterable[str], source: str) -> int:
        """Make `labels` everything that `source` says of some videos. One commit, at once.

        What other sources say stays as it is.

        Args:
            labels: of these videos.
            video_ids: the videos; other labels of theirs from this source end.
            source: who says so, such as a file.

        Returns:
            How many rows changed.
        """
        stored = self.label_rows()
        rows = self._settled(stored)
        after, changed = merge_labels(rows, labels, video_ids, source)
        if changed or len(after) < len(stored) or rows != stored:  # rows of one key would be damage, which this mends
            self._put_labels(after)
        return changed

    def remove_source(self, source: str) -> int:
        """Drop everything that one source says. One commit, at once.

        Returns:
            How many labels were dropped.
        """
        rows = self.label_rows()
        kept = [label for label in rows if label.source != source]
        if len(kept) < len(rows):
            self._put_labels(kept)
        return len(rows) - len(kept)

    def drop_labels(self, video_id: str) -> None:
        """Drop what all sources say of a video, in the next commit, before the row of the video that was put."""
        self._unlabelled.add(video_id)

    def settle_labels(self) -> None:
        """Count the times of labels from the first frame that were waiting for their videos to be decoded."""
        table = self._tables["labels"]
        if "clock" in table.schema.names and table.count(pc.field("clock").is_valid()):
            stored = self.label_rows()
            if (rows := self._settled(stored)) != stored:
                self._put_labels(rows)

    def label_rows(self) -> list[Label]:
        """Read every label as it is on disk."""
        return read_labels(self._tables["labels"])

    def _settled(self, rows: list[Label]) -> list[Label]:
        """Labels with times from the first frame, where the video is decoded, and without what lies before it."""

        def first(label: Label) -> Label | None:
            row = self.videos.get(label.video_id)
            of = self.videos.get(row.duplicate_of or "", row) if row is not None else None
            if label.clock is None or of is None or of.status != "ok":
                return label
            return label.from_first_frame(of.clock_offset_s)

        return [label for each in rows if (label := first(each)) is not None]

    def flush(self) -> None:
        """Commit everything buffered: frames, flow, labels, then videos. Ctrl-C waits until it is done."""
        with defer_interrupts():
            self._flush()
        if self._commits >= COMPACT_EVERY_COMMITS:
            self._commits = 0
            self._index()
            self._tidy(GRACE)
        self._last_flush = time.monotonic()

    def flush_when_due(self) -> None:
        """Commit what has waited for `FLUSH_S`; call it now and then while nothing arrives."""
        waits = self._pending or any(buffer.rows for buffer in self._buffers.values())
        if waits and time.monotonic() - self._last_flush > FLUSH_S:
            self.flush()

    def _flush(self) -> None:
        for buffer in self._buffers.values():
            self._commits += buffer.flush()
        if self._unlabelled:
            self._forget_labels(list(self._unlabelled))
            self._unlabelled.clear()
        if self._moves:
            rows = self.label_rows()
            follow = [replace(x, video_id=self._moves[x.video_id]) for x in rows if x.video_id in self._moves]
            targets = set(self._moves.values())
            if follow or any(label.video_id in targets for label in rows):
                if follow:
                    self._announce({label.video_id for label in follow})
                self._put_labels([*(label for label in rows if label.video_id not in targets), *follow])
            for row in list(self.videos.values()):
                if row.duplicate_of is not None and row.duplicate_of in self._moves:
                    row = replace(row, duplicate_of=self._moves[row.duplicate_of])
                    self.videos[row.video_id] = self._pending[row.video_id] = row
            self._moves.clear()
        if self._pending:
            pending = [asdict(row) for row in self._pending.values()]
            self._locked("videos").upsert(pa.Table.from_pylist(pending, schema=VIDEOS), "video_id")
            self._pending.clear()
            self._commits += 1

    def drop_orphan_rows(self) -> int:
        """Drop the rows of takes that no videos row names, left by a crash or a replacement.

        Rows stay that another writer has begun so recently that it may yet name them. Call it with nothing buffered.

        Returns:
            How many takes were dropped.
        """
        kept = {row.take for row in self.videos.values() if row.take is not None}
        late_ns = int(self._store.place.late_commit_s * 1e9)
        began_ns = time.time_ns() - late_ns
        own = self._named | self._written.keys()
        dropped: set[int] = set()
        for name in self._of_takes:
            takes: set[int] = set()
            for batch in self._tables[name].batches(["take"], rows=1 << 20):
                takes.update(pc.unique(batch["take"]).to_pylist())
            self._last_take = max(self._last_take, *takes, 0)
            leftover = sorted(take for take in takes - kept if not late_ns or take < began_ns or take in own)
            if leftover:
                self._locked(name).delete(pc.field("take").isin(pa.array(leftover, pa.int64())))
                self._tables[name] = self._tables[name].latest()
            dropped.update(leftover)
        moved = [row.video_id for row in self.videos.values() if row.error_kind == MOVED]
        if moved:
            self.forget(moved)
            return self.drop_orphan_rows() + len(dropped)
        return len(dropped)

    def forget(self, video_ids: list[str]) -> None:
        """Delete videos rows and their labels, as if the videos had never been seen. Nothing may be buffered."""
        if video_ids:
            self._forget_labels(video_ids)
            self._locked("videos").delete(pc.field("video_id").isin(video_ids))
            self._tables["videos"] = self._tables["videos"].latest()
            for video_id in video_ids:
                del self.videos[video_id]

    def optimize(self, grace: timedelta = GRACE) -> OptimizeStats:
        """Free the disk of leftovers and speed up reads.

        Drops leftover rows, removed videos, versions older than `grace` and models that nothing names any more; indexes
        the rows by take; merges small fragments.

        Args:
            grace: how long a replaced version stays.
        """
        before = self._store.place.size()
        removed = [row for row in self.videos.values() if row.status == "removed" and row.take is not None]
        for row in removed:
            if row.error_kind != MOVED:  # without its take it counts as never seen, whatever its row said of the file
                row = replace(row, error_kind=None, error=None)
            self.put(replace(row, take=None, frames=None))
        self.flush()
        self._forget_labels([row.video_id for row in self.videos.values() if row.status == "removed"])
        indexed = self._index()  # first, so that a damaged index is mended before it is used
        leftovers = self.drop_orphan_rows()
        drop_orphan_columns(self._store.refresh(), self._locked("frames"), self._check)
        fragments = sum(done.fragments for done in self._tidy(grace, thorough=True))
        drop_unreferenced_models(self._store.place, self._tables, self._check)
        return OptimizeStats(leftovers, fragments, indexed, before, self._store.place.size())

    def _index(self) -> int:
        return sum(self._locked(name).index("take") for name in self._of_takes)

    def _tidy(self, grace: timedelta, thorough: bool = False) -> list[CompactionStats]:
        return [self._locked(name).compact_and_clean(grace, thorough) for name in self._tables]

    def _locked(self, name: str) -> Table:
        """A table to write to, with the lock held."""
        self._check()
        return self._tables[name]

    def _append(self, name: str, rows: pa.Table) -> None:
        self._tables[name].append(rows)

    def _buffer_rows(self, name: str, rows: pa.Table) -> None:
        self._buffers[name].add(rows)
        waiting = sum(buffer.bytes for buffer in self._buffers.values())
        if self._buffers["frames"].rows >= FLUSH_ROWS or waiting >= FLUSH_BYTES:
            self.flush()
        self.flush_when_due()

    def _put_labels(self, labels: list[Label]) -> None:
        write_labels(self._locked("labels"), labels)
        self._commits += 1

    def _announce(self, video_ids: set[str]) -> None:
        """Record ids that videos move to before their labels are written: what a kill leaves, the next run forgets."""
        known = self._tables["videos"].read(["video_id"], pc.field("video_id").isin(sorted(video_ids)))
        new = [self._pending[video_id] for video_id in sorted(video_ids - set(known["video_id"].to_pylist()))]
        rows = [asdict(replace(row, status="removed", take=None, frames=None, error_kind=MOVED)) for row in new]
        if rows:
            self._locked("videos").upsert(pa.Table.from_pylist(rows, schema=VIDEOS), "video_id")
            self._commits += 1

    def _forget_labels(self, video_ids: list[str]) -> None:
        gone = set(video_ids)
        labels = self.label_rows()
        kept = [label for label in labels if label.video_id not in gone]
        if len(kept) < len(labels):
            self._put_labels(kept)
