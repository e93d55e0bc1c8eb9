"""Which models make the features of a store, and the rows of `features` that say so.

`ExtraFeatures` are the models that a worker needs beside a store's own: further towers, trained students, and motion
boundaries. A store keeps its trained students (schemas/models.py), so that later ingests and searches make the same
vectors.
"""

import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from schemas.features import ELSEWHERE, FIXED, OWN, Feature, Kind
from schemas.models import STUDENT, folder_of, student_id
from vimoclip.config.store import ClipConfig, FlowConfig, Geometry

if TYPE_CHECKING:  # importing them takes seconds, for torch
    from vimoclip.flow.descriptor import MotionBoundaries
    from vimoclip.flow.estimator import FlowEstimator
    from vimoclip.models.clip import ClipTeacher
    from vimoclip.models.motion_student import MotionStudent, Student
    from vimoclip.store.feature_store import FeatureStore


@dataclass(frozen=True)
class ExtraFeatures:
    """What is computed beside a store's own features, or instead of them. Every tower gets the store's batch size.

    Attributes:
        towers: the settings of the tower of each added image feature, by name.
        alone: whether the store's own features, clip and moclip, are left out, so that no student is needed.
        students: what makes each motion feature, by name: a trained student, or motion boundaries. That of `moclip`
            takes the place of what the settings name.
        stored_flow: the store's moclip, where the students, one and alone, are shown the flow that the store keeps and
            no video is decoded; None where flow is computed.
    """

    towers: Mapping[str, ClipConfig] = field(default_factory=dict)
    alone: bool = False
    students: "Mapping[str, Student | MotionBoundaries]" = field(default_factory=dict)
    stored_flow: Feature | None = None

    @classmethod
    def of(cls, features: Iterable[Feature], alone: bool = False) -> Self:
        """The added image features among `features` that a tower makes, with the settings that they were made with."""
        made = [feature for feature in features if feature.kind == "image" and not feature.elsewhere]
        settings = {feature.name: feature.settings for feature in made}
        towers = {name: ClipConfig.from_stored(json.loads(text)) for name, text in settings.items() if text is not None}
        return cls(towers, alone)


NO_EXTRA_FEATURES = ExtraFeatures()


def weights_id(student: "Student | MotionBoundaries") -> str:
    """The `weights` of a feature that a student, or motion boundaries, make."""
    return FIXED if (id := getattr(student, "id", None)) is None else STUDENT + id


def _student_settings(student: "Student | MotionBoundaries") -> str:
    """The `settings` of an added feature that a student, or motion boundaries, make."""
    id = getattr(student, "id", None)
    return json.dumps({"motion": "mbh"} if id is None else {"student": id})


def load_student(store: "FeatureStore", feature: Feature) -> "Student | MotionBoundaries | None":
    """Load what makes a motion feature: its trained student, or motion boundaries; None for the teacher's own tower.

    None too for vectors made elsewhere, which nothing here makes.

    Raises:
        CheckpointError: the files of its student are not in the store, or are damaged.
    """
    if feature.weights == FIXED:
        from vimoclip.flow.descriptor import MotionBoundaries  # torch

        return MotionBoundaries()
    if (id := student_id(feature)) is None:
        return None
    from vimoclip.models.motion_student import read_student
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


# The rows of `features`.

_RECORDED = ("vimoclip", "torch", "torchvision", "open_clip_torch", "timm", "av", "opencv-python-headless", "numpy")


def image_feature(name: str, tower: "ClipTeacher") -> Feature:
    """The row of the feature that a tower makes of frames."""
    return _row(name, "image", tower, {})


def motion_feature(
    name: str,
    model: "MotionStudent | MotionBoundaries",
    flow: dict[str, Any],
    student: "Student | MotionBoundaries | None" = None,
) -> Feature:
    """The row of the feature that a model makes of flow.

    Args:
        name: of the feature.
        model: makes the vectors.
        flow: how the flow is made and kept (`flow_settings`); the flow image is the model's own.
        student: what the model was asked for as; None where the store's settings name it.
    """
    from vimoclip.flow.descriptor import NAME, MotionBoundaries

    if isinstance(model, MotionBoundaries):
        made = Feature(
            name=name,
            kind="motion",
            dim=model.dim,
            model=NAME,
            weights=FIXED,
            weights_sha256=model.sha256,
            training=FIXED,
            preprocessing=json.dumps(flow | {"flow": _without(flow["flow"], "image")}, sort_keys=True),
            precision="fp32",
            packages=_packages(),
            created_at=datetime.now(UTC),
        )
    else:
        made = _row(name, "motion", model.tower, flow | {"flow": flow["flow"] | {"image": model.image}})
    if student is None:
        return made
    return replace(made, weights=weights_id(student), settings=None if name in OWN else _student_settings(student))


def vectors_feature(name: str, kind: Kind, dim: int, precision: str, path: str, sha256: str) -> Feature:
    """The row of a feature whose vectors another tool made.

    Args:
        name: of the feature.
        kind: what it is used as, beside or in place of clip or moclip.
        dim: D.
        precision: `fp16` or `fp32`, as written.
        path: what holds the vectors.
        sha256: of that.
    """
    return Feature(
        name=name,
        kind=kind,
        dim=dim,
        model=Path(path).name,
        weights=ELSEWHERE,
        weights_sha256=sha256,
        training=ELSEWHERE,
        preprocessing=json.dumps({"made": ELSEWHERE}),
        precision=precision,
        packages=_packages(),
        created_at=datetime.now(UTC),
        settings=json.dumps({"vectors": path}),
    )


def flow_settings(flow: FlowConfig, estimator: "FlowEstimator[Any]", resize: Geometry) -> dict[str, Any]:
    """What decides the planes of flow: not where weights were found, but what they are, and whether they are random.

    Args:
        flow: the settings.
        estimator: made from them.
        resize: the geometry of the planes, which is that of the teacher's frames.
    """
    from vimoclip.flow.encoding import FULL_SCALE, JPEG_QUALITY, PLANE

    kept = _without(flow.to_dict(), "weights", "motion")
    settings = {name: value for name, value in kept.items() if value is not None}
    code = {"plane": PLANE, "full_scale": FULL_SCALE, "jpeg": JPEG_QUALITY, "resize": resize}
    return {"flow": settings | estimator.made_of} | code


def stored_flow_settings(motion: Feature) -> dict[str, Any]:
    """The same of flow that is stored, from the row of a motion feature that was made of it."""
    return {name: json.loads(motion.preprocessing)[name] for name in ("flow", "plane", "full_scale", "jpeg", "resize")}


def _row(name: str, kind: Kind, tower: "ClipTeacher", made_of: dict[str, Any]) -> Feature:
    clip = tower.config
    how = asdict(tower.preprocessing) | {"batch_size": clip.batch_size}
    if clip.memory_format != "contiguous":  # features made before it was a setting keep their fingerprints
        how["memory_format"] = clip.memory_format
    return Feature(
        name=name,
        kind=kind,
        dim=tower.dim,
        model=clip.model,
        weights=clip.weights,
        weights_sha256=tower.weights_sha256,
        training="starting" if kind == "motion" and tower.training != "trained" else tower.training,
        preprocessing=json.dumps(how | made_of, sort_keys=True),
        precision=clip.precision,
        packages=_packages(),
        created_at=datetime.now(UTC),
    )


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _packages() -> str:
    return json.dumps({package: _version(package) for package in _RECORDED})


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout
