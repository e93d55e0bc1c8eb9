"""Painting smooth-edged shapes onto a picture, in whole numbers."""

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from vimoclip.savannah.drawing import Colour, Grid

_FINE = 3

Mask = NDArray[np.uint8]


def cover(polygons: Iterable[NDArray[np.float64] | list[tuple[float, float]]], size: tuple[int, int]) -> Mask:
    """How much of each pixel the polygons cover together: uint8 (h, w), 0 to 255. Pixels' centres are whole numbers."""
    width, height = size
    fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
    for polygon in polygons:
        points = (np.asarray(polygon, np.float64) + 0.5) * _FINE - 0.5
        cv2.fillPoly(fine, [np.rint(points * 16).astype(np.int32)], 1, shift=4)
    rows = fine[0::_FINE] + fine[1::_FINE] + fine[2::_FINE]
    counts = rows[:, 0::_FINE] + rows[:, 1::_FINE] + rows[:, 2::_FINE]
    return np.asarray(_SHARES[counts])


def lay(picture: Grid, mask: Mask, colour: Colour | Grid, strength: float = 1.0) -> None:
    """Put a colour onto float64 (h, w, 3) where the mask is."""
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return
    band = slice(rows[0], rows[-1] + 1)
    over = np.asarray(colour, np.float64)
    over = over[band] if over.ndim == 3 else over
    part = picture[band]
    part += (over - part) * (mask[band, :, None] * (strength / 255))


def ellipse(x: float, y: float, rx: float, ry: float) -> NDArray[np.float64]:
    """A polygon of 24 corners."""
    return np.stack([x + rx * _ROUND[:, 0], y + ry * _ROUND[:, 1]], 1)


_ROUND = np.array([(math.cos(n * math.pi / 12), math.sin(n * math.pi / 12)) for n in range(24)])
_SHARES = np.array([round(255 * n / _FINE**2) for n in range(_FINE**2 + 1)], np.uint8)
