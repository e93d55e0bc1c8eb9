"""MoCLIP's motion student Φ_student: z_motion = Φ_student(flow image), Eq. 2, and what it is trained with.

The student has the teacher's architecture and starts from its weights. In training its vectors are refined, and judged
by an accessory head: ẑ = z + α h(z), Eq. 3. What is stored is z; h and the head are of the training alone. Until a
student is trained, the starting one is the teacher's own tower, so that one set of weights serves both; the features
table says `starting`.
"""

import copy
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vimoclip.config.store import FlowImage
from vimoclip.flow.encoding import flow_image
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
