"""MoCLIP's motion student Φ_student: z_motion = Φ_student(flow image), Eq. 2; how it is trained, and its checkpoint.

The student has the teacher's architecture and starts from its weights. In training its vectors are refined,
ẑ = z + α h(z), Eq. 3, and judged by an accessory head. What is stored is z; h and the head are for training only. Until
a student is trained, the teacher's own tower is the student, so that one set of weights serves both; the features table
then says `starting`.

`MotionStudent` serves, `MoClip` is trained, and `Student` is what `read_student` reads. The two files of a checkpoint
(vimoclip/models/checkpoint.py) hold the tower, h and the head. They lie in the folder of a run and, once they made a
feature, in the store.
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
    """A student that makes vectors, on its tower's device.

    Attributes:
        tower: the teacher, or the same network with trained weights.
        image: the flow image that it sees.
        dim: the width D of its vectors.
    """

    def __init__(self, tower: ClipTeacher, image: FlowImage) -> None:
        self.tower, self.image = tower, image
        self.dim = tower.dim

    def __call__(self, planes: np.ndarray) -> Tensor:
        """From flow planes to vectors.

        Args:
            planes: uint8 (N, 2, 224, 224), as read back from the codec.

        Returns:
            Raw z_motion, fp32 (N, D), on the device.
        """
        return self.tower(torch.from_numpy(flow_image(planes, self.image)))


class MoClip(nn.Module):
    """A student in training: its tower in fp32, h, and the accessory head.

    h has two layers, the last of which is zero at the start, so that ẑ = z then. The head is on the mean of z over a
    segment: a linear layer or, as in the published code, two with a ReLU between them. Batch norms keep the teacher's
    statistics in training, too: a batch is frames of a few segments, and serving sees one video at a time. Their gains
    and biases are trained.

    Args:
        tower: the teacher's network, which becomes trainable.
        dim: the width D of its vectors.
        classes: the number of classes.
        alpha: α.
        hidden: the width of h.
        head_hidden: the width of the head's hidden layer; None is a linear head.
    """

    def __init__(
        self, tower: nn.Module, dim: int, classes: int, alpha: float, hidden: int, head_hidden: int | None = None
    ) -> None:
        super().__init__()
        self.tower = tower.requires_grad_(True)
        self.h = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        nn.init.zeros_(self.h[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.h[2].bias)  # type: ignore[arg-type]
        self.head: nn.Module = (
            nn.Linear(dim, classes)
            if head_hidden is None
            else nn.Sequential(nn.Linear(dim, head_hidden), nn.ReLU(), nn.Linear(head_hidden, classes))
        )
        self.alpha = alpha

    @classmethod
    def of(cls, teacher: ClipTeacher, classes: int, alpha: float, hidden: int, head_hidden: int | None = None) -> Self:
        """The starting student of a teacher that is in fp32, on the teacher's device."""
        tower = copy.deepcopy(teacher.tower).float()
        return cls(tower, teacher.dim, classes, alpha, hidden, head_hidden).to(teacher.device)

    def train(self, mode: bool = True) -> Self:
        """As in torch, except that batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.tower.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """From the tower's input (`ClipTeacher.pixels`) to z, fp32 (N, D)."""
        return pooled(self.tower(pixels))

    def refined(self, z: Tensor) -> Tensor:
        """ẑ = z + α h(z), Eq. 3, fp32 (N, D)."""
        refined: Tensor = z + self.alpha * self.h(z)
        return refined

    def logits(self, z: Tensor, counts: Tensor) -> Tensor:
        """The accessory head's logits of segments, from the mean of z over the frames of each.

        Args:
            z: fp32 (N, D), the frames of all segments in order.
            counts: int64 (B,), the number of frames of each segment, at least 1; N in all.

        Returns:
            fp32 (B, classes).
        """
        numbers = torch.arange(len(counts), device=z.device)
        segments = torch.repeat_interleave(numbers, counts, output_size=len(z))  # known: a GPU need not be asked
        sums = z.new_zeros(len(counts), z.shape[1]).index_add(0, segments, z)
        found: Tensor = self.head(sums / counts[:, None])
        return found


