"""Optimize takes the models away that nothing names, and none that any reader may still ask for."""

from datetime import timedelta
from pathlib import Path

import lance
import pytest

from pipelines import features, index, maintain
from pipelines.index import IndexRequest
from schemas.models import META, MODELS, folder_of
from tests.vimoclip.kept_models import Kept, kept, model
from tests.vimoclip.searches import make_run
from tests.vimoclip.stores import make_store
from vimoclip.search.behaviour_space import load_behaviour_model
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import ObjectStorePrefix
from vimoclip.store.lock import writer_lock
from vimoclip.store.models import save_model
from vimoclip.store.segments import read_segment_settings
from vimoclip.store.verify import verify


@pytest.fixture
def own(tmp_path: Path) -> Kept:
    return kept(tmp_path)


def models(own: Kept) -> set[str]:
    return {path.name for path in (own.store / MODELS).iterdir()}


def test_what_a_feature_or_the_index_names_stays_and_what_a_kill_left_goes(own: Kept) -> None:
    left = model(own.runs, 3)
    with writer_lock(own.store):
        save_model(FeatureStore.open(own.store).place, left, own.runs / left)
    half = "0" * 16
    (own.store / folder_of(half)).mkdir()
    (own.store / folder_of(half) / f".{META}.1.tmp").write_bytes(b"of a write that was killed")
    (own.store / MODELS / "notes.txt").write_text("of a user")
    assert models(own) == {own.student, own.behaviour, left, half, "notes.txt"}
    maintain.optimize(own.store, timedelta(0))
    assert models(own) == {own.student, own.behaviour, "notes.txt"} and verify(own.store) == []


def test_a_reader_within_the_grace_period_keeps_its_models(own: Kept) -> None:
    reader = FeatureStore.open(own.store)
    made = read_segment_settings(reader)
    assert made is not None and made.behaviour is not None
    other = model(own.runs, 3)
    index.run(IndexRequest(own.store, behaviour=own.runs / other))
    features.drop(own.store, "trained")
    maintain.optimize(own.store, timedelta(minutes=10))
    assert models(own) == {own.student, own.behaviour, other}
    assert load_behaviour_model(reader, made.behaviour) is not None
    reader.tag("a-run")  # a snapshot that is kept, as a training run keeps its own, needs the student that it names
    maintain.optimize(own.store, timedelta(0))
    assert models(own) == {own.student, other}
    for table in reader.tables.values():
        table.untag("a-run")
    maintain.optimize(own.store, timedelta(0))
    assert models(own) == {other} and verify(own.store) == []


def test_the_last_model_and_a_store_without_any(own: Kept, tmp_path: Path) -> None:
    features.drop(own.store, "trained")
    index.run(IndexRequest(own.store, behaviour="none"))
    maintain.optimize(own.store, timedelta(0))
    assert models(own) == set()
    maintain.optimize(own.store, timedelta(0))
    maintain.optimize(make_store(tmp_path / "plain").place, timedelta(0))


def test_where_the_index_does_not_say_what_it_names_nothing_goes(own: Kept) -> None:
    left = model(own.runs, 3)
    save_model(FeatureStore.open(own.store).place, left, own.runs / left)
    lance.dataset(str(own.store / "segments.lance")).update_schema_metadata({"other": "1"}, replace=True)
    maintain.optimize(own.store, timedelta(0))
    assert models(own) == {own.student, own.behaviour, left}


def test_in_an_object_store_what_a_late_writer_may_yet_name_stays(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(remote, {"a.mp4": 2})
    run = make_run(store, tmp_path / "run")
    save_model(store.place, "0" * 16, run)
    maintain.optimize(remote, timedelta(0))
    assert store.place.list_names(MODELS) == ["0" * 16]
    monkeypatch.setattr(ObjectStorePrefix, "late_commit_s", -5.0)  # it counts in seconds
    maintain.optimize(remote, timedelta(0))
    assert store.place.list_names(MODELS) == []
