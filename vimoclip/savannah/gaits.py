"""How an animal holds itself in the course of a behaviour: poses as functions of time, or of the distance walked."""

import math
from collections.abc import Mapping

from vimoclip.savannah.drawing import Point
from vimoclip.savannah.skeleton import Leg, Pose, Posture, Species

TAU = 2 * math.pi


def hold(species: Species, posture: Posture, weight: float = 1.0) -> Pose:
    """A pose between standing (weight 0) and a posture (weight 1), feet on the ground."""

    def between(part: str) -> float:
        stand = species.turn("stand", part)
        return stand + weight * (species.turn(posture, part) - stand)

    feet = {}
    if posture == "lie":
        for leg in species.legs:
            fold = species.folds[0 if "hind" not in leg.name else 1]
            feet[leg.name] = (weight * fold, weight * 1.5)
    return Pose(
        sink=weight * species.sinks.get(posture, 0.0),
        pitch=between("torso"),
        turns={part.name: between(part.name) for part in species.parts},
        feet=feet,
    )


def moved(
    pose: Pose,
    turns: Mapping[str, float],
    scales: Mapping[str, Point] | None = None,
    feet: Mapping[str, Point] | None = None,
    sink: float = 0.0,
    pitch: float = 0.0,
) -> Pose:
    """The pose with parts turned further; scales, feet, sink and pitch replace the pose's own where they are given."""
    return Pose(
        sink=pose.sink + sink,
        pitch=pose.pitch + pitch,
        turns={name: turn + turns.get(name, 0.0) for name, turn in pose.turns.items()},
        scales={**pose.scales, **(scales or {})},
        feet={**pose.feet, **(feet or {})},
        airborne=pose.airborne,
    )


def blend(first: Pose, second: Pose, weight: float) -> Pose:
    """A pose between the first (weight 0) and the second (weight 1), both on the ground."""

    def mix(a: float, b: float) -> float:
        return a + weight * (b - a)

    def points(a: Mapping[str, Point], b: Mapping[str, Point], rest: Point) -> dict[str, Point]:
        both = {name: (a.get(name, rest), b.get(name, rest)) for name in {**a, **b}}
        return {name: (mix(p[0], q[0]), mix(p[1], q[1])) for name, (p, q) in both.items()}

    return Pose(
        sink=mix(first.sink, second.sink),
        pitch=mix(first.pitch, second.pitch),
        turns={name: mix(turn, second.turns[name]) for name, turn in first.turns.items()},
        scales=points(first.scales, second.scales, (1.0, 1.0)),
        feet=points(first.feet, second.feet, (0.0, 0.0)),
    )


def ease(x: float) -> float:
    """From 0 at 0 to 1 at 1, slow at both ends."""
    x = min(1.0, max(0.0, x))
    return x * x * (3 - 2 * x)


def _foot(leg: Leg, phase: float, duty: float, step: float, lift: float) -> Point:
    """On the ground it goes back evenly, for `duty` of the cycle; then it swings forward through the air."""
    phase %= 1.0
    if phase < duty:
        return step * (0.5 - phase / duty), 0.0
    swing = (phase - duty) / (1 - duty)
    return step * (ease(swing) - 0.5), lift * math.sin(math.pi * swing)


def walk(species: Species, cycles: float, crouch: float) -> Pose:
    """A pose after some cycles of the walk. crouch: 0 upright, 1 with the head and body low."""
    base = hold(species, "stand")
    duty, swing = 0.64, math.sin(2 * TAU * cycles)
    feet = {leg.name: _foot(leg, cycles + leg.walk, duty, duty * species.stride, 9) for leg in species.legs}
    neck = math.radians(14) * crouch
    turns = {
        "neck": neck + math.radians(2.5) * swing,
        "head": -0.5 * neck - math.radians(2) * swing,
        "tail": math.radians(7) * math.sin(TAU * cycles),
        "trunk1": math.radians(5) * math.sin(TAU * cycles),
        "trunk2": math.radians(6) * math.sin(TAU * cycles - 0.8),
        "ear": math.radians(4) * math.sin(TAU * cycles),
    }
    return moved(base, turns, feet=feet, sink=1.5 + 3.5 * crouch + 1.0 * swing, pitch=math.radians(0.8) * swing)


