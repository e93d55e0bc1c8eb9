"""Building blocks of the species: limbs, legs in pairs, and what a species is."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import radians
from typing import Literal

from vimoclip.savannah.affine import Point
from vimoclip.savannah.paints import Colour, Paint, plain
from vimoclip.savannah.skeleton import Leg, Part, Shape

Posture = Literal["stand", "low", "lie", "run", "preen"]
Build = Literal["quadruped", "hopper", "bird", "flyer"]

Profile = tuple[tuple[float, float, float], ...]
"""A limb's half widths: (place from 0 to 1 along it, in front, behind)."""

FAR = 0.62
"""How bright the legs, ears and wings of the far side are."""


@dataclass(frozen=True)
class Species:
    """An animal. postures: degrees by which each part is turned, against what `stand` says; `torso` is the pitch.

    stance: height of the standing torso. sinks: how far it comes down in a posture. folds: feet when it lies, forward
    of their hips (front, hind). stride: length of a walking step's cycle. girth: pixels per unit are this over the
    square root of the animal's drawn area, so that all species cover alike much of a frame.
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


def limb(length: float, profile: Profile) -> tuple[Point, ...]:
    """The outline of a limb along +x, its front at negative y (forward, when the limb points down)."""
    front = [(t * length, -before) for t, before, _ in profile]
    return tuple(front + [(t * length, behind) for t, _, behind in reversed(profile)])


def leg_parts(name: str, hip: Point, upper: tuple[Shape, ...], lower: tuple[Shape, ...], shade: float) -> list[Part]:
    """Lower before upper, so that the joint is covered by the upper."""
    return [Part(f"{name}-lower", "", hip, lower, shade), Part(f"{name}-upper", "", hip, upper, shade)]


def four_legs(fore: tuple[Point, tuple[float, float]], hind: tuple[Point, tuple[float, float]]) -> tuple[Leg, ...]:
    """Hips and segments' lengths of the fore and of the hind legs; a lateral walk and a gallop. Far legs a bit ahead."""
    (fx, fy), (hx, hy) = fore[0], hind[0]
    return (
        Leg("far-fore", (fx + 5, fy - 1), fore[1], 1, 0.75, 0.62),
        Leg("far-hind", (hx + 5, hy - 1), hind[1], -1, 0.5, 0.12),
        Leg("near-fore", (fx, fy), fore[1], 1, 0.25, 0.5),
        Leg("near-hind", (hx, hy), hind[1], -1, 0.0, 0.0),
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
