"""The trained students of a store, by which later ingests and searches make the same vectors (models.py)."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from schemas.features import Feature
from schemas.models import STUDENT, folder_of, student_id
from vimoclip.config.store import ClipConfig

if TYPE_CHECKING:  # with torch, which takes seconds
    from vimoclip.models.motion_student import Student
    from vimoclip.store.feature_store import FeatureStore

# Features beside those that a store began with: which models a worker needs to make them.


@dataclass(frozen=True)
class ExtraFeatures:
    """What is computed beside a store's own features, or instead of them.

    towers: of image features that were added, the settings of each one's tower, by name. students: of motion features
    the trained student, by name; of `moclip` it takes the place of the starting one. alone: the store's own, clip and
    moclip, are not computed, and so no student is needed. Every tower gets the store's batch size.
    """

    towers: Mapping[str, ClipConfig] = field(default_factory=dict)
    alone: bool = False
    students: "Mapping[str, Student]" = field(default_factory=dict)

    @classmethod
    def of(cls, features: Iterable[Feature], alone: bool = False) -> Self:
        """The image features that were added among `features`, with the settings that they were made with."""
        settings = {feature.name: feature.settings for feature in features if feature.kind == "image"}
        towers = {name: ClipConfig.from_dict(json.loads(text)) for name, text in settings.items() if text is not None}
        return cls(towers, alone)


NO_EXTRA_FEATURES = ExtraFeatures()


def weights_id(student: "Student") -> str:
    """What a feature has as its weights."""
    return STUDENT + student.id


def student_settings(student: "Student") -> str:
    """What a feature that was added has as its settings."""
    return json.dumps({"student": student.id})


def load_student(store: "FeatureStore", feature: Feature) -> "Student | None":
    """The student that a feature was made with; None where it is no trained one.

    Raises:
        CheckpointError: its files are not in the store, or are damaged.
    """
    if (id := student_id(feature)) is None:
        return None
    from vimoclip.models.motion_student import read_student  # torch
    from vimoclip.store.models import model_files

    return read_student(model_files(store.place, id), f"{store.place}/{folder_of(id)}")


def load_extra_features(store: "FeatureStore", features: Iterable[Feature] | None = None) -> ExtraFeatures:
    """All that is needed to make these features of a store, by default all that readers see.

    Raises:
        CheckpointError: the files of a student are not in the store.
    """
    features = list(store.features.values() if features is None else features)
    found = {feature.name: student for feature in features if (student := load_student(store, feature)) is not None}
    return replace(ExtraFeatures.of(features), students=found)


def made_with(name: str, base: Feature, student: "Student") -> Feature:
    """The row of a motion feature that is made with a student as `base`, the store's moclip, was with its own, but for
    its weights, which whoever loads the student names."""
    how = json.loads(base.preprocessing)
    how["flow"]["image"] = student.meta.config.encoding
    return replace(
        base,
        name=name,
        weights=weights_id(student),
        training="trained",
        preprocessing=json.dumps(how, sort_keys=True),
        settings=student_settings(student),
        complete=False,
    )
