"""Drawing: paints, affine maps of the plane, and smooth-edged shapes, with the same result on every machine.

A paint colours a part by the place in the part's own plane, in animal units: it takes x and y, float64 (h, w), and
gives float64 (h, w, 3) in [0, 255]. Only sums, products, comparisons and square roots are used, which every machine
rounds alike.

An affine map (a, b, c, d, e, f) takes (x, y) to (a·x + b·y + c, d·x + e·y + f). x runs to the right and y down;
positive angles turn x towards y. It is six plain floats because a matrix product may or may not be rounded between its
multiplications and its sums.
"""

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Grid: TypeAlias = NDArray[np.float64]
Colour: TypeAlias = tuple[int, int, int]
Paint: TypeAlias = Callable[[Grid, Grid], Grid]


def hashed(x: NDArray[np.int64], y: NDArray[np.int64], salt: int = 0) -> Grid:
    """A number in [0, 1) for every lattice point, always the same."""
    mask = 0xFFFFFFFF
    h = (x * 374761393 + y * 668265263 + salt * 362437) & mask
    h = ((h ^ (h >> 13)) * 1274126177) & mask
    h = ((h ^ (h >> 16)) * 2246822519) & mask
    return ((h ^ (h >> 15)) & 0xFFFF) / 65536.0


def noise(x: Grid, y: Grid, cell: float, salt: int = 0) -> Grid:
    """Smooth value noise in [0, 1), with one free value per cell."""
    u, v = x / cell, y / cell
    i, j = np.floor(u), np.floor(v)
    s, t = u - i, v - j
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    i, j = i.astype(np.int64), j.astype(np.int64)
    top = hashed(i, j, salt) * (1 - s) + hashed(i + 1, j, salt) * s
    bottom = hashed(i, j + 1, salt) * (1 - s) + hashed(i + 1, j + 1, salt) * s
    return top * (1 - t) + bottom * t


def mix(first: Colour | Grid, second: Colour | Grid, part: Grid) -> Grid:
    """A mixture of two colours: the first where `part` is 0, the second where it is 1."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return a + (b - a) * np.clip(part, 0, 1)[..., None]


def darker(colour: Colour, part: float) -> Colour:
    """The colour with this part of its light; a part above 1 makes it brighter."""
    red, green, blue = (min(255, int(part * value)) for value in colour)
    return red, green, blue


def step(value: Grid, edge: float, width: float) -> Grid:
    """0 below the edge, 1 above it, and a ramp of this width between."""
    return np.clip((value - edge) / width + 0.5, 0, 1)


def plain(colour: Colour, grain: float = 0.12, cell: float = 4.0) -> Paint:
    """A paint of one colour with grain, like short hair."""

    def paint(x: Grid, y: Grid) -> Grid:
        rough = noise(x, y, cell, 1) + 0.6 * noise(x, y, cell / 2.5, 2) - 0.8
        return np.asarray(np.asarray(colour, np.float64) * (1 + grain * rough[..., None]))

    return paint


def countershaded(back: Colour, belly: Colour, top: float, bottom: float, grain: float = 0.12) -> Paint:
    """A paint of one colour above y = top, and another below y = bottom."""
    coat = plain((255, 255, 255), grain)

    def paint(x: Grid, y: Grid) -> Grid:
        wobble = 5 * (noise(x, y, 9.0, 3) - 0.5)
        return mix(back, belly, (y + wobble - top) / (bottom - top)) * coat(x, y) / 255

    return paint


def along(first: Colour, second: Colour, start: float, end: float, grain: float = 0.12) -> Paint:
    """A paint of one colour before x = start, and another after x = end: for legs, necks and tails."""
    coat = plain((255, 255, 255), grain)

    def paint(x: Grid, y: Grid) -> Grid:
        return mix(first, second, (x - start) / (end - start)) * coat(x, y) / 255

    return paint


def striped(
    light: Paint, dark: Colour, period: float, share: float = 0.5, bend: float = 0.0, centre: Colour | None = None
) -> Paint:
    """A paint of dark stripes across x, `period` apart. bend: how much they lean backward away from y = 0."""

    def paint(x: Grid, y: Grid) -> Grid:
        phase = (x + bend * np.abs(y) + 0.55 * period * (noise(x, y, 2.2 * period, 5) - 0.5)) / period
        ridge = np.abs(2 * (phase - np.floor(phase)) - 1)
        thick = share + 0.16 * (noise(x, y, 1.5 * period, 6) - 0.5)
        return mix(light(x, y), dark, step(thick - ridge, 0.0, 0.22))

    return paint


def patched(light: Colour, dark: Colour, cell: float, gap: float = 0.16) -> Paint:
    """A paint like a giraffe's net: dark patches, the cells of jittered lattice points, and light lines between."""
    coat = plain((255, 255, 255), 0.12)

    def paint(x: Grid, y: Grid) -> Grid:
        i, j = np.floor(x / cell).astype(np.int64), np.floor(y / cell).astype(np.int64)
        nearest, second = np.full(x.shape, 9.0), np.full(x.shape, 9.0)
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                px = i + di + 0.2 + 0.6 * hashed(i + di, j + dj, 11)
                py = j + dj + 0.2 + 0.6 * hashed(i + di, j + dj, 12)
                far = np.sqrt((x / cell - px) ** 2 + (y / cell - py) ** 2)
                second = np.minimum(second, np.maximum(far, nearest))
                nearest = np.minimum(nearest, far)
        return mix(light, dark, step(second - nearest, gap, 0.12)) * coat(x, y) / 255

    return paint


