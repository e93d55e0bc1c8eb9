"""What an animal is made of, where its parts lie in a pose, and where it is in each frame.

An animal's own plane: x forward, y down, the ground at y = 0 and the animal above it, facing right; its unit is a
hundredth of its shoulder's height. Every part is rigid in a plane of its own, whose origin is the joint it turns
about, and is carried by an affine map: what is drawn and its exact flow both follow from these maps.

Legs have two segments. A pose says where the feet are, and the knee follows (inverse kinematics), so that feet stay on
the ground while the body moves over them.

`limb`, `leg_parts`, `four_legs`, `two_legs`, `disc` and `eye` are what the species are built from.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import radians
from typing import Literal, TypeAlias

from vimoclip.savannah.drawing import Affine, Colour, Outline, Paint, Point, apply, compose, place, plain


@dataclass(frozen=True)
class Shape:
    """A painted outline.

    Attributes:
        points: the outline, in the part's plane.
        paint: its colours.
        smooth: whether a closed spline runs through the points, instead of straight edges.
    """

    points: tuple[Point, ...]
    paint: Paint
    smooth: bool = True


@dataclass(frozen=True)
class Part:
    """A rigid part. Parts are drawn in their order, the last on top.

    Attributes:
        name: of the part.
        parent: the part whose plane holds the joint.
        joint: the point that it turns about.
        shapes: what is drawn.
        shade: how bright it is; parts on the far side are darker.
    """

    name: str
    parent: str
    joint: Point
    shapes: tuple[Shape, ...]
    shade: float = 1.0


@dataclass(frozen=True)
class Leg:
    """A leg: the parts `<name>-upper` and `<name>-lower`.

    Attributes:
        name: of the leg.
        hip: the point of the torso that it hangs on.
        lengths: of the two segments.
        knee: +1 where the knee points forward, -1 where it points backward.
        walk: the leg's phase in the walk, in parts of a cycle.
        run: its phase in the run.
    """

    name: str
    hip: Point
    lengths: tuple[float, float]
    knee: Literal[-1, 1]
    walk: float
    run: float


@dataclass(frozen=True)
class Pose:
    """How an animal holds itself. Lengths are in its own units; angles are in radians, clockwise on the screen.

    Attributes:
        sink: how far the torso is below its height when standing.
        pitch: of the torso.
        turns: by part, its angle against its parent.
        scales: by part, its scales along its own x and y.
        feet: by leg, forward of the hip and above the ground; in the air, below the hip.
        airborne: whether the animal is in the air.
    """

    sink: float = 0.0
    pitch: float = 0.0
    turns: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, Point] = field(default_factory=dict)
    feet: Mapping[str, Point] = field(default_factory=dict)
    airborne: bool = False


def pose_parts(parts: tuple[Part, ...], legs: tuple[Leg, ...], stance: float, pose: Pose) -> list[Affine]:
    """The maps from each part's own plane to the animal's, in the order of the parts.

    Args:
        parts: of the animal.
        legs: of the animal.
        stance: height of the standing torso.
        pose: how the animal holds itself.
    """
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


Posture = Literal["stand", "low", "lie", "run", "preen"]
Build = Literal["quadruped", "hopper", "bird", "flyer"]

Profile: TypeAlias = tuple[tuple[float, float, float], ...]
"""A limb's half widths: (place from 0 to 1 along it, in front, behind)."""

Hip: TypeAlias = tuple[Point, tuple[float, float]]
"""A point of the torso, and the lengths of the two segments of the leg that hangs there."""

AHEAD = 5.0
"""How far the far legs are ahead of the near ones."""
FAR = 0.62
"""The brightness of the legs, ears and wings on the far side."""


@dataclass(frozen=True)
class Species:
    """An animal.

    Attributes:
        name: of the species.
        build: how its gaits move it.
        parts: in the order they are drawn in.
        legs: its legs.
        stance: height of the standing torso.
        postures: by posture, degrees by which each part is turned against `stand`; `torso` is the pitch.
        sinks: how far the torso comes down in a posture.
        folds: where fore and hind feet are, forward of the hips, when it lies.
        stride: length of a cycle of the walk.
        area: what it covers when it stands or flies, in square units; it makes all species equally large in a frame.
    """

    name: str
    build: Build
    parts: tuple[Part, ...]
    legs: tuple[Leg, ...]
    stance: float
    postures: Mapping[Posture, Mapping[str, float]]
    sinks: Mapping[Posture, float]
    folds: tuple[float, float]
    stride: float
    area: float

    @cached_property
    def named(self) -> dict[str, Part]:
        """The parts by name."""
        return {part.name: part for part in self.parts}

    def turn(self, posture: Posture, part: str) -> float:
        """The angle of a part in a posture, radians."""
        degrees = self.postures["stand"].get(part, 0.0)
        return radians(degrees if posture == "stand" else self.postures[posture].get(part, degrees))


