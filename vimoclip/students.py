"""The trained students of a store: `models/<id>/` in it has the files of each one that a feature was made with.

So a store that is moved takes them along, and later ingests and searches make the same vectors. A feature names its
student as its weights: `student:<id>`.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from schemas.features import Feature
from vimoclip.added import Added
from vimoclip.checkpoint_files import META, WEIGHTS, Get
from vimoclip.place import Place
from vimoclip.store import FeatureStore
from vimoclip.student_checkpoint import Student, read_student

MODELS = "models"
_PREFIX = "student:"


def keep(at: Place, folder: Path, student: Student) -> None:
    """Copy a student's files from its run's folder into the store, meta.json last.

    Raises:
        StoreError: they cannot be written.
    """
    if at.read(f"{MODELS}/{student.id}/{META}") is None:
        for name in (WEIGHTS, META):
            at.write(f"{MODELS}/{student.id}/{name}", (folder / name).read_bytes())


def weights_of(student: Student) -> str:
    """What a feature has as its weights."""
    return _PREFIX + student.id


def settings_of(student: Student) -> str:
    """What a feature that was added has as its settings."""
    return json.dumps({"student": student.id})


def student_of(store: FeatureStore, feature: Feature) -> Student | None:
    """The student that a feature was made with; None where it is no trained one.

    Raises:
        CheckpointError: its files are not in the store, or are damaged.
    """
    if feature.training != "trained":
        return None
    where = f"{MODELS}/{feature.weights.removeprefix(_PREFIX)}"
    return read_student(_files(store.place, where), f"{store.place}/{where}")


def _files(at: Place, where: str) -> Get:
    def get(name: str) -> bytes:
        if (data := at.read(f"{where}/{name}")) is None:
            raise FileNotFoundError(2, "No such file", f"{where}/{name}")
        return data

    return get


def added_of(store: FeatureStore, features: Iterable[Feature] | None = None) -> Added:
    """All that is needed to make these features of a store, by default all that readers see.

    Raises:
        CheckpointError: the files of a student are not in the store.
    """
    features = list(store.features.values() if features is None else features)
    found = {feature.name: student for feature in features if (student := student_of(store, feature)) is not None}
    return replace(Added.of(features), students=found)


def made_with(name: str, base: Feature, student: Student) -> Feature:
    """The row of a motion feature that is made with a student as `base`, the store's moclip, was with its own, but for
    its weights, which whoever loads the student names."""
    how = json.loads(base.preprocessing)
    how["flow"]["image"] = student.meta.config.encoding
    return replace(
        base,
        name=name,
        weights=weights_of(student),
        training="trained",
        preprocessing=json.dumps(how, sort_keys=True),
        settings=settings_of(student),
        complete=False,
    )
