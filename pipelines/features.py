"""What features a store has; and renaming or dropping those that were added to it.

Readers go by the rows of `features`. So a column is there before a row names it and goes after none does any more, and
each of these changes is one commit for them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.compute as pc

from schemas.features import Feature, Kind, Training, feature_columns
from vimoclip.atomic import defer_interrupts
from vimoclip.errors import FeatureError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import check_name, drop_orphan_columns, replace_feature, videos_missing_feature
from vimoclip.store.location import LocationLike
from vimoclip.store.lock import writer_lock


@dataclass(frozen=True)
class Listed:
    """One feature. state: `own`, which every take is made with; `added`, beside them; `unfinished`, which no reader
    sees yet. lacking: how many of the videos that are in have no vectors of it."""

    name: str
    kind: Kind
    dim: int
    model: str
    weights: str
    training: Training
    precision: str
    state: str
    lacking: int
    fingerprint: str
    preprocessing: dict[str, Any]


def listed(where: LocationLike) -> list[Listed]:
    """Every feature, the store's own first.

    Raises:
        StoreError: see `FeatureStore.open`.
    """
    store = FeatureStore.open(where)
    features = [*store.features.values(), *store.unfinished.values()]
    return [_listed(store, feature) for feature in sorted(features, key=lambda feature: feature.added)]


def _listed(store: FeatureStore, feature: Feature) -> Listed:
    return Listed(
        name=feature.name,
        kind=feature.kind,
        dim=feature.dim,
        model=feature.model,
        weights=feature.weights,
        training=feature.training,
        precision=feature.precision,
        state="unfinished" if not feature.complete else "added" if feature.added else "own",
        lacking=len(videos_missing_feature(store, store.tables["frames"], feature.name)) if feature.added else 0,
        fingerprint=feature.fingerprint,
        preprocessing=json.loads(feature.preprocessing),
    )


def drop(where: LocationLike, name: str, wait: bool = True, on_wait: Callable[[str], None] | None = None) -> None:
    """Take an added feature, whole or not, out of the store. `optimize` frees its room on the disk.

    Raises:
        FeatureError: there is none of this name, or it is the store's own. StoreError.
    """
    at = FeatureStore.open(where).place
    with writer_lock(at, wait, on_wait) as lock:
        store = FeatureStore.open(at)
        store.check_settled()
        _added(store, name)
        with defer_interrupts():
            lock.check()
            store.tables["features"].delete(pc.field("name") == name)
            store = store.refresh()
            drop_orphan_columns(store, store.tables["frames"], lock.check)


def rename(
    where: LocationLike, old: str, new: str, wait: bool = True, on_wait: Callable[[str], None] | None = None
) -> None:
    """Give an added feature another name. Its vectors are copied: columns cannot change their name and their row in
    `features` at once.

    Raises:
        FeatureError: there is none of this name, it is the store's own, or the new name cannot be had. StoreError.
    """
    at = FeatureStore.open(where).place
    with writer_lock(at, wait, on_wait) as lock:
        store = FeatureStore.open(at)
        store.check_settled()
        feature = _added(store, old)
        check_name(store, new)
        if new in store.features | store.unfinished:
            raise FeatureError(f"The store has a feature {new} already.", hint="Drop that one first.")
        with defer_interrupts():
            frames = store.tables["frames"]
            drop_orphan_columns(store, frames, lock.check)  # those of the new name may be left from a drop
            if old in frames.schema.names:
                lock.check()
                frames.copy_columns(dict(zip(feature_columns([new]), feature_columns([old]), strict=True)))
            lock.check()
            replace_feature(store.tables["features"], old, replace(feature, name=new))
            store = store.refresh()
            drop_orphan_columns(store, store.tables["frames"], lock.check)


def _added(store: FeatureStore, name: str) -> Feature:
    features = store.features | store.unfinished
    feature = features.get(name)
    if feature is None or not feature.added:
        raise FeatureError(
            f"The store has no feature {name}."
            if feature is None
            else f"{name} is the store's own: every take is made with it.",
            expected=", ".join(other for other, known in features.items() if known.added) or "a feature that was added",
            hint="`vimoclip features` lists them.",
        )
    return feature