def outline(points: str) -> Outline:
    """A polygon from points as SVG writes them: `"x,y x,y …"`."""
    return tuple((float(x), float(y)) for x, y in (point.split(",") for point in points.split()))


def limb(length: float, profile: Profile) -> Outline:
    """The outline of a limb along +x, its front at negative y (forward, when the limb points down)."""
    front = [(t * length, -before) for t, before, _ in profile]
    return tuple(front + [(t * length, behind) for t, _, behind in reversed(profile)])


def leg_parts(
    hips: Mapping[str, Hip], upper: Callable[[str, float], Shape], lower: Callable[[float], tuple[Shape, ...]]
) -> tuple[list[Part], list[Part]]:
    """The parts of the far and of the near legs, lower before upper, so that the upper part covers the joint.

    Args:
        hips: by the place of the legs, `fore` or `hind`.
        upper: makes an upper segment from the leg's place and its length.
        lower: makes the shapes of a lower segment from its length.
    """
    sides: tuple[list[Part], list[Part]] = ([], [])
    for side, parts, shade, ahead in (("far", sides[0], FAR, AHEAD), ("near", sides[1], 1.0, 0.0)):
        for name, ((x, y), (first, second)) in hips.items():
            hip = (x + ahead, y)
            parts.append(Part(f"{side}-{name}-lower", "", hip, lower(second), shade))
            parts.append(Part(f"{side}-{name}-upper", "", hip, (upper(name, first),), shade))
    return sides


def four_legs(hips: Mapping[str, Hip]) -> tuple[Leg, ...]:
    """The legs on the hips `fore` and `hind`: knees forward, hocks backward; a lateral walk and a gallop."""
    (fore, fore_lengths), (hind, hind_lengths) = hips["fore"], hips["hind"]
    return (
        Leg("far-fore", (fore[0] + AHEAD, fore[1]), fore_lengths, 1, 0.75, 0.62),
        Leg("far-hind", (hind[0] + AHEAD, hind[1]), hind_lengths, -1, 0.5, 0.12),
        Leg("near-fore", fore, fore_lengths, 1, 0.25, 0.5),
        Leg("near-hind", hind, hind_lengths, -1, 0.0, 0.0),
    )


def two_legs(hips: Mapping[str, Hip]) -> tuple[Leg, ...]:
    """A bird's legs, on its hip `hind`; what bends backward is the ankle."""
    hip, lengths = hips["hind"]
    return (
        Leg("far-hind", (hip[0] + AHEAD, hip[1]), lengths, -1, 0.5, 0.5),
        Leg("near-hind", hip, lengths, -1, 0.0, 0.0),
    )


def disc(centre: Point, radius: float, colour: Colour) -> Shape:
    """An eye, or another round mark."""
    x, y = centre
    near = 0.7071 * radius
    ring = ((radius, 0), (near, near), (0, radius), (-near, near), (-radius, 0), (-near, -near), (0, -radius))
    points = (*((x + dx, y + dy) for dx, dy in ring), (x + near, y - near))
    return Shape(points, plain(colour, 0.0))


def eye(centre: Point, radius: float, around: Colour = (30, 22, 18)) -> tuple[Shape, ...]:
    """A dark eye with a highlight."""
    x, y = centre
    return disc(centre, radius, around), disc((x + 0.3 * radius, y - 0.35 * radius), 0.38 * radius, (235, 235, 230))


@dataclass(frozen=True)
class Moment:
    """One animal in one frame.

    Attributes:
        x: of the ground below its middle, in the scene, pixels.
        y: of the same point.
        scale: pixels per unit.
        facing: +1 to the right, -1 to the left.
        pose: how it holds itself.
        lift: pixels above the ground.
        squash: the part of its length that is seen.
    """

    x: float
    y: float
    scale: float
    facing: int
    pose: Pose
    lift: float = 0.0
    squash: float = 1.0


@dataclass(frozen=True)
class Track:
    """An animal's way through a clip.

    Attributes:
        species: its species.
        moments: where it is and how it holds itself, by frame.
        flying: whether it flies.
    """

    species: str
    moments: tuple[Moment, ...]
    flying: bool = False
