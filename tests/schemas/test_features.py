"""The `features` table: a fingerprint is of what decides the vectors, and of nothing else."""

import dataclasses
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.features import FEATURES, Feature, store_fingerprint
from tests.schemas.tables import assert_keys, round_trip

FEATURE = Feature(
    name="clip",
    kind="image",
    dim=512,
    model="ViT-B-16",
    weights="openai",
    weights_sha256="00" * 32,
    training="pretrained",
    preprocessing='{"size": 224}',
    precision="bf16",
    packages='{"torch": "2.0"}',
    created_at=datetime(2025, 1, 1, tzinfo=UTC),
)
DECIDES: dict[str, Any] = {
    "kind": "motion",
    "dim": 768,
    "weights_sha256": "01" + "00" * 31,
    "preprocessing": '{"size": 225}',
    "precision": "fp32",
}
DECIDES_NOTHING: dict[str, Any] = {
    "name": "second",
    "model": "local-dir:/c:d/e",
    "weights": "/elsewhere/openai.safetensors",
    "training": "random",
    "packages": '{"torch": "3.0"}',
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "settings": "{}",
    "complete": False,
}


def test_record_and_schema_name_the_same_fields() -> None:
    assert {f.name for f in dataclasses.fields(Feature)} | {"fingerprint"} == set(FEATURES.names)
    assert [field.name for field in FEATURES if field.nullable] == ["settings"]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([asdict(FEATURE) | {"fingerprint": FEATURE.fingerprint}], schema=FEATURES)
    found = round_trip(tmp_path, rows)
    (row,) = found.to_pylist()
    assert row.pop("fingerprint") == FEATURE.fingerprint
    assert Feature(**row) == FEATURE
    assert Feature(**row).fingerprint == FEATURE.fingerprint
    assert_keys(found.schema, ["name"])


def test_every_field_is_one_or_the_other() -> None:
    assert set(DECIDES) | set(DECIDES_NOTHING) == {f.name for f in dataclasses.fields(Feature)}


@pytest.mark.parametrize("name", DECIDES)
def test_the_fingerprint_changes_with(name: str) -> None:
    assert replace(FEATURE, **{name: DECIDES[name]}).fingerprint != FEATURE.fingerprint


@pytest.mark.parametrize("name", DECIDES_NOTHING)
def test_the_fingerprint_does_not_change_with(name: str) -> None:
    assert replace(FEATURE, **{name: DECIDES_NOTHING[name]}).fingerprint == FEATURE.fingerprint


def test_fingerprints_never_change() -> None:
    assert (
        FEATURE.fingerprint == "eb062baa19a65178"
    )  # stores hold it: another value here asks for another FORMAT_VERSION
    assert store_fingerprint([FEATURE]) == "2a64a6fbfe6197ab"


def test_a_stores_fingerprint_is_of_all_its_features_in_any_order() -> None:
    features = [FEATURE, replace(FEATURE, name="moclip", kind="motion"), replace(FEATURE, name="bio", dim=1)]
    (one,) = {store_fingerprint(list(order)) for order in permutations(features)}
    assert one != store_fingerprint(features[:2])
    assert one != store_fingerprint([*features[:2], replace(FEATURE, name="bio", dim=2)])
    # The name is the column: the same vectors under another name are another store.
    assert store_fingerprint([FEATURE]) != store_fingerprint([replace(FEATURE, name="second")])


def test_an_added_feature_makes_no_take_out_of_date() -> None:
    added = replace(FEATURE, name="second", dim=3, settings="{}")
    assert added.added and not FEATURE.added
    assert store_fingerprint([FEATURE, added]) == store_fingerprint([FEATURE])
    assert store_fingerprint([FEATURE, replace(added, settings=None)]) != store_fingerprint([FEATURE])
