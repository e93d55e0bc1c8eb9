"""What an animal is made of, and where its parts lie in a pose.

An animal's own plane: x forward, y down, the ground at y = 0 and the animal above it, facing right; its unit is a
hundredth of its shoulder's height. Every part is rigid in a plane of its own, whose origin is the joint it turns
about, and is carried by an affine map: what is drawn and its exact flow both follow from these maps.

Legs have two segments. A pose says where the feet are, and the knee follows (inverse kinematics): so feet stay on the
ground while the body moves over them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vimoclip.savannah.affine import Affine, Point, apply, compose, place
from vimoclip.savannah.drawing import Paint


@dataclass(frozen=True)
class Shape:
    """An outline and how it is painted. smooth: a closed spline runs through the points; else straight edges."""

    points: tuple[Point, ...]
    paint: Paint
    smooth: bool = True


@dataclass(frozen=True)
class Part:
    """A rigid part. parent: the part whose plane holds the joint. Parts are drawn in their order, the last on top.

    shade: how bright it is; parts on the far side are darker. wing: it opens and closes along its own y.
    """

    name: str
    parent: str
    joint: Point
    shapes: tuple[Shape, ...]
    shade: float = 1.0


@dataclass(frozen=True)
class Leg:
    """Parts `<name>-upper` and `<name>-lower`, which hang on `hip`, a point of the torso.

    lengths: of the two segments. knee: +1 where it points forward, -1 backward. phase: of the walk, of the run, in
    parts of a cycle.
    """

    name: str
    hip: Point
    lengths: tuple[float, float]
    knee: Literal[-1, 1]
    walk: float
    run: float


@dataclass(frozen=True)
class Pose:
    """How an animal holds itself. Lengths are in its own units, angles in radians, clockwise on the screen.

    sink: how far the torso has come down from where it is when standing. pitch: of the torso. turns: by which a part is
    turned against its parent. scales: of a part along its own x and y. feet: by leg, forward of the hip and above the
    ground; in the air, below the hip.
    """

    sink: float = 0.0
    pitch: float = 0.0
    turns: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, Point] = field(default_factory=dict)
    feet: Mapping[str, Point] = field(default_factory=dict)
    airborne: bool = False


def pose_parts(parts: tuple[Part, ...], legs: tuple[Leg, ...], stance: float, pose: Pose) -> list[Affine]:
    """From each part's own plane to the animal's, in the order of the parts. stance: height of the standing torso."""
    torso = place((0.0, pose.sink - stance), pose.pitch)
    placed: dict[str, Affine] = {}
    for leg in legs:
        hip = apply(torso, leg.hip)
        forward, up = pose.feet.get(leg.name, (0.0, 0.0))
        foot = (hip[0] + forward, hip[1] + up) if pose.airborne else (leg.hip[0] + forward, -up)
        upper, lower = _bend(hip, foot, leg)
        placed[f"{leg.name}-upper"] = place(hip, upper)
        knee = apply(placed[f"{leg.name}-upper"], (leg.lengths[0], 0.0))
        placed[f"{leg.name}-lower"] = place(knee, lower)

    def of(part: Part) -> Affine:
        if part.name not in placed:
            own = place(part.joint, pose.turns.get(part.name, 0.0), pose.scales.get(part.name, (1.0, 1.0)))
            placed[part.name] = compose(of(named[part.parent]) if part.parent else torso, own)
        return placed[part.name]

    named = {part.name: part for part in parts}
    return [of(part) for part in parts]


def _bend(hip: Point, foot: Point, leg: Leg) -> tuple[float, float]:
    """The angles of both segments: the law of cosines. A foot out of reach is reached for."""
    first, second = leg.lengths
    x, y = foot[0] - hip[0], foot[1] - hip[1]
    reach = min(max(math.hypot(x, y), abs(first - second) + 1e-3), first + second - 1e-3)
    towards = math.atan2(y, x)
    inner = math.acos((first**2 + reach**2 - second**2) / (2 * first * reach))
    upper = towards - leg.knee * inner
    knee = (first * math.cos(upper), first * math.sin(upper))
    end = (reach * math.cos(towards), reach * math.sin(towards))
    return upper, math.atan2(end[1] - knee[1], end[0] - knee[0])