def run(species: Species, cycles: float, stride: float) -> Pose:
    """A pose after some cycles of a gallop (on two legs: of a run), with steps of length `stride`."""
    base = hold(species, "run")
    duty = 0.36
    wave = math.sin(TAU * cycles)
    feet = {leg.name: _foot(leg, cycles + leg.run, duty, 0.5 * stride, 17) for leg in species.legs}
    pitch = math.radians(4 if species.build == "quadruped" else 7 if species.build == "hopper" else 1.5)
    turns = {
        "neck": math.radians(5) * math.sin(TAU * cycles + 1.0),
        "head": -math.radians(4) * math.sin(TAU * cycles + 1.0),
        "tail": math.radians(8) * wave,
        "tail-tip": math.radians(10) * math.sin(TAU * cycles - 1.2),
        "ear": math.radians(8) * wave,
        "ear-far": math.radians(8) * wave,
        "trunk2": math.radians(8) * wave,
        "wing": math.radians(5) * wave,
    }
    bounce = 4 * math.cos(TAU * cycles) if species.build != "bird" else 2 * math.cos(2 * TAU * cycles)
    return moved(base, turns, feet=feet, sink=4 + bounce, pitch=pitch * wave)


def beat(species: Species, cycles: float) -> Pose:
    """A pose in the air, after some beats of the wings; the lowest point of the feet is at the ground's height."""
    base = hold(species, "run")
    leg = species.legs[0]
    room = species.stance - leg.hip[1]
    down = 0.74 * room
    wings = {}
    for name, lag in (("spread", 0.0), ("spread-far", 0.35)):
        open_ = 0.86 * math.sin(TAU * cycles - lag) + 0.16
        wings[name] = (1.0, math.copysign(max(abs(open_), 0.1), open_))
    return Pose(
        sink=room - down + 2.5 * math.sin(TAU * cycles + 0.5),
        pitch=base.pitch,
        turns=base.turns,
        scales=wings,
        feet={leg.name: (-5.0 - 3 * n, down) for n, leg in enumerate(species.legs)},
        airborne=True,
    )


def breathe(pose: Pose, seconds: float, phase: float) -> Pose:
    """The pose of an animal that otherwise does nothing: the tail swishes, the ears move, the head nods a little."""
    slow = math.sin(TAU * (0.35 * seconds + phase))
    flick = math.sin(TAU * (0.9 * seconds + 3 * phase))
    turns = {
        "neck": math.radians(1.6) * slow,
        "head": math.radians(2.0) * math.sin(TAU * (0.35 * seconds + phase) + 0.7),
        "tail": math.radians(11) * flick,
        "tail-tip": math.radians(9) * math.sin(TAU * (0.9 * seconds + 3 * phase) - 1.0),
        "ear": math.radians(6) * flick,
        "trunk2": math.radians(4) * slow,
        "trunk3": math.radians(5) * slow,
    }
    return moved(pose, turns, sink=0.6 * slow)


def feed(species: Species, seconds: float, phase: float, rate: float) -> Pose:
    """Mouth, beak or trunk at the ground, plucking `rate` times per second."""
    pose = breathe(hold(species, "low"), seconds, phase)
    pluck = math.sin(TAU * (rate * seconds + phase))
    return moved(
        pose, {"head": math.radians(6) * pluck, "neck": math.radians(3) * pluck, "trunk4": math.radians(16) * pluck}
    )


def shake(species: Species, seconds: float, phase: float) -> Pose:
    """The head thrown from side to side: seen from the side it grows shorter and longer, and rolls."""
    pose = breathe(hold(species, "stand"), seconds, phase)
    wave = math.sin(TAU * (3.1 * seconds + phase))
    turns = {"head": math.radians(9) * wave, "neck": math.radians(5) * wave, "ear": math.radians(24) * wave,
             "trunk1": math.radians(14) * wave, "trunk2": math.radians(-16) * wave}  # fmt: skip
    return moved(pose, turns, scales={"head": (0.86 + 0.14 * wave, 1.0)})


def dig(species: Species, seconds: float, phase: float) -> Pose:
    """Head low, the fore feet scraping in turn."""
    pose = breathe(hold(species, "low", 0.72), seconds, phase)
    feet = {}
    for leg in species.legs:
        if "fore" in leg.name:
            turn = TAU * (3.4 * seconds + phase + (0.5 if leg.name.startswith("far") else 0.0))
            feet[leg.name] = (12 + 13 * math.cos(turn), 9 * max(0.0, math.sin(turn)))
    return moved(pose, {"head": math.radians(4) * math.sin(TAU * (3.4 * seconds + phase))}, feet=feet)


def preen(species: Species, seconds: float, phase: float) -> Pose:
    """Beak or muzzle in the plumage or fur, nibbling, moving on now and then."""
    pose = breathe(hold(species, "preen"), seconds, phase)
    nibble = math.sin(TAU * (4.2 * seconds + phase))
    on = math.sin(TAU * (0.55 * seconds + phase))
    turns = {"head": math.radians(7) * nibble + math.radians(8) * on, "neck": math.radians(9) * on,
             "neck-top": math.radians(5) * nibble}  # fmt: skip
    feet = {}
    if species.build == "hopper":  # both fore paws at the face
        feet = {leg.name: (20 + 4 * nibble, 34 + 4 * nibble) for leg in species.legs if "fore" in leg.name}
    return moved(pose, turns, feet=feet)
