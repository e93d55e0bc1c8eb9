"""Listing the features of a store, and renaming or dropping added ones.

Readers go by the rows of `features`. A column therefore exists before a row names it, and is deleted after the last row
that does; readers see each change as one commit.
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
    """A feature of a store, for people and JSON.

    Attributes:
        name: of the feature, and of its column.
        kind: image or motion.
        dim: length of its vectors.
        model: that makes them.
        weights: of the model.
        training: how far the model is trained.
        precision: of the model's arithmetic.
        memory_format: how images lay in memory for it.
        state: `own`, which every ingest computes; `added`, by `vimoclip embed`; `unfinished`, which readers do not see
            yet.
        lacking: how many stored videos have no vectors of it.
        fingerprint: of all that its vectors follow from.
        preprocessing: of the model's input.
    """

    name: str
    kind: Kind
    dim: int
    model: str
    weights: str
    training: Training
    precision: str
    memory_format: str
    state: str
    lacking: int
    fingerprint: str
    preprocessing: dict[str, Any]


def listed(where: LocationLike) -> list[Listed]:
    """List every feature, the store's own first.

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
        memory_format=feature.memory_format,
        state="unfinished" if not feature.complete else "added" if feature.added else "own",
        lacking=len(videos_missing_feature(store, store.tables["frames"], feature.name)) if feature.added else 0,
        fingerprint=feature.fingerprint,
        preprocessing=json.loads(feature.preprocessing),
    )


def drop(where: LocationLike, name: str, wait: bool = True, on_wait: Callable[[str], None] | None = None) -> None:
    """Drop an added feature, complete or not. `optimize` frees its disk space.

    Args:
        where: the store.
        name: of the feature.
        wait: whether to wait for another writer, rather than fail.
        on_wait: called with a message before waiting.

    Raises:
        FeatureError: the store has no such feature, or it is the store's own.
        StoreError: see `FeatureStore.open` and `writer_lock`.
    """
    at = FeatureStore.open(where).place
    with writer_lock(at, wait, on_wait) as lock:
        store = FeatureStore.open(at)
        store.check_writable()
        _added(store, name)
        with defer_interrupts():
            lock.check()
            store.tables["features"].delete(pc.field("name") == name)
            store = store.refresh()
            drop_orphan_columns(store, store.tables["frames"], lock.check)


def rename(
    where: LocationLike, old: str, new: str, wait: bool = True, on_wait: Callable[[str], None] | None = None
) -> None:
    """Rename an added feature.

    Its vectors are copied, since a column and its row in `features` cannot be renamed in one commit.

    Args:
        where: the store.
        old: its name.
        new: its new name.
        wait: whether to wait for another writer, rather than fail.
        on_wait: called with a message before waiting.

    Raises:
        FeatureError: the store has no such feature, it is the store's own, or the new name is taken or not allowed.
        StoreError: see `FeatureStore.open` and `writer_lock`.
    """
    at = FeatureStore.open(where).place
    with writer_lock(at, wait, on_wait) as lock:
        store = FeatureStore.open(at)
        store.check_writable()
        feature = _added(store, old)
        if (taken := (store.features | store.unfinished).get(new)) is not None:
            other = f"Choose another name, or `vimoclip features drop {new}` first."
            raise FeatureError(
                f"The store already has a feature {new}.", hint=other if taken.added else "Choose another name."
            )
        check_name(store, new, "Choose another name.")
        with defer_interrupts():
            frames = store.tables["frames"]
            drop_orphan_columns(store, frames, lock.check)  # a drop may have left columns of the new name
            if old in frames.schema.names:
                lock.check()
                frames.copy_columns(dict(zip(feature_columns([new]), feature_columns([old]), strict=True)))
            lock.check()
            replace_feature(store.tables["features"], old, replace(feature, name=new))
            store = store.refresh()
            drop_orphan_columns(store, store.tables["frames"], lock.check)


def _added(store: FeatureStore, name: str) -> Feature:
    """The added feature of this name."""
    features = store.features | store.unfinished
    feature = features.get(name)
    if feature is None or not feature.added:
        raise FeatureError(
            f"The store has no feature {name}."
            if feature is None
            else f"{name} is the store's own: every ingest computes it.",
            expected=", ".join(other for other, known in features.items() if known.added) or "a feature that was added",
            hint="`vimoclip features` lists them.",
        )
    return feature
