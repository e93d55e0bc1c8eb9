"""MoCLIP's motion student Φ_student, as far as extraction needs it: z_motion = Φ_student(flow image), Eq. 2.

The student has the teacher's architecture and starts from its weights. Until one is trained, the starting student is
the teacher's own tower, so that one set of weights serves both; the features table says `starting`.
"""

import numpy as np
import torch

from vimoclip.clip import ClipTeacher
from vimoclip.config import FlowImage
from vimoclip.flow.encoding import flow_image


class MotionStudent:
    """The starting student on its teacher's device. dim: the width D."""

    def __init__(self, teacher: ClipTeacher, image: FlowImage) -> None:
        self._teacher, self._image = teacher, image
        self.dim = teacher.dim

    def __call__(self, planes: np.ndarray) -> torch.Tensor:
        """uint8 (N, 2, 224, 224) flow planes, as read back from the codec, to raw z_motion, fp32 (N, D), on the
        device."""
        return self._teacher(torch.from_numpy(flow_image(planes, self._image)))
