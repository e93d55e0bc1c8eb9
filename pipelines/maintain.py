"""Maintaining a store: removing videos and taking them back, optimizing what is on the disk, upgrading its format."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from schemas import FORMAT_VERSION
from schemas.videos import Status
from vimoclip.errors import UnknownVideoError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.store.lock import writer_lock
from vimoclip.store.run_tags import RunSnapshot, drop_gone_runs
from vimoclip.store.table import GRACE
from vimoclip.store.upgrade import upgrade as upgrade_tables
from vimoclip.store.video_names import find_videos, suggestion
from vimoclip.store.writer import MOVED, OptimizeStats, StoreWriter


@dataclass(frozen=True)
class RemoveReport:
    """What removing videos, or taking them back, did.

    Attributes:
        changed: ids that were removed, or taken back.
        unchanged: ids that already were.
        forgotten: ids that were taken back although their frames are deleted: the next ingest extracts them again.
        copies: ids of duplicates of what was removed, which stay out too.
    """

    changed: list[str]
    unchanged: list[str]
    forgotten: list[str]
    copies: list[str]


def remove(
    store: LocationLike,
    names: list[str],
    undo: bool = False,
    wait: bool = True,
    on_wait: Callable[[str], None] | None = None,
) -> RemoveReport:
    """Hide videos from every reader at once; ingest skips them from then on. `optimize` deletes them from the disk.

    Args:
        store: the store.
        names: of the videos, of any status: ids, patterns of ids, or the paths of files or folders; see
            vimoclip/store/video_names.py.
        undo: take removed videos back instead.
        wait: whether to wait for another writer, rather than fail.
        on_wait: called with a message before waiting.

    Raises:
        UnknownVideoError: a name means no video, or may mean several; nothing is changed.
        StoreError: see `FeatureStore.open` and `writer_lock`.
    """
    at = FeatureStore.open(store).place
    with writer_lock(at, wait, on_wait) as lock:
        writer = StoreWriter(FeatureStore.open(at), lock.check)
        video_ids: dict[str, None] = {}
        for name in names:
            found = find_videos(name, (row for row in writer.videos.values() if row.error_kind != MOVED))
            if not found:
                hint = "an id that `vimoclip status --videos` lists"
                raise UnknownVideoError(
                    "The store holds no such video; none was changed.", **suggestion(name, writer.videos, hint)
                )
            video_ids.update(dict.fromkeys(row.video_id for row in found))
        report = RemoveReport([], [], [], [])
        for video_id in video_ids:
            row = writer.videos[video_id]
            if (row.status == "removed") != undo:
                report.unchanged.append(video_id)
            elif not undo:
                writer.put(replace(row, status="removed"))
                report.changed.append(video_id)
                report.copies.extend(copy for copy, other in writer.videos.items() if other.duplicate_of == video_id)
            elif row.take is not None or row.duplicate_of is not None or row.error_kind is not None:
                before: Status = "ok" if row.take is not None else "duplicate" if row.duplicate_of else "failed"
                writer.put(replace(row, status=before))
                report.changed.append(video_id)
            else:
                report.forgotten.append(video_id)
        writer.flush()
        writer.forget(report.forgotten)
        return report


@dataclass(frozen=True)
class OptimizeReport(OptimizeStats):
    """What optimizing a store did.

    Attributes:
        dropped_runs: snapshots of training runs that were let go, because the run's folder was deleted.
        kept_runs: snapshots that are kept for training runs.
        older_versions: versions of tables that are kept for readers that use them.
    """

    dropped_runs: list[RunSnapshot]
    kept_runs: list[RunSnapshot]
    older_versions: int


def optimize(
    store: LocationLike,
    grace: timedelta = GRACE,
    wait: bool = True,
    on_wait: Callable[[str], None] | None = None,
) -> OptimizeReport:
    """Delete from the disk what is no longer read, merge small fragments, and index the rows of takes.

    The snapshots of training runs stay, but for those of runs that were deleted: see vimoclip/store/run_tags.py. It may
    be run at any time, beside any reader.

    Args:
        store: the store.
        grace: how long old versions stay for readers that use them; zero drops all of them.
        wait: whether to wait for another writer, rather than fail.
        on_wait: called with a message before waiting.

    Raises:
        StoreError: see `FeatureStore.open` and `writer_lock`.
    """
    at = FeatureStore.open(store).place
    with writer_lock(at, wait, on_wait) as lock:
        opened = FeatureStore.open(at)
        writer = StoreWriter(opened, lock.check)
        dropped, kept = drop_gone_runs(opened.tables, lock.check)
        stats = writer.optimize(grace)
        older = sum(table.latest().count_older() for table in opened.tables.values())
        return OptimizeReport(**vars(stats), dropped_runs=dropped, kept_runs=kept, older_versions=older)


@dataclass(frozen=True)
class UpgradeReport:
    """What upgrading a store did.

    Attributes:
        store: where it is.
        before: the format that it had.
        after: the format that it has.
        tables: those that were rewritten.
    """

    store: str
    before: int
    after: int
    tables: list[str]


def upgrade(store: LocationLike, wait: bool = True, on_wait: Callable[[str], None] | None = None) -> UpgradeReport:
    """Bring a store of an older version to today's format. It can be killed and run again at any moment.

    Args:
        store: the store.
        wait: whether to wait for another writer, rather than fail.
        on_wait: called with a message before waiting.

    Raises:
        StoreError: see `FeatureStore.open` and `writer_lock`.
    """
    at = FeatureStore.open(store).place
    with writer_lock(at, wait, on_wait) as lock:
        before, tables = upgrade_tables(at, lock.check)
    return UpgradeReport(str(at), before, FORMAT_VERSION, tables)