MOCLIP = Kind("vimoclip-moclip", 1, "motion student", "train-motion")
_TOWER = "tower."


@dataclass(frozen=True)
class StudentMeta:
    """Everything about a student except its weights.

    Attributes:
        config: the settings of its run.
        classes: the behaviours, in the order of the accessory head's outputs.
        counts: for each class, how many videos of the train split show it.
        teacher: the feature whose vectors it was trained towards, made by the teacher that it started from.
        store: where it was trained.
        versions: the version of each of the store's tables then.
        metrics: of its last epoch.
        taught: the content hash of each video that it was trained on, in order; None where an earlier version trained
            it and did not note them.
    """

    config: MotionConfig
    classes: list[str]
    counts: list[int]
    teacher: Source
    store: str
    versions: dict[str, int]
    metrics: dict[str, Any] = field(default_factory=dict)
    taught: list[str] | None = None

    def check(self, features: Mapping[str, Feature]) -> None:
        """Refuse a store with another teacher.

        Args:
            features: the store's, by name.

        Raises:
            CheckpointError: it names both teachers.
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
    """A trained student as it was read.

    Attributes:
        id: 16 hex digits of its weights file.
        meta: everything else about it.
        state: the tensors of `MoClip`, fp32, by name.
    """

    id: str
    meta: StudentMeta
    state: Mapping[str, Tensor]

    def served(self, teacher: ClipTeacher) -> MotionStudent:
        """The student, ready to make vectors, on its teacher's device and at its precision.

        Raises:
            ModelError: its weights are not of the teacher's architecture.
        """
        tower = {name.removeprefix(_TOWER): each for name, each in self.state.items() if name.startswith(_TOWER)}
        return MotionStudent(teacher.with_weights(tower), self.meta.config.encoding)


def write_student(folder: Path, state: Mapping[str, Tensor], meta: StudentMeta) -> None:
    """Write a student's two files, and replace older ones. The folder is created if need be.

    Args:
        folder: where to.
        state: the tensors of `MoClip` by name.
        meta: everything else about it.

    Raises:
        RunError: they cannot be written.
    """
    write_files(folder, MOCLIP, state, {**asdict(meta), "config": meta.config.to_dict()})


def read_student(where: Path | Get, name: object = None) -> Student:
    """Read a student.

    Args:
        where: a run's folder, or a reader of the two files.
        name: their place, for messages; by default `where`.

    Raises:
        CheckpointError: there is not a student, or it is damaged, of another format, or of another version.
    """
    get = in_folder(where) if isinstance(where, Path) else where
    name = where if name is None else name
    meta, sha256 = _meta(get, name)
    return Student(sha256[:16], meta, read_weights(get, name, MOCLIP, sha256))


def read_student_meta(where: Path | Get, name: object = None) -> StudentMeta:
    """Read everything about a student except its weights; arguments and errors as `read_student`."""
    get = in_folder(where) if isinstance(where, Path) else where
    return _meta(get, where if name is None else name)[0]


def _meta(get: Get, where: object) -> tuple[StudentMeta, str]:
    body = read_body(get, where, MOCLIP)
    try:
        known = {name: body[name] for name in ("classes", "counts", "store", "versions", "metrics")}
        said = dict(body["config"])
        if said.get("loss") == "positives-only":  # of an earlier version; a student's vectors do not depend on it
            said["loss"] = "bce"
        config, teacher = MotionConfig.from_dict(said), Source(**body["teacher"])
        meta = StudentMeta(config=config, teacher=teacher, taught=body.get("taught"), **known)
        return meta, str(body["weights_sha256"])
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise damaged(where, MOCLIP, error) from error
