"""FeatureWriter: adds a further feature to a store, beside those that every take is made with.

Its `features` row comes first, marked as incomplete; then its two columns, null everywhere; then the vectors, in
bounded commits; and last the row again, complete. Readers see that last commit: until then no complete row names the
columns. So a kill leaves a feature that nobody sees, and the next run continues where it stopped. Once the feature is
complete, a video that lacks it gets all of its vectors in one commit. Hold `lock.writer_lock` around it.

`promote_feature` puts the staged feature in the place of `moclip`, in one step for readers. The rest of the file names,
finds and drops features: rows of `features`, and the columns of `frames` that they name.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.features import FEATURES, Feature, feature_columns, store_fingerprint
from schemas.frames import frames_schema
from schemas.videos import VIDEOS, Video
from vimoclip.atomic import defer_interrupts
from vimoclip.errors import FeatureError, SettingsError, VideoError
from vimoclip.frames import Embeddings, FrameBatch
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.rows import CommitBuffer, check_vectors, feature_arrays
from vimoclip.store.snapshot import ROLLBACK_VERSIONS
from vimoclip.store.table import GRACE, Table

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def videos_missing_feature(store: FeatureStore, frames: Table, name: str) -> list[Video]:
    """List the videos in the store that lack vectors of a feature, in the order of their rows on disk.

    Args:
        store: the snapshot.
        frames: the table `frames`, at any version.
        name: the feature, which may have no columns yet. Of vectors made elsewhere a video lacks them only where no
            frame has one.
    """
    rows = {row.take: row for row in store.live_videos()}
    if name not in frames.schema.names:
        return list(rows.values())
    feature = store.features.get(name) or store.unfinished.get(name)
    null = pc.field(feature_columns([name])[1]).is_null()
    if feature is not None and feature.elsewhere:
        having = set(pc.unique(frames.read(["take"], ~null)["take"]).to_pylist())
        return [row for take, row in rows.items() if take not in having]
    if feature is not None and feature.kind == "motion":  # the first frame never has one
        null &= pc.field("frame_index") > 0
    takes = frames.read(["take"], null)["take"]
    return [rows[take] for take in pc.unique(takes).to_pylist() if take in rows]


def check_same(own: Feature, other: Feature, hint: str) -> None:
    """Refuse vectors that differ from the store's, such as from other weights at the same path.

    Args:
        own: the feature in the store.
        other: the one that would be added to it.
        hint: what the error advises.

    Raises:
        SettingsError: names what differs.
    """
    if own.fingerprint != other.fingerprint:
        differing = [
            f"{name} is {getattr(own, name)!r} in the store and {getattr(other, name)!r} here"
            for name in ("model", "weights", "weights_sha256", "preprocessing", "precision")
            if getattr(own, name) != getattr(other, name)
        ]
        raise SettingsError(
            f"The feature {own.name} would not be the store's.",
            received="; ".join(differing),
            expected="the same weights and preprocessing",
            hint=hint,
        )


def put_feature(table: Table, feature: Feature) -> None:
    """Insert or replace a row of `features`. Call it with the write lock held."""
    row = asdict(feature) | {"fingerprint": feature.fingerprint}
    table.upsert(pa.Table.from_pylist([row], schema=FEATURES), "name")


def replace_feature(table: Table, name: str, feature: Feature) -> None:
    """Put a row of `features` in the place of the one called `name`, in one commit. Call it with the lock held."""
    rows = [row for row in table.read().to_pylist() if row["name"] != name]
    rows.append(asdict(feature) | {"fingerprint": feature.fingerprint})
    table.replace(pa.Table.from_pylist(rows, schema=FEATURES))


def check_name(store: FeatureStore, name: str, hint: str = "Choose another with --as.") -> None:
    """Refuse a name that no added feature can have.

    Args:
        store: the snapshot.
        name: of a feature.
        hint: what the error advises where the name is taken.

    Raises:
        FeatureError: the name is malformed, or belongs to a feature that every take is made with, or to a column.
    """
    if not _NAME.fullmatch(name):
        raise FeatureError(
            "A feature cannot have this name.",
            received=repr(name),
            expected="a small letter, then up to 63 small letters, digits, - and _",
        )
    known = store.features | store.unfinished
    others = [other for other, feature in known.items() if other != name or not feature.added]
    clash = set(feature_columns([name])) & set(frames_schema(dict.fromkeys(others, 1)).names)
    if clash:
        raise FeatureError(
            "The frames of the store have a column of this name already.",
            received=", ".join(sorted(clash)),
            expected="a name of its own",
            hint=hint,
        )


def drop_orphan_columns(store: FeatureStore, frames: Table, check: Callable[[], None]) -> list[str]:
    """Drop the columns of `frames` that no row of `features` names, left by a kill.

    Call it with the write lock held.

    Args:
        store: a snapshot taken since the lock was.
        frames: the newest version of the table.
        check: called before the commit, to raise when the lock is lost.

    Returns:
        The names of the columns that were dropped.
    """
    named = frames_schema(dict.fromkeys(store.features | store.unfinished, 1)).names
    left = [name for name in frames.schema.names if name not in named]
    if left:
        check()
        frames.drop_columns(left)
    return left


FLUSH_BYTES = 48 << 20
FLUSH_S = 120.0
"""Seconds between commits, which are rare because each rewrites the feature's columns in every fragment it touches."""


