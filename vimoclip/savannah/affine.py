"""Affine maps of the plane as six plain floats, so that they come out the same on every machine.

(a, b, c, d, e, f) takes (x, y) to (a·x + b·y + c, d·x + e·y + f). x runs to the right and y down; positive angles turn
x towards y. Plain floats because a matrix product may or may not be rounded between its multiplications and its sums.
"""

import math
from typing import TypeAlias

Affine: TypeAlias = tuple[float, float, float, float, float, float]
Point: TypeAlias = tuple[float, float]
Outline: TypeAlias = tuple[Point, ...]

IDENTITY: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def compose(outer: Affine, inner: Affine) -> Affine:
    """The map that does `inner` first and then `outer`."""
    a, b, c, d, e, f = outer
    g, h, i, j, k, m = inner
    return a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f


def invert(map_: Affine) -> Affine:
    """The map back. Its determinant must not be 0."""
    a, b, c, d, e, f = map_
    scale = 1 / (a * e - b * d)
    g, h, j, k = e * scale, -b * scale, -d * scale, a * scale
    return g, h, -(g * c + h * f), j, k, -(j * c + k * f)


def apply(map_: Affine, point: Point) -> Point:
    """Where the map takes a point."""
    a, b, c, d, e, f = map_
    x, y = point
    return a * x + b * y + c, d * x + e * y + f


def place(at: Point, turn: float = 0.0, scale: Point = (1.0, 1.0)) -> Affine:
    """Scale along the own axes, turn by an angle in radians, then move the origin to `at`."""
    cos, sin = math.cos(turn), math.sin(turn)
    return cos * scale[0], -sin * scale[1], at[0], sin * scale[0], cos * scale[1], at[1]
