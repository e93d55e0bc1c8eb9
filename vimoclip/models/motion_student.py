"""MoCLIP's motion student Φ_student: z_motion = Φ_student(flow image), Eq. 2, and what it is trained with.

The student has the teacher's architecture and starts from its weights. In training its vectors are refined, and judged
by an accessory head: ẑ = z + α h(z), Eq. 3. What is stored is z; h and the head are of the training alone. Until a
student is trained, the starting one is the teacher's own tower, so that one set of weights serves both; the features
table says `starting`.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from schemas.features import Feature
from vimoclip.config.motion import MotionConfig
from vimoclip.config.store import FlowImage
from vimoclip.errors import CheckpointError, ConfigError
from vimoclip.flow.encoding import flow_image
from vimoclip.models.checkpoint import Get, Kind, Source, damaged, in_folder, read_body, read_weights, write_files
from vimoclip.models.clip import ClipTeacher, pooled


class MotionStudent:
    """A student that is served, on its tower's device. tower: the teacher, or one with trained weights. dim: the width
    D."""

    def __init__(self, tower: ClipTeacher, image: FlowImage) -> None:
        self.tower, self.image = tower, image
        self.dim = tower.dim

    def __call__(self, planes: np.ndarray) -> Tensor:
        """uint8 (N, 2, 224, 224) flow planes, as read back from the codec, to raw z_motion, fp32 (N, D), on the
        device."""
        return self.tower(torch.from_numpy(flow_image(planes, self.image)))


class MoClip(nn.Module):
    """A student that is trained: its tower, fp32; h, two layers of which the last is zero at the start, so that ẑ = z
    then; and the accessory head, a linear layer on the mean of z over a segment.

    Batch norms keep the teacher's statistics in training too: a batch is frames of a few segments, and what is served
    is one video at a time. Their gains and biases are trained.
    """

    def __init__(self, tower: nn.Module, dim: int, classes: int, alpha: float, hidden: int) -> None:
        super().__init__()
        self.tower = tower.requires_grad_(True)
        self.h = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        nn.init.zeros_(self.h[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.h[2].bias)  # type: ignore[arg-type]
        self.head = nn.Linear(dim, classes)
        self.alpha = alpha

    @classmethod
    def of(cls, teacher: ClipTeacher, classes: int, alpha: float, hidden: int) -> Self:
        """The starting student of a teacher that is in fp32, on its device."""
        tower = copy.deepcopy(teacher.tower).float()
        return cls(tower, teacher.dim, classes, alpha, hidden).to(teacher.device)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.tower.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """What the tower takes (`ClipTeacher.pixels`) to z, fp32 (N, D)."""
        return pooled(self.tower(pixels))

    def refined(self, z: Tensor) -> Tensor:
        """ẑ = z + α h(z), Eq. 3, fp32 (N, D)."""
        refined: Tensor = z + self.alpha * self.h(z)
        return refined

    def logits(self, z: Tensor, counts: Tensor) -> Tensor:
        """Of segments, fp32 (B, C), from the mean of z (N, D) over the frames of each. counts: int64 (B,), frames, one
        at least; N of them in all."""
        segments = torch.repeat_interleave(torch.arange(len(counts), device=z.device), counts)
        sums = z.new_zeros(len(counts), z.shape[1]).index_add(0, segments, z)
        found: Tensor = self.head(sums / counts[:, None])
        return found


# A trained motion student as two files (checkpoint.py): its tower, h and the accessory head; and what is known
# of it. The files lie in the folder of a run, and, once a feature was made with them, in the store.


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
        said = dict(body["config"])
        if said.get("loss") == "positives-only":  # of an earlier version; nothing of what a student gives depends on it
            said["loss"] = "bce"
        config, teacher = MotionConfig.from_dict(said), Source(**body["teacher"])
        return StudentMeta(config=config, teacher=teacher, **known), str(body["weights_sha256"])
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise damaged(where, MOCLIP, error) from error