@dataclass
class _Take:
    """A video that is being filled.

    Attributes:
        video: its row.
        addresses: of its stored frames in the table.
        source_frame: of them.
        count: how many have come.
        held: rows that wait until the video is whole, where readers see the feature already.
    """

    video: Video
    addresses: np.ndarray
    source_frame: np.ndarray
    count: int = 0
    held: list[pa.Table] = field(default_factory=list)


class FeatureWriter:
    """Adds a feature to a store, or continues an interrupted addition.

    In memory are rows up to FLUSH_BYTES; of a feature that is complete also those of the videos that have begun.

    Args:
        store: the snapshot to write after; taken with the write lock held.
        feature: what to add.
        check: called before every commit, to raise when the lock is lost.

    Attributes:
        feature: the feature as its row says it, complete or not.

    Raises:
        FeatureError: a feature cannot have this name.
        SettingsError: the store has another feature of this name.
    """

    def __init__(self, store: FeatureStore, feature: Feature, check: Callable[[], None] = lambda: None) -> None:
        """Write the feature's row and add its columns, where they are not there yet."""
        store.check_writable()
        check_name(store, feature.name)
        self._store, self._check = store, check
        self._frames = store.tables["frames"].latest()
        known = store.features.get(feature.name) or store.unfinished.get(feature.name)
        if known is None:
            self.feature = replace(feature, complete=False)
        else:
            check_same(known, feature, "Choose another name with --as, or `vimoclip features drop` this one first.")
            kept = {name: getattr(known, name) for name in ("complete", "packages", "created_at")}
            self.feature = replace(feature, **kept)
        names = feature.columns
        columns = pa.schema([frames_schema({feature.name: feature.dim}).field(name) for name in names])
        with defer_interrupts():
            if known is None:
                drop_orphan_columns(store, self._frames, check)  # left by a `features drop` that was killed
            if known != self.feature:
                self._put_feature(self.feature)
            if feature.name not in self._frames.schema.names:
                check()
                self._frames.add_columns(columns)
        schema = pa.schema([pa.field("_rowid", pa.uint64()), *columns])
        self._buffer = CommitBuffer(schema, self._update, check, max_bytes=FLUSH_BYTES)
        self._takes: dict[str, _Take] = {}
        self._halved: list[Video] = []
        self._last_flush = time.monotonic()

    def todo(self) -> list[Video]:
        """List the videos that lack vectors, in the order of their rows on disk: neighbours share fragments."""
        return videos_missing_feature(self._store, self._frames, self.feature.name)

    def add(self, video: Video, frames: FrameBatch) -> None:
        """Add the vectors of consecutive frames of a video.

        Args:
            video: its row.
            frames: what follows the frames already added; only the vectors of this feature are stored.

        Raises:
            VideoError: `embedding-failed`: these are not the stored frames, or the vectors cannot be stored; none of
                the vectors are kept.
        """
        take = self._takes.get(video.video_id) or self._start(video)
        first, n = take.count, len(frames.frame_index)
        if not np.array_equal(frames.source_frame, take.source_frame[first : first + n]):
            raise VideoError(
                "embedding-failed",
                "The file no longer decodes to the frames that are stored.",
                received=f"frame {frames.source_frame[0]} or one after it",
                expected=f"frames {take.source_frame[first : first + 3].tolist()} …",
                hint="Was it stored by another version of FFmpeg? Remove it and ingest it again.",
            )
        vectors = frames.features[self.feature.name]
        due = np.arange(first, first + n) > 0 if self.feature.kind == "motion" else np.ones(n, np.bool_)
        if self.feature.elsewhere:
            due = vectors.present
        check_vectors(video.video_id, self.feature, vectors, due)
        rows = self._rows(take.addresses[first : first + n], vectors)
        if self.feature.complete:  # readers would see a part of the video if this were killed
            take.held.append(rows)
        else:
            self._buffer.add(rows)
            self._flush_if_due()
        take.count += n

    def end(self, video: Video, reduced_batch: bool) -> None:
        """Note that all frames of a video have come.

        Args:
            video: its row.
            reduced_batch: whether it was embedded in smaller batches for lack of memory, which its row records.

        Raises:
            VideoError: `embedding-failed`: frames are missing. `take_back` forgets what came.
        """
        take = self._takes.pop(video.video_id, None) or self._start(video)
        if take.count != len(take.addresses):
            self._takes[video.video_id] = take
            raise VideoError(
                "embedding-failed",
                "The file decodes to fewer frames than are stored.",
                received=take.count,
                expected=len(take.addresses),
                hint="Is it damaged now? Ingest its folder, then add the feature again.",
            )
        for rows in take.held:
            self._buffer.add(rows)
        self._flush_if_due()
        if reduced_batch and not video.reduced_batch:
            self._halved.append(replace(video, reduced_batch=True))
        if time.monotonic() - self._last_flush > FLUSH_S:
            self.flush()

    def take_back(self, video: Video) -> None:
        """Forget what came of a video, because it begins again or cannot be embedded."""
        take = self._takes.pop(video.video_id, None)
        if take is not None and take.count and not self.feature.complete:
            dim, n = self.feature.dim, take.count
            nothing = Embeddings(np.zeros((n, dim), np.float16), np.zeros(n, np.float32))
            self._buffer.add(self._rows(take.addresses[:n], nothing))
            self._flush_if_due()

    def flush(self) -> None:
        """Commit what is buffered. Ctrl-C waits until it is done."""
        with defer_interrupts():
            self._buffer.flush()
            if self._halved:
                rows = pa.Table.from_pylist([asdict(row) for row in self._halved], schema=VIDEOS)
                self._check()
                self._store.tables["videos"].latest().upsert(rows, "video_id")
                self._halved.clear()
            self._check()
            self._frames.cleanup_versions(GRACE)
        self._last_flush = time.monotonic()

    def finish(self) -> None:
        """Commit the rest and mark the feature complete, in one commit, so that readers see it."""
        self.flush()
        if not self.feature.complete:
            with defer_interrupts():
                self.feature = replace(self.feature, complete=True)
                self._put_feature(self.feature)

    def _start(self, video: Video) -> _Take:
        rows = self._frames.scan_with_row_ids(["frame_index", "source_frame"], pc.field("take") == video.take)
        rows = rows.sort_by("frame_index")
        take = _Take(video, rows["_rowid"].to_numpy(), rows["source_frame"].to_numpy())
        self._takes[video.video_id] = take
        return take

    def _rows(self, addresses: np.ndarray, vectors: Embeddings) -> pa.Table:
        columns = {"_rowid": pa.array(addresses, pa.uint64())} | feature_arrays(self.feature.name, vectors)
        return pa.table(columns)

    def _flush_if_due(self) -> None:
        if self._buffer.due:
            self.flush()

    def _update(self, rows: pa.Table) -> None:
        self._frames.update_rows(_last_of_each(rows))

    def _put_feature(self, feature: Feature) -> None:
        self._check()
        put_feature(self._store.tables["features"].latest(), feature)


