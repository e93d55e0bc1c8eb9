"""FlowGrid: a vector of a frame's motion that costs nothing, made from the codes of its flow alone.

`moclip` holds it until a student is trained (vimoclip/models/motion_student.py). The planes of u and v (encoding.py)
are cut into CELLS x CELLS cells. A cell gives the means of u, v, |u| and |v|, in frame widths per second: which way it
moves, and how much, also where directions cancel. A constant beside them gives a frame at rest a direction, and leaves
slow frames near it, so that normalising to unit length does not blow up the noise of a still picture.

Which grid, and what else was tried: benchmarks/quality/flow_descriptors.py.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from vimoclip.flow.encoding import FULL_SCALE, PLANE, REST

CELLS = 8
"""Cells a side."""

STILL_SPEED = 0.05
"""The constant, in frame widths per second."""

NAME = "flow-grid"
"""The `model` of a feature that it makes."""


class FlowGrid:
    """Makes the vectors. It stands where a `vimoclip.models.motion_student.MotionStudent` can.

    Attributes:
        dim: the width D of its vectors.
        sha256: hash of what decides them.
    """

    dim = 4 * CELLS * CELLS + 1
    sha256 = hashlib.sha256(f"{NAME} 1 {CELLS} {STILL_SPEED}".encode()).hexdigest()

    def __call__(self, planes: NDArray[np.uint8]) -> torch.Tensor:
        """From flow planes to vectors.

        Args:
            planes: codes, uint8 (N, 2, 224, 224), as read back from the codec.

        Returns:
            Raw z_motion, fp32 (N, D), on the CPU: of each cell, row by row, the means of u, v, |u| and |v|; then the
            constant. The sums are of integers, so a frame has the same bits on any machine and in any batch.
        """
        side = PLANE // CELLS
        codes = np.clip(planes.astype(np.int32) - REST, -127, 127)  # code 0 means what 1 does
        squares = codes * codes  # |u| and |v|, as the code has their roots
        both = np.stack([np.sign(codes) * squares, squares], axis=1).reshape(len(planes), 4, CELLS, side, CELLS, side)
        sums = both.sum(axis=(3, 5), dtype=np.int32).transpose(0, 2, 3, 1).reshape(len(planes), -1)
        values = np.full((len(planes), self.dim), STILL_SPEED, np.float32)
        values[:, :-1] = sums * np.float32(FULL_SCALE / (127 * side) ** 2)
        return torch.from_numpy(values)
