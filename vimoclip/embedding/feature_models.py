"""Which models a worker needs for the features that were added to a store: further towers, and trained students.

A store keeps its trained students (schemas/models.py), so that later ingests and searches make the same vectors.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from schemas.features import Feature
from schemas.models import STUDENT, folder_of, student_id
from vimoclip.config.store import ClipConfig

if TYPE_CHECKING:  # importing the student takes seconds, for torch
    from vimoclip.models.motion_student import Student
    from vimoclip.store.feature_store import FeatureStore


@dataclass(frozen=True)
class ExtraFeatures:
    """What is computed beside a store's own features, or instead of them. Every tower gets the store's batch size.

    Attributes:
        towers: the settings of the tower of each added image feature, by name.
        alone: whether the store's own features, clip and moclip, are left out, so that no student is needed.
        students: the trained student of each motion feature, by name; that of `moclip` replaces the starting one.
        stored_flow: the store's moclip, where the students, one and alone, are shown the flow that the store keeps and
            no video is decoded; None where flow is computed.
    """

    towers: Mapping[str, ClipConfig] = field(default_factory=dict)
    alone: bool = False
    students: "Mapping[str, Student]" = field(default_factory=dict)
    stored_flow: Feature | None = None

    @classmethod
    def of(cls, features: Iterable[Feature], alone: bool = False) -> Self:
        """The added image features among `features`, with the settings that they were made with."""
        settings = {feature.name: feature.settings for feature in features if feature.kind == "image"}
        towers = {name: ClipConfig.from_stored(json.loads(text)) for name, text in settings.items() if text is not None}
        return cls(towers, alone)


NO_EXTRA_FEATURES = ExtraFeatures()


def weights_id(student: "Student") -> str:
    """The `weights` of a feature that a student makes."""
    return STUDENT + student.id


def student_settings(student: "Student") -> str:
    """The `settings` of an added feature that a student makes."""
    return json.dumps({"student": student.id})


def load_student(store: "FeatureStore", feature: Feature) -> "Student | None":
    """Load the trained student that made a feature; None for any other feature.

    Raises:
        CheckpointError: its files are not in the store, or are damaged.
    """
    if (id := student_id(feature)) is None:
        return None
    from vimoclip.models.motion_student import read_student  # torch
    from vimoclip.store.models import model_files

    return read_student(model_files(store.place, id), f"{store.place}/{folder_of(id)}")


def load_extra_features(store: "FeatureStore", features: Iterable[Feature] | None = None) -> ExtraFeatures:
    """Load what is needed to make features of a store.

    Args:
        store: holds the students.
        features: by default all that readers see.

    Raises:
        CheckpointError: the files of a student are not in the store, or are damaged.
    """
    features = list(store.features.values() if features is None else features)
    found = {feature.name: student for feature in features if (student := load_student(store, feature)) is not None}
    return replace(ExtraFeatures.of(features), students=found)


def made_with(name: str, base: Feature, student: "Student") -> Feature:
    """The row of a motion feature that a student makes, with the flow and the settings of another.

    Args:
        name: of the feature.
        base: the store's moclip.
        student: makes the vectors.

    Returns:
        The row, whose weights_sha256 is still that of `base`: what loads the student fills it in.
    """
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
