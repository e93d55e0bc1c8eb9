"""Rows of `features`, and the columns of `frames` that they name: what they may be called, and which are whole."""

import re
from collections.abc import Callable
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from schemas.features import FEATURES, Feature
from schemas.frames import frames_schema
from schemas.videos import Video
from vimoclip.errors import FeatureError, SettingsError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def lacking(store: FeatureStore, frames: Table, name: str) -> list[Video]:
    """The videos that are in and lack vectors of a feature, in the order of their rows on disk. frames: the table, at
    whatever version."""
    rows = {row.take: row for row in store.rows() if row.status == "ok"}
    if name not in frames.schema.names:
        return list(rows.values())
    feature = store.features.get(name) or store.unfinished.get(name)
    null = pc.field(f"{name}_norm").is_null()
    if feature is not None and feature.kind == "motion":  # which the first frame never has
        null &= pc.field("frame_index") > 0
    takes = frames.read(["take"], null)["take"]
    return [rows[take] for take in pc.unique(takes).to_pylist() if take in rows]


def check_same(own: Feature, other: Feature, hint: str) -> None:
    """Refuse vectors that are not of the store's kind, such as from other weights at the same path.

    Raises:
        SettingsError: naming what differs.
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
    """Set a row of `features`. Call it with the write lock held."""
    row = asdict(feature) | {"fingerprint": feature.fingerprint}
    table.upsert(pa.Table.from_pylist([row], schema=FEATURES), "name")


def replace_feature(table: Table, name: str, feature: Feature) -> None:
    """Put a row of `features` in the place of another, in one commit. Call it with the write lock held."""
    rows = [row for row in table.read().to_pylist() if row["name"] != name]
    rows.append(asdict(feature) | {"fingerprint": feature.fingerprint})
    table.replace(pa.Table.from_pylist(rows, schema=FEATURES))


def check_name(store: FeatureStore, name: str) -> None:
    """Refuse a name that no added feature can have.

    Raises:
        FeatureError: it is not of a form that every reader of columns takes, or a column of another kind has it.
    """
    if not _NAME.fullmatch(name):
        raise FeatureError(
            "A feature cannot have this name.",
            received=repr(name),
            expected="a small letter, then up to 63 small letters, digits, - and _",
        )
    known = store.features | store.unfinished
    others = [other for other, feature in known.items() if other != name or not feature.added]
    clash = {name, f"{name}_norm"} & set(frames_schema(dict.fromkeys(others, 1)).names)
    if clash:
        raise FeatureError(
            "The frames of the store have a column of this name already.",
            received=", ".join(sorted(clash)),
            expected="a name of its own",
            hint="Choose another with --as.",
        )


def drop_unnamed_columns(store: FeatureStore, frames: Table, check: Callable[[], None]) -> list[str]:
    """Drop the columns of `frames` that no row of `features` names, left by a kill; which they were.

    Call it with the write lock held, and with a snapshot that was taken since.
    """
    named = frames_schema(dict.fromkeys(store.features | store.unfinished, 1)).names
    left = [name for name in frames.schema.names if name not in named]
    if left:
        check()
        frames.drop_columns(left)
    return left
