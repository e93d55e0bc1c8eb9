"""Upgrading a store of an older format to today's (`schemas.FORMAT_VERSION`). Nothing is computed again.

The table `videos` names the format, so it goes first, in one commit: from then on older versions of ViMoCLIP refuse the
store, and this one reads it. What the other tables lack is read as null, before and after they are rewritten, so that a
kill at any moment leaves the old store or the new one. Versions that runs have tagged stay readable.
"""

from collections.abc import Callable

import pyarrow as pa

from schemas import FORMAT_KEY, FORMAT_VERSION, SINCE_FORMAT
from schemas.labels import LABELS
from schemas.videos import VIDEOS
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.store.snapshot import with_missing

_SCHEMAS = {"videos": VIDEOS, "labels": LABELS}  # in the order in which they are rewritten


def upgrade(where: LocationLike, check: Callable[[], None] = lambda: None) -> tuple[int, list[str]]:
    """Bring a store to today's format. Hold the write lock.

    Args:
        where: the store.
        check: called before every commit, to raise when the lock is lost.

    Returns:
        The format that the store had, and the tables that were rewritten: none where it has today's format already.

    Raises:
        StoreError: see `FeatureStore.open`; or a table cannot be written.
    """
    store = FeatureStore.open(where)
    rewritten = []
    for name, schema in _SCHEMAS.items():
        table = store.tables[name].latest()
        metadata = dict(table.schema.metadata or {})
        if name == "videos" and metadata.get(FORMAT_KEY) != str(FORMAT_VERSION).encode():
            metadata[FORMAT_KEY] = str(FORMAT_VERSION).encode()
        elif set(SINCE_FORMAT[name]) <= set(table.schema.names):
            continue
        check()
        new = schema.with_metadata({key: value for key, value in metadata.items() if key.startswith(b"vimoclip:")})
        rows: pa.Table = with_missing(table.read(), schema)
        table.replace(rows, new)
        rewritten.append(name)
    return store.format, rewritten