def streaked(first: Colour, second: Colour, cell: float, stretch: float = 5.0) -> Paint:
    """A paint of strands along x in two colours: for feathers, tufts and manes."""

    def paint(x: Grid, y: Grid) -> Grid:
        strand = 0.6 * noise(x / stretch, y, cell, 21) + 0.4 * noise(x / stretch, y, cell / 2.3, 22)
        return mix(first, second, 1.6 * (strand - 0.5) + 0.5)

    return paint


def radial(first: Colour, second: Colour, radius: float) -> Paint:
    """A paint from one colour at the origin to another at `radius`, with tufts: a lion's mane."""

    def paint(x: Grid, y: Grid) -> Grid:
        far = np.sqrt(x * x + y * y)
        tuft = noise(x, y, radius / 4, 31) + 0.7 * noise(x, y, radius / 9, 32) - 0.85
        return mix(first, second, far / radius + 0.75 * tuft)

    return paint


# Affine maps of the plane.


Affine: TypeAlias = tuple[float, float, float, float, float, float]
Point: TypeAlias = tuple[float, float]
Outline: TypeAlias = tuple[Point, ...]

IDENTITY: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def compose(outer: Affine, inner: Affine) -> Affine:
    """The map that applies `inner` first and then `outer`."""
    a, b, c, d, e, f = outer
    g, h, i, j, k, m = inner
    return a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f


def invert(map_: Affine) -> Affine:
    """The inverse map. The determinant must not be 0."""
    a, b, c, d, e, f = map_
    scale = 1 / (a * e - b * d)
    g, h, j, k = e * scale, -b * scale, -d * scale, a * scale
    return g, h, -(g * c + h * f), j, k, -(j * c + k * f)


def apply(map_: Affine, point: Point) -> Point:
    """The point that the map takes this point to."""
    a, b, c, d, e, f = map_
    x, y = point
    return a * x + b * y + c, d * x + e * y + f


def place(at: Point, turn: float = 0.0, scale: Point = (1.0, 1.0)) -> Affine:
    """The map that scales along the part's own axes, turns by an angle in radians, then moves the origin to `at`."""
    cos, sin = math.cos(turn), math.sin(turn)
    return cos * scale[0], -sin * scale[1], at[0], sin * scale[0], cos * scale[1], at[1]


# Smooth-edged shapes on a picture, in whole numbers.


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
    """Put a colour onto a picture, float64 (h, w, 3), where the mask is."""
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
