"""The snapshots that training runs keep: a tag on every table, which says in which folder the run is.

A snapshot stays on the disk while its tag does, however often the store is optimized. `drop_gone_runs` lets go of those
whose run was deleted.
"""

import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table

_PREFIX = "run-"
KEPT = timedelta(days=30)
"""How long the snapshot of a run stays at least, whatever became of the run's folder."""


@dataclass(frozen=True)
class RunSnapshot:
    """A snapshot that is kept for a training run.

    Attributes:
        tag: its name in Lance.
        folder: of the run, absolute; None where it was tagged by a version that did not record it.
        host: the machine that the folder is on; None likewise.
        tagged_at: when the run began.
        gone: whether the folder was deleted. False where this machine cannot tell: the folder is on another machine, on
            a disk that is not mounted, or not recorded.
    """

    tag: str
    folder: str | None
    host: str | None
    tagged_at: datetime
    gone: bool


def tag_run(store: FeatureStore, folder: Path) -> None:
    """Keep a snapshot for the run in a folder. What was kept for a run in the same folder before is let go.

    Raises:
        StoreError: the tables cannot be tagged.
    """
    path = folder.absolute()
    mount = os.path.realpath(path)
    while not os.path.ismount(mount) and mount != os.path.dirname(mount):
        mount = os.path.dirname(mount)
    name = f"{_PREFIX}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    store.tag(name, {"folder": str(path), "host": socket.gethostname(), "mount": mount})


def run_snapshots(tables: Mapping[str, Table]) -> list[RunSnapshot]:
    """List the snapshots that are kept for runs, the oldest first."""
    found: dict[str, RunSnapshot] = {}
    for table in tables.values():
        for name, (tagged_at, about) in table.tags().items():
            if name.startswith(_PREFIX):
                gone = _was_deleted(about)
                found[name] = RunSnapshot(name, about.get("folder"), about.get("host"), tagged_at, gone)
    return sorted(found.values(), key=lambda snapshot: snapshot.tagged_at)


def _was_deleted(about: Mapping[str, str]) -> bool:
    """Whether a run's folder is gone although the disk that it was on is there."""
    if about.get("host") != socket.gethostname() or not {"folder", "mount"} <= about.keys():
        return False
    return os.path.ismount(about["mount"]) and not os.path.lexists(about["folder"])


def drop_gone_runs(
    tables: Mapping[str, Table], check: Callable[[], None]
) -> tuple[list[RunSnapshot], list[RunSnapshot]]:
    """Let go of the snapshots of runs that were deleted and that began more than `KEPT` ago.

    Their versions leave the disk when `Table.cleanup_versions` runs. Call it with the write lock held.

    Args:
        tables: the store's tables by name.
        check: called before each change, to raise when the lock is lost.

    Returns:
        The snapshots that were let go, and those that stay.

    Raises:
        StoreError: a tag cannot be removed.
    """
    dropped, kept = [], []
    for snapshot in run_snapshots(tables):
        if not snapshot.gone or datetime.now(UTC) - snapshot.tagged_at < KEPT:
            kept.append(snapshot)
            continue
        for table in tables.values():
            check()
            table.untag(snapshot.tag)
        dropped.append(snapshot)
    return dropped, kept
