"""One feature takes the place of moclip, in one step for whoever reads.

It takes commits of three tables: the vectors in `frames`, the fingerprint that each row of `videos` names, the row of
`features`. So the first commit pins the snapshot before, in the row of the feature that is to come; from then on
whoever opens the store opens that snapshot. The last commit takes the pin away. A kill between them leaves a store that
can be read as it was, and not written to until the switch is done: `vimoclip embed --motion` goes on with it.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import pyarrow as pa
import pyarrow.compute as pc

from schemas.features import FEATURES, store_fingerprint
from schemas.videos import VIDEOS, Video
from vimoclip.atomic import held_back
from vimoclip.store.feature_rows import drop_unnamed_columns, put_feature
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.stored_features import PINNED

REPLACED = "moclip"
NEXT = "moclip-next"
"""The name of the feature that takes its place, until it does."""

_TAG = "switching"


def switch(store: FeatureStore, check: Callable[[], None]) -> FeatureStore:
    """Let NEXT, which is whole, take the place of REPLACED, or go on with that; the store after it.

    store: the newest snapshot, or the pinned one. Call it with the write lock held, which `check` makes sure of. Ctrl-C
    waits until it is done.
    """
    with held_back():
        coming = store.unfinished[NEXT]
        if store.switching is None:
            store.tag(_TAG)
            check()
            pinned = json.dumps(json.loads(coming.settings or "{}") | {PINNED: store.versions})
            put_feature(store.tables["features"].latest(), replace(coming, settings=pinned))
        new = replace(coming, name=REPLACED, settings=None, complete=True)
        _put_vectors(store, check)
        others = [feature for name, feature in store.features.items() if name != REPLACED]
        _put_fingerprints(store, store_fingerprint([*others, new]), check)
        features = store.tables["features"].latest()
        rows = [row for row in features.read().to_pylist() if row["name"] not in (REPLACED, NEXT)]
        rows.append(asdict(new) | {"fingerprint": new.fingerprint})
        check()
        features.replace(pa.Table.from_pylist(rows, schema=FEATURES))
        after = store.refresh()
        drop_unnamed_columns(after, after.tables["frames"], check)
        after = after.refresh()
        for table in after.tables.values():
            table.untag(_TAG)
        return after


def _put_vectors(store: FeatureStore, check: Callable[[], None]) -> None:
    frames = store.tables["frames"].latest()
    names = [REPLACED, f"{REPLACED}_norm"]
    check()
    if left := [name for name in names if name in frames.schema.names]:
        frames.drop_columns(left)
        frames = frames.latest()
    check()
    frames.copy_columns(dict(zip(names, (NEXT, f"{NEXT}_norm"), strict=True)))


def _put_fingerprints(store: FeatureStore, fingerprint: str, check: Callable[[], None]) -> None:
    videos = store.tables["videos"].latest()
    rows = videos.read(where=pc.field("fingerprint") == store.fingerprint).to_pylist()
    if rows:
        changed = [asdict(replace(Video(**row), fingerprint=fingerprint)) for row in rows]
        check()
        videos.upsert(pa.Table.from_pylist(changed, schema=VIDEOS), "video_id")
