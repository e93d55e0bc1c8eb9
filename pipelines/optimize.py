"""Maintenance: one call that may be run at any moment, beside any reader."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from vimoclip.lock import writer_lock
from vimoclip.store import FeatureStore
from vimoclip.writer import GRACE, Optimized, StoreWriter


def run(
    store: str | Path,
    grace: timedelta = GRACE,
    wait: bool = True,
    on_wait: Callable[[str], None] | None = None,
) -> Optimized:
    """Take what nobody reads off the disk, and merge small fragments.

    grace: how long versions stay that are no longer the newest, for the readers that hold them; zero drops all of them.

    Raises:
        StoreError: see `FeatureStore.open`, `writer_lock`.
    """
    path = FeatureStore.open(store).path
    with writer_lock(path, wait, on_wait):
        return StoreWriter(FeatureStore.open(path)).optimize(grace)
