"""A trained motion student as two files (checkpoint_files.py): its tower, h and the accessory head; and what is known
of it. The files lie in the folder of a run, and, once a feature was made with them, in the store.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from schemas.features import Feature
from vimoclip.config.motion import MotionConfig
from vimoclip.errors import CheckpointError, ConfigError
from vimoclip.models.checkpoint import Get, Kind, Source, damaged, in_folder, read_body, read_weights, write_files
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import MotionStudent

MOCLIP = Kind("vimoclip-moclip", 1, "motion student", "train-motion")
_TOWER = "tower."


@dataclass(frozen=True)
class StudentMeta:
    """All about a student but its weights.

    classes: in the order of the accessory head's outputs. counts: how many videos of the train split show each.
    teacher: the feature whose vectors it was brought near, of the teacher that it started from. store, versions: where
    it was trained, and on which snapshot. metrics: of its last epoch.
    """

    config: MotionConfig
    classes: list[str]
    counts: list[int]
    teacher: Source
    store: str
    versions: dict[str, int]
    metrics: dict[str, Any] = field(default_factory=dict)

    def check(self, features: Mapping[str, Feature]) -> None:
        """Refuse a store of another teacher.

        Raises:
            CheckpointError: naming both.
        """
        found = features["clip"]
        if found.fingerprint != self.teacher.fingerprint:
            raise CheckpointError(
                "The student was trained from another teacher than the store has.",
                received=f"{found.name} of {found.model}, {found.fingerprint}",
                expected=f"{self.teacher.name} of {self.teacher.model}, {self.teacher.fingerprint}",
                hint="Use a store that was made with the same settings, or train a student on this one.",
            )


@dataclass(frozen=True, eq=False)
class Student:
    """A trained student as it was read. id: 16 hex digits of its weights file. state: of `MoClip`, fp32."""

    id: str
    meta: StudentMeta
    state: Mapping[str, Tensor]

    def served(self, teacher: ClipTeacher) -> MotionStudent:
        """On its teacher's device, at its precision.

        Raises:
            ModelError: its weights are not of the teacher's architecture.
        """
        tower = {name.removeprefix(_TOWER): each for name, each in self.state.items() if name.startswith(_TOWER)}
        return MotionStudent(teacher.with_weights(tower), self.meta.config.encoding)


def write_student(folder: Path, state: Mapping[str, Tensor], meta: StudentMeta) -> None:
    """Write both files, the folder too; one that is there already is replaced. state: of `MoClip`.

    Raises:
        RunError: they cannot be written.
    """
    write_files(folder, MOCLIP, state, {**asdict(meta), "config": meta.config.to_dict()})


def read_student(where: Path | Get, name: object = None) -> Student:
    """The student of a run's folder, or of the files that are to be had from elsewhere; name: of that, for people.

    Raises:
        CheckpointError: no student, one of another format or a newer version, or a damaged one.
    """
    get = in_folder(where) if isinstance(where, Path) else where
    name = where if name is None else name
    meta, sha256 = _meta(get, name)
    return Student(sha256[:16], meta, read_weights(get, name, MOCLIP, sha256))


def read_student_meta(folder: Path) -> StudentMeta:
    """What is known of the student of a run's folder. Raises CheckpointError."""
    return _meta(in_folder(folder), folder)[0]


def _meta(get: Get, where: object) -> tuple[StudentMeta, str]:
    body = read_body(get, where, MOCLIP)
    try:
        known = {name: body[name] for name in ("classes", "counts", "store", "versions", "metrics")}
        config, teacher = MotionConfig.from_dict(body["config"]), Source(**body["teacher"])
        return StudentMeta(config=config, teacher=teacher, **known), str(body["weights_sha256"])
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise damaged(where, MOCLIP, error) from error
