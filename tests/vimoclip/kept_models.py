"""A real store with two kept models: the student of a feature, and the model of the behaviour space."""

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines import index
from pipelines.index import IndexRequest
from schemas.features import Feature
from schemas.models import STUDENT, WEIGHTS
from tests.vimoclip.searches import make_run
from tests.vimoclip.stores import make_store
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import put_feature
from vimoclip.store.lock import writer_lock
from vimoclip.store.models import save_model


@dataclass(frozen=True)
class Kept:
    """store: its folder. student, behaviour: ids of models in it. runs: where there is room for others."""

    store: Path
    student: str
    behaviour: str
    runs: Path


def kept(folder: Path) -> Kept:
    """A store that has a feature `trained`, a copy of its moclip, and segments with a behaviour space."""
    store = make_store(folder / "store", {"a.mp4": 30, "one.mp4": 1})
    student = model(folder / "runs", 1)
    with writer_lock(store.place):
        save_model(store.place, student, folder / "runs" / student)
        frames = store.tables["frames"].latest()
        frames.copy_columns({"trained": "moclip", "trained_norm": "moclip_norm"})
        put_feature(store.tables["features"].latest(), trained(store, student))
    behaviour = model(folder / "runs", 2)
    index.run(IndexRequest(store.place, behaviour=folder / "runs" / behaviour))
    return Kept(folder / "store", student, behaviour, folder / "runs")


def trained(store: FeatureStore, student: str, name: str = "trained") -> Feature:
    """The row of a feature that was added with a student."""
    base = store.features["moclip"]
    return replace(base, name=name, weights=STUDENT + student, training="trained", settings="{}", complete=True)


def model(runs: Path, seed: int) -> str:
    """A model of its own in the folder `runs`, under its id."""
    store = make_store(runs / f"store-{seed}", {"a.mp4": 2})
    run = make_run(store, runs / f"run-{seed}", seed=seed)
    shutil.rmtree(runs / f"store-{seed}")
    id = hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest()[:16]
    run.rename(runs / id)
    return id
