"""Pictures of an animal's parts, made once a species: outlines filled, painted, and shaded as if rounded.

All the arithmetic that reaches a pixel is on integers, or on doubles with single correctly rounded operations, so that
every machine makes the same bytes.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vimoclip.savannah.affine import Point
from vimoclip.savannah.drawing import Grid
from vimoclip.savannah.skeleton import Part
from vimoclip.savannah.species import species

RESOLUTION = 2
"""Texels per animal unit."""

_FINE = 4
_MARGIN = 2


@dataclass(frozen=True)
class Texture:
    """rgba: uint8 (h, w, 4), alpha 0 or 255, nothing under alpha 0. origin: of the part's plane, in animal units, the
    place of the top left texel's outer corner."""

    rgba: NDArray[np.uint8]
    origin: Point


def spline(points: tuple[Point, ...], smooth: bool, pieces: int = 6) -> NDArray[np.float64]:
    """A closed Catmull-Rom spline through the points, float64 (n, 2); or the points themselves."""
    p = np.asarray(points, np.float64)
    if not smooth:
        return p
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    out = []
    for n in range(pieces):
        t = n / pieces
        a, b = -0.5 * t + t * t - 0.5 * t * t * t, 1 - 2.5 * t * t + 1.5 * t * t * t
        c, d = 0.5 * t + 2 * t * t - 1.5 * t * t * t, -0.5 * t * t + 0.5 * t * t * t
        out.append(a * before + b * p + c * after + d * beyond)
    return np.stack(out, 1).reshape(-1, 2)


@cache
def textures(name: str) -> tuple[Texture, ...]:
    """Of each part of a species, in the order of its parts."""
    return tuple(_texture(part) for part in species(name).parts)


def _texture(part: Part) -> Texture:
    outlines = [spline(shape.points, shape.smooth) for shape in part.shapes]
    everything = np.concatenate(outlines)
    low, high = np.floor(everything.min(0)) - _MARGIN, np.ceil(everything.max(0)) + _MARGIN
    width, height = (int(side) * RESOLUTION for side in high - low)
    y, x = np.mgrid[:height, :width]
    x, y = (x + 0.5) / RESOLUTION + low[0], (y + 0.5) / RESOLUTION + low[1]
    colour = np.zeros((height, width, 3))
    covered = np.zeros((height, width), bool)
    for shape, outline in zip(part.shapes, outlines, strict=True):
        inside = _fill(outline, low, (width, height))
        colour[inside] = shape.paint(x, y)[inside]
        covered |= inside
    lit = colour * (_relief(covered) * part.shade)[..., None]
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., :3] = np.rint(np.clip(lit, 1, 255))
    rgba[..., 3] = 255
    rgba[~covered] = 0
    rgba.flags.writeable = False
    return Texture(rgba, (float(low[0]), float(low[1])))


def _fill(outline: NDArray[np.float64], low: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Texels of which the outline holds half or more."""
    width, height = size
    scale = RESOLUTION * _FINE
    # A texel's centre is half a pixel from its corner; 4 bits of fixed point.
    corners = np.rint(((outline - low) * scale - 0.5) * 16).astype(np.int32)
    mask = np.zeros((height * _FINE, width * _FINE), np.uint8)
    cv2.fillPoly(mask, [corners], 1, shift=4)
    blocks = mask.reshape(height, _FINE, width, _FINE).astype(np.int64).sum((1, 3))
    return np.asarray(blocks * 2 >= _FINE * _FINE)


def _relief(covered: NDArray[np.bool_]) -> Grid:
    """Brightness of a rounded body with that outline, lit from above and a little from the front: about 0.6 to 1.15."""
    ys, xs = np.nonzero(covered)
    thin = min(np.ptp(ys), np.ptp(xs)) + 1
    radius = int(np.clip(thin // 7, 2, 9))
    height = covered.astype(np.int64) * 256
    for _ in range(3):
        height = _blurred(_blurred(height, radius).T, radius).T
    raised = np.where(covered, height, 0) / 256.0
    padded = np.pad(height, 1, mode="edge") / 256.0
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) * radius
    right = (padded[1:-1, 2:] - padded[1:-1, :-2]) * radius
    # Where the ground rises downwards, its face looks up, to the light.
    light = 0.42 * down - 0.10 * right
    return np.clip(0.74 + 0.26 * raised + np.clip(light, -0.3, 0.22), 0.42, 1.22)


def _blurred(values: NDArray[np.int64], radius: int) -> NDArray[np.int64]:
    """The mean over 2·radius + 1 rows, in whole numbers; beyond the border is 0."""
    size = 2 * radius + 1
    padded = np.pad(values, ((radius + 1, radius), (0, 0)))
    sums = padded.cumsum(0)
    return np.asarray((sums[size:] - sums[:-size]) // size)
