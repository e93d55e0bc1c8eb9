"""Rows of `features` as records; and the snapshot that readers are given while one feature takes another's place."""

import json
from collections.abc import Iterable
from typing import Any

from schemas.features import Feature
from vimoclip.errors import StoreDamagedError
from vimoclip.store.table import Table

PINNED = "pinned"
"""In the settings of a feature that is taking another's place: of each table the version before."""


def stored_features(table: Table) -> list[Feature]:
    """Every row, complete or not.

    Raises:
        StoreDamagedError: one does not match its own fingerprint.
    """
    return [_feature(row) for row in table.read().to_pylist()]


def _feature(row: dict[str, Any]) -> Feature:
    stored = row.pop("fingerprint")
    feature = Feature(**row)
    if feature.fingerprint != stored:
        raise StoreDamagedError(
            f"The feature {feature.name} does not match its own fingerprint.",
            received=stored,
            expected=feature.fingerprint,
            hint="Its row was changed by hand; restore it, or ingest into a new store.",
        )
    return feature


def switching(features: Iterable[Feature]) -> tuple[str, dict[str, int]] | None:
    """The feature that is taking another's place, and the snapshot before; None where none is."""
    for feature in features:
        if not feature.complete and feature.settings is not None:
            pinned: dict[str, int] | None = json.loads(feature.settings).get(PINNED)
            if pinned is not None:
                return feature.name, pinned
    return None