def _last_of_each(rows: pa.Table) -> pa.Table:
    """Keep only the last of several rows with one address: a video that began again comes twice."""
    addresses = rows["_rowid"].to_numpy()
    _, from_behind = np.unique(addresses[::-1], return_index=True)
    return rows if len(from_behind) == len(rows) else rows.take(pa.array(len(rows) - 1 - from_behind))


PROMOTED = "moclip"
"""The feature that `promote_feature` replaces."""

STAGED = "moclip-next"
"""The name, until then, of the feature that takes its place."""

_TAG = "switching"


def promote_feature(store: FeatureStore, check: Callable[[], None]) -> FeatureStore:
    """Put the feature STAGED, which has all its vectors, in the place of PROMOTED, in one step for readers.

    This takes commits to three tables: the vectors in `frames`, the fingerprint in each row of `videos`, the row of
    `features`. So the first commit pins the snapshot before, in the row of the staged feature, and from then on the
    store opens at that snapshot. The last commit removes the pin. A kill between them leaves a store that reads as
    before and refuses writes until the switch is done: `vimoclip embed --motion` finishes it.

    Call it with the write lock held. Ctrl-C waits until it is done.

    Args:
        store: the newest snapshot, or the pinned one, to finish an interrupted switch.
        check: called before each commit, to raise when the lock is lost.

    Returns:
        The snapshot after it.
    """
    with defer_interrupts():
        coming = store.unfinished[STAGED]
        if store.promoting is None:
            store.tag(_TAG)
            check()
            pinned = json.dumps(json.loads(coming.settings or "{}") | {ROLLBACK_VERSIONS: store.versions})
            put_feature(store.tables["features"].latest(), replace(coming, settings=pinned))
        new = replace(coming, name=PROMOTED, settings=None, complete=True)
        _put_vectors(store, check)
        others = [feature for name, feature in store.features.items() if name != PROMOTED]
        _put_fingerprints(store, store_fingerprint([*others, new]), check)
        features = store.tables["features"].latest()
        rows = [row for row in features.read().to_pylist() if row["name"] not in (PROMOTED, STAGED)]
        rows.append(asdict(new) | {"fingerprint": new.fingerprint})
        check()
        features.replace(pa.Table.from_pylist(rows, schema=FEATURES))
        after = store.refresh()
        drop_orphan_columns(after, after.tables["frames"], check)
        after = after.refresh()
        for table in after.tables.values():
            table.untag(_TAG)
        return after


def _put_vectors(store: FeatureStore, check: Callable[[], None]) -> None:
    frames = store.tables["frames"].latest()
    names = feature_columns([PROMOTED])
    check()
    if left := [name for name in names if name in frames.schema.names]:
        frames.drop_columns(left)
        frames = frames.latest()
    check()
    frames.copy_columns(dict(zip(names, feature_columns([STAGED]), strict=True)))


def _put_fingerprints(store: FeatureStore, fingerprint: str, check: Callable[[], None]) -> None:
    videos = store.tables["videos"].latest()
    rows = videos.read(where=pc.field("fingerprint") == store.fingerprint).to_pylist()
    if rows:
        changed = [asdict(replace(Video(**row), fingerprint=fingerprint)) for row in rows]
        check()
        videos.upsert(pa.Table.from_pylist(changed, schema=VIDEOS), "video_id")
