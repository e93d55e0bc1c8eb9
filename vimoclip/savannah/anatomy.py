"""Building blocks of the species: limbs, legs in pairs, and what a species is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import radians
from typing import Literal, TypeAlias

from vimoclip.savannah.affine import Outline, Point
from vimoclip.savannah.drawing import Colour, plain
from vimoclip.savannah.skeleton import Leg, Part, Shape

Posture = Literal["stand", "low", "lie", "run", "preen"]
Build = Literal["quadruped", "hopper", "bird", "flyer"]

Profile: TypeAlias = tuple[tuple[float, float, float], ...]
"""A limb's half widths: (place from 0 to 1 along it, in front, behind)."""

Hip: TypeAlias = tuple[Point, tuple[float, float]]
"""A point of the torso, and the lengths of the two segments of the leg that hangs there."""

AHEAD = 5.0
"""How far forward the far legs are."""
FAR = 0.62
"""How bright the legs, ears and wings of the far side are."""


@dataclass(frozen=True)
class Species:
    """An animal. postures: degrees by which each part is turned, against what `stand` says; `torso` is the pitch.

    stance: height of the standing torso. sinks: how far it comes down in a posture. folds: where fore and hind feet
    are, forward of the hips, when it lies. stride: length of a cycle of the walk. area: what it covers when it stands,
    or flies, in square units; by it all species are made alike large in a frame.
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
        """Radians."""
        degrees = self.postures["stand"].get(part, 0.0)
        return radians(degrees if posture == "stand" else self.postures[posture].get(part, degrees))


def outline(points: str) -> Outline:
    """Points as a polygon in SVG has them: `"x,y x,y …"`."""
    return tuple((float(x), float(y)) for x, y in (point.split(",") for point in points.split()))


def limb(length: float, profile: Profile) -> Outline:
    """The outline of a limb along +x, its front at negative y (forward, when the limb points down)."""
    front = [(t * length, -before) for t, before, _ in profile]
    return tuple(front + [(t * length, behind) for t, _, behind in reversed(profile)])


def leg_parts(
    hips: Mapping[str, Hip], upper: Callable[[str, float], Shape], lower: Callable[[float], tuple[Shape, ...]]
) -> tuple[list[Part], list[Part]]:
    """The parts of the far and of the near legs, lower before upper, so that the upper covers the joint.

    hips: by where the legs are. upper, lower: what a segment of that length looks like.
    """
    sides: tuple[list[Part], list[Part]] = ([], [])
    for side, parts, shade, ahead in (("far", sides[0], FAR, AHEAD), ("near", sides[1], 1.0, 0.0)):
        for name, ((x, y), (first, second)) in hips.items():
            hip = (x + ahead, y)
            parts.append(Part(f"{side}-{name}-lower", "", hip, lower(second), shade))
            parts.append(Part(f"{side}-{name}-upper", "", hip, (upper(name, first),), shade))
    return sides


def four_legs(hips: Mapping[str, Hip]) -> tuple[Leg, ...]:
    """Of the hips `fore` and `hind`: knees forward, hocks backward; a lateral walk and a gallop."""
    (fore, fore_lengths), (hind, hind_lengths) = hips["fore"], hips["hind"]
    return (
        Leg("far-fore", (fore[0] + AHEAD, fore[1]), fore_lengths, 1, 0.75, 0.62),
        Leg("far-hind", (hind[0] + AHEAD, hind[1]), hind_lengths, -1, 0.5, 0.12),
        Leg("near-fore", fore, fore_lengths, 1, 0.25, 0.5),
        Leg("near-hind", hind, hind_lengths, -1, 0.0, 0.0),
    )


def two_legs(hips: Mapping[str, Hip]) -> tuple[Leg, ...]:
    """A bird's, of its hip `hind`: what bends backward is the ankle."""
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
    """Dark, with the light in it."""
    x, y = centre
    return disc(centre, radius, around), disc((x + 0.3 * radius, y - 0.35 * radius), 0.38 * radius, (235, 235, 230))
