"""Maintenance: one call that may be run at any moment, beside any reader."""

from collections.abc import Callable
from datetime import timedelta

from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import Where
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import GRACE, Optimized, StoreWriter


def run(
    store: Where,
    grace: timedelta = GRACE,
    wait: bool = True,
    on_wait: Callable[[str], None] | None = None,
) -> Optimized:
    """Take what nobody reads off the disk, merge small fragments, and index the rows of takes.

    grace: how long versions stay that are no longer the newest, for the readers that hold them; zero drops all of them.

    Raises:
        StoreError: see `FeatureStore.open`, `writer_lock`.
    """
    at = FeatureStore.open(store).place
    with writer_lock(at, wait, on_wait) as lock:
        return StoreWriter(FeatureStore.open(at), lock.check).optimize(grace)
