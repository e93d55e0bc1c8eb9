"""What the animals of a clip do: where each is and how it holds itself in every frame, and which span has which label.

Behaviours come in pairs that a single frame cannot tell apart, because their frames look alike by construction:

    walking, stalking         the same poses on the same paths, at a fraction of the speed
    flying, jumping           the same wing beats at the same heights; level, or in arcs
    lying down, getting up    the same movement, one backwards
    approaching, retreating   the same path, one backwards
    chasing, following        two animals at the same distances; the distance shrinks, or stays

What one behaviour of a pair draws from its random stream, the other draws in the same order from the same
distributions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vimoclip.savannah import gaits
from vimoclip.savannah.skeleton import Moment, Pose, Species, Track
from vimoclip.savannah.species import species

Behaviour = Literal[
    "walking", "stalking", "flying", "jumping", "lying down", "getting up", "approaching", "retreating",
    "chasing", "following", "grazing", "drinking", "running", "resting", "standing", "head shaking", "digging",
    "preening",
]  # fmt: skip

BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
PAIRS: tuple[tuple[Behaviour, Behaviour], ...] = (
    ("walking", "stalking"),
    ("flying", "jumping"),
    ("lying down", "getting up"),
    ("approaching", "retreating"),
    ("chasing", "following"),
)
"""Behaviours that a single frame cannot tell apart."""

FPS = 24
SIZE = (256, 192)
"""Width and height of a frame, pixels."""

_WALKERS = ("elephant", "giraffe", "zebra", "lion", "wildebeest", "ostrich")
_FLYERS = ("eagle", "stork")
CASTS: dict[Behaviour, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(("walking", "stalking", "approaching", "retreating"), tuple((name,) for name in _WALKERS)),
    **dict.fromkeys(("flying", "jumping"), tuple((name,) for name in _FLYERS)),
    **dict.fromkeys(("lying down", "getting up", "resting"), tuple((name,) for name in (*_WALKERS, "hare"))),
    **dict.fromkeys(
        ("chasing", "following"),
        (("lion", "zebra"), ("lion", "wildebeest"), ("zebra", "zebra"), ("wildebeest", "wildebeest"),
         ("ostrich", "ostrich"), ("hare", "hare"), ("elephant", "lion"), ("wildebeest", "lion")),
    ),
    "grazing": (("zebra",), ("wildebeest",), ("elephant",), ("giraffe",), ("ostrich",), ("hare",)),
    "drinking": (("zebra",), ("wildebeest",), ("elephant",), ("giraffe",), ("lion",), ("ostrich",)),
    "running": tuple((name,) for name in (*_WALKERS, "hare")),
    "standing": tuple((name,) for name in (*_WALKERS, *_FLYERS, "hare")),
    "head shaking": (("zebra",), ("wildebeest",), ("elephant",), ("giraffe",), ("lion",)),
    "digging": (("hare",), ("lion",), ("elephant",), ("wildebeest",)),
    "preening": (("ostrich",), ("eagle",), ("stork",), ("hare",)),
}  # fmt: skip
"""The species that show a behaviour: the actor, and the animal that it chases or follows."""

STEADY: tuple[Behaviour, ...] = ("grazing", "drinking", "standing", "head shaking", "digging", "preening")
"""Behaviours on the spot: one can come after another, and two animals can show two of them."""


@dataclass(frozen=True)
class Setting:
    """What a clip's motion has to fit into.

    Attributes:
        frames_count: length of the clip.
        facing: +1 to the right, -1 to the left.
        pan: the camera's speed, pixels per frame.
        horizon: y of the horizon, pixels.
    """

    frames_count: int
    facing: int
    pan: int
    horizon: float


FrameSpan = tuple[Behaviour, int, int]
"""A behaviour, its first frame, and the first frame after it. It becomes a `Span` in seconds."""


def perform(
    behaviour: Behaviour, cast: tuple[str, ...], setting: Setting, rng: np.random.Generator
) -> tuple[list[Track], list[FrameSpan]]:
    """Let the animals of a clip show a behaviour.

    Args:
        behaviour: what the clip is made for.
        cast: the species of each animal.
        setting: what the motion has to fit into.
        rng: every random choice comes from it.

    Returns:
        The animals' tracks, and the spans of what they show, by their starts.
    """
    act = _Act(behaviour, cast, setting, rng)
    match behaviour:
        case "walking" | "stalking" | "running":
            return act.goes()
        case "flying" | "jumping":
            return act.flies()
        case "lying down" | "getting up":
            return act.lies_down()
        case "approaching" | "retreating":
            return act.comes()
        case "chasing" | "following":
            return act.hunts()
        case _:
            return act.stays()


class _Act:
    """One performance."""

    def __init__(self, behaviour: Behaviour, cast: tuple[str, ...], setting: Setting, rng: np.random.Generator) -> None:
        self.behaviour, self.cast, self.setting, self.rng = behaviour, cast, setting, rng
        self.frames = setting.frames_count
        self.y = float(rng.uniform(148, 164))
        self.phase = float(rng.uniform())
        self.size = float(rng.uniform(0.94, 1.06))
        self.place = float(rng.uniform(-1, 1))
        self.crouch = float(rng.uniform(0, 1))

    def scale(self, who: Species, area: float) -> float:
        """Pixels per unit, for an animal that covers that many pixels."""
        return self.size * math.sqrt(area / who.area)

    def middle(self, reach: float, speed: float, room: float = 52.0) -> float:
        """x halfway through the clip. Whatever the speed, in pixels a frame, x is spread alike over all frames."""
        half = abs(speed - self.setting.facing * self.setting.pan) * self.frames / 2
        return (SIZE[0] - 1) / 2 + self.place * max(reach, room - half)

    def whole(self) -> list[FrameSpan]:
        return [(self.behaviour, 0, self.frames)]

    def goes(self) -> tuple[list[Track], list[FrameSpan]]:
        who = species(self.cast[0])
        scale = self.scale(who, 3000)
        pace = float(self.rng.uniform(0.9, 1.1))
        speed = pace * {"walking": 2.5, "stalking": 0.5, "running": 3.6}[self.behaviour]
        stride = who.stride if self.behaviour != "running" else 105.0
        velocity = self.setting.facing * speed
        middle = self.middle(4, velocity, 60)
        moments = []
        for t in range(self.frames):
            way = speed * (t - self.frames / 2)
            cycles = self.phase + way / (scale * stride)
            pose = (
                gaits.run(who, cycles, stride) if self.behaviour == "running" else gaits.walk(who, cycles, self.crouch)
            )
            moments.append(Moment(middle + self.setting.facing * way, self.y, scale, self.setting.facing, pose))
        return [Track(who.name, tuple(moments))], self.whole()

    def flies(self) -> tuple[list[Track], list[FrameSpan]]:
        who = species(self.cast[0])
        scale = self.scale(who, 2300)
        speed = float(self.rng.uniform(1.6, 2.0))
        period = float(self.rng.uniform(0.72, 0.86)) * FPS
        height = float(self.rng.uniform(56, 66))
        beats = float(self.rng.uniform(1.3, 1.8)) / FPS
        start = float(self.rng.uniform())
        velocity = self.setting.facing * speed
        middle = self.middle(4, velocity, 60)
        moments = []
        for t in range(self.frames):
            x = middle + velocity * (t - self.frames / 2)
            # The heights of a level flight are those of a jump, each as often.
            air = (start + (t / period if self.behaviour == "jumping" else 0.0)) % 1
            pose = gaits.beat(who, self.phase + beats * t)
            moments.append(Moment(x, self.y, scale, self.setting.facing, pose, lift=height * 4 * air * (1 - air)))
        return [Track(who.name, tuple(moments), flying=True)], self.whole()

    def lies_down(self) -> tuple[list[Track], list[FrameSpan]]:
        who = species(self.cast[0])
        scale = self.scale(who, 3000)
        lasts = max(1, round(float(self.rng.uniform(0.42, 0.54)) * self.frames))
        before = int(self.rng.integers(self.frames // 8, self.frames - lasts - self.frames // 8 + 1))
        x = self.middle(4, 0.0)
        poses = []
        for t in range(self.frames):
            down = gaits.ease((t - before) / lasts)
            poses.append(gaits.breathe(gaits.hold(who, "lie", down), t / FPS, self.phase))
        bouts: list[FrameSpan] = [("standing", 0, before), ("lying down", before, before + lasts)]
        bouts.append(("resting", before + lasts, self.frames))
        if self.behaviour == "getting up":
            poses.reverse()
            bouts = [(name, self.frames - end, self.frames - start) for name, start, end in reversed(bouts)]
            bouts[1] = ("getting up", *bouts[1][1:])
        moments = tuple(Moment(x, self.y, scale, self.setting.facing, pose) for pose in poses)
        return [Track(who.name, moments)], bouts

    def comes(self) -> tuple[list[Track], list[FrameSpan]]:
        who = species(self.cast[0])
        scale = self.scale(who, 2600)
        ratio = float(self.rng.uniform(2.1, 2.5))
        pace = float(self.rng.uniform(1.5, 1.9))
        squash = float(self.rng.uniform(0.78, 0.9))
        vanishing = (SIZE[0] - 1) / 2 + float(self.rng.uniform(-20, 20))
        x, y = self.middle(4, 0.0, 36), self.y - 12
        moments = []
        for t in range(self.frames):
            part = (t + 0.5) / self.frames
            near = ratio ** (part - 0.5 if self.behaviour == "approaching" else 0.5 - part)
            pose = gaits.walk(who, self.phase + pace * part, self.crouch)
            at = (vanishing + (x - vanishing) * near, self.setting.horizon + (y - self.setting.horizon) * near)
            moments.append(Moment(*at, scale * near, self.setting.facing, pose, squash=squash))
        return [Track(who.name, tuple(moments))], self.whole()

    def hunts(self) -> tuple[list[Track], list[FrameSpan]]:
        last, first = species(self.cast[0]), species(self.cast[1])
        pace = float(self.rng.uniform(0.93, 1.07))
        gap = float(self.rng.uniform(0, 1))
        slow, fast = 1.25 * pace, (2.6 if self.behaviour == "chasing" else 1.25) * pace
        near, far = 58.0, 58.0 + 1.35 * pace * self.frames
        middle = self.middle(4, self.setting.facing * (slow + fast) / 2, 48)
        tracks = []
        for who, speed, side in ((last, fast, -0.5), (first, slow, 0.5)):
            scale = self.scale(who, 1500)
            moments = []
            for t in range(self.frames):
                apart = (near + far) / 2 if self.behaviour == "chasing" else near + gap * (far - near)
                way = speed * (t - self.frames / 2)
                pose = gaits.run(who, self.phase + 0.3 * side + way / (scale * 62), 62)
                x = middle + self.setting.facing * (way + side * apart)
                moments.append(Moment(x, self.y + 3 * side, scale, self.setting.facing, pose))
            tracks.append(Track(who.name, tuple(moments)))
        return tracks, self.whole()

    def stays(self) -> tuple[list[Track], list[FrameSpan]]:
        who = species(self.cast[0])
        other = self.cast[1:]
        scale = self.scale(who, 1700 if other else 3000)
        x = self.middle(4, 0.0, 22 if other else 52) + (-58 * self.setting.facing if other else 0)
        moments, bouts = self._steady(who, self.behaviour, x, self.y, scale, self.setting.facing)
        tracks = [Track(who.name, moments)]
        if other:
            second = self._companion(species(other[0]))
            x = self.middle(4, 0.0, 22) + 58 * self.setting.facing
            facing = -self.setting.facing if self.rng.uniform() < 0.4 else self.setting.facing
            more, their = self._steady(species(other[0]), second, x, self.y - 9, scale * 0.92, facing)
            tracks.insert(0, Track(other[0], more))
            bouts = _merged(bouts + their)
        return tracks, bouts

    def _companion(self, who: Species) -> Behaviour:
        able = [name for name in STEADY if name != "drinking" and (who.name,) in CASTS[name]]
        return able[int(self.rng.integers(len(able)))]

    def _steady(
        self, who: Species, first: Behaviour, x: float, y: float, scale: float, facing: int
    ) -> tuple[tuple[Moment, ...], list[FrameSpan]]:
        """One behaviour, or two one after the other."""
        then = first
        if first != "resting" and self.rng.uniform() < 0.35:
            then = self._companion(who)
        turn = int(self.rng.integers(self.frames * 3 // 8, self.frames * 5 // 8 + 1))
        phase = float(self.rng.uniform())
        moments = []
        for t in range(self.frames):
            pose = _POSES[first](who, t / FPS, phase)
            if then != first:
                pose = gaits.blend(pose, _POSES[then](who, t / FPS, phase), gaits.ease((t - turn + 4) / 8))
            moments.append(Moment(x, y, scale, facing, pose))
        if then == first:
            return tuple(moments), [(first, 0, self.frames)]
        return tuple(moments), [(first, 0, turn), (then, turn, self.frames)]


def _merged(bouts: list[FrameSpan]) -> list[FrameSpan]:
    """Bouts of one behaviour that overlap or touch as one, in the order of their starts."""
    out: list[FrameSpan] = []
    for name, start, end in sorted(bouts, key=lambda bout: bout[1:]):
        for n, (other, first, last) in enumerate(out):
            if other == name and start <= last:
                out[n] = (name, first, max(last, end))
                break
        else:
            out.append((name, start, end))
    return out


_POSES: dict[Behaviour, Callable[[Species, float, float], Pose]] = {
    "grazing": lambda who, s, phase: gaits.feed(who, s, phase, 1.1),
    "drinking": lambda who, s, phase: gaits.feed(who, s, phase, 0.5),
    "standing": lambda who, s, phase: gaits.breathe(gaits.hold(who, "stand"), s, phase),
    "resting": lambda who, s, phase: gaits.breathe(gaits.hold(who, "lie"), s, phase),
    "head shaking": gaits.shake,
    "digging": gaits.dig,
    "preening": gaits.preen,
}
