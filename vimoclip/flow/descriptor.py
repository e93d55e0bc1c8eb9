"""MotionBoundaries: a vector of a frame's motion that costs nothing, made from the codes of its flow alone.

`moclip` holds it until a student is trained (vimoclip/models/motion_student.py). It is the motion boundary histogram of
Dalal, Triggs and Schmid (ECCV 2006): where the flow changes from one place to the next, and in which direction. A
camera that moves changes the flow everywhere alike, and leaves little of itself; what is left are the outlines of what
moves, and of parts that move against each other. The gradients of u and of v (encoding.py), at every second pixel, are
counted by their direction, in BINS bins and weighted by their length, in CELLS x CELLS cells.

A constant beside them gives a frame at rest a direction, and leaves slow frames near it, so that normalising to unit
length does not blow up the noise of a still picture.

What else was tried: benchmarks/quality/flow_descriptors.py.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from vimoclip.flow.encoding import FULL_SCALE, REST

CELLS = 4
"""Cells a side."""

BINS = 8
"""Directions: the first is rightwards, the next is a half of a right angle clockwise, as v is downwards."""

STEP = 2
"""Pixels of a plane from one place to the next."""

STILL = 0.01
"""The constant, in frame widths per second and step."""

NAME = "motion-boundaries"
"""The `model` of a feature that it makes."""

_FINE = 8  # parts of the smallest change that a length is rounded to: sums of integers do not depend on their order
_SCALE = FULL_SCALE / 127**2 / 2 / _FINE


class MotionBoundaries:
    """Makes the vectors. It stands where a `vimoclip.models.motion_student.MotionStudent` can.

    Attributes:
        dim: the width D of its vectors.
        sha256: hash of what decides them.
    """

    dim = 2 * BINS * CELLS * CELLS + 1
    sha256 = hashlib.sha256(f"{NAME} 1 {CELLS} {BINS} {STEP} {STILL}".encode()).hexdigest()

    def __call__(self, planes: NDArray[np.uint8]) -> torch.Tensor:
        """From flow planes to vectors.

        Args:
            planes: codes, uint8 (N, 2, 224, 224), as read back from the codec.

        Returns:
            Raw z_motion, fp32 (N, D), on the CPU: of u and then of v, of each bin, the mean length of the gradients of
            each cell, row by row; then the constant. A frame has the same bits on any machine and in any batch.
        """
        values = np.full((len(planes), self.dim), STILL, np.float32)
        for row, frame in zip(values, planes, strict=True):
            row[:-1] = np.concatenate([_histogram(plane) for plane in frame])
        return torch.from_numpy(values)


def _histogram(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The histograms of one plane, float32 (BINS · CELLS²)."""
    codes = np.clip(plane[::STEP, ::STEP].astype(np.int64) - REST, -127, 127)  # code 0 means what 1 does
    speeds = codes * np.abs(codes)
    down, right = _doubled_gradient(speeds, 0), _doubled_gradient(speeds, 1)
    lengths = np.rint(_FINE * np.sqrt(right * right + down * down)).astype(np.int64)
    side = len(plane) // STEP // CELLS
    cell = np.arange(len(plane) // STEP) // side
    places = (_directions(right, down) * CELLS + cell[:, None]) * CELLS + cell
    sums = np.bincount(places.ravel(), lengths.ravel(), BINS * CELLS * CELLS)
    return (sums * (_SCALE / side**2)).astype(np.float32)


def _doubled_gradient(values: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Twice the central differences; at the edges, of the two outermost."""
    values = np.moveaxis(values, axis, 0)
    found = np.empty_like(values)
    found[1:-1] = values[2:] - values[:-2]
    found[0], found[-1] = 2 * (values[1] - values[0]), 2 * (values[-1] - values[-2])
    return np.moveaxis(found, 0, axis)


def _directions(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bin of each direction, in 0..7; their borders lie half a bin beside the axes and diagonals."""
    across, along = np.abs(x), np.abs(y)
    slope = np.sqrt(2.0) - 1  # the tangent of half a bin
    diagonal = np.where(x > 0, np.where(y > 0, 1, 7), np.where(y > 0, 3, 5))
    horizontal, vertical = np.where(x > 0, 0, 4), np.where(y > 0, 2, 6)
    return np.where(along <= slope * across, horizontal, np.where(across <= slope * along, vertical, diagonal))
