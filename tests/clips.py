"""Short clips of moving shapes whose motion is known exactly, for the demo and for tests.

One shape on a still background, drawn from a seed. How a clip looks (background, shape, colour; clips.py)
follows from its seed alone and says nothing about the behaviour; how it moves is `trajectory`:

    drifting   constant velocity to the left or to the right: whole pixels a frame
    circling   at constant speed on a circle
    bouncing   up and down as a ball thrown on a floor
    growing    in place, from half its size to twice
    still      not at all

Pixels: x to the right, y down, the top left pixel's centre at (0, 0). The shape never turns: inside it the flow is its
velocity, unless it grows. Sizes are (width, height). The same arguments give the same frames on one machine.
"""

import csv
import math
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vimoclip.errors import ConfigError
from vimoclip.video.encode import write_clip

# What the clips of clips.py look like: a textured shape with its shadow, on a still ground, all drawn from a seed.


Image = NDArray[np.uint8]
Plane = NDArray[np.float32]

COLOURS = {
    "red": (214, 48, 49),
    "orange": (240, 140, 30),
    "yellow": (250, 211, 60),
    "blue": (40, 90, 200),
    "purple": (130, 70, 170),
    "white": (240, 240, 235),
}

_SHAPES = ("disc", "square", "triangle", "star")
_GROUNDS = (  # dark and light: grass, sand, water, snow
    ((62, 88, 44), (128, 150, 78)),
    ((150, 122, 82), (214, 190, 142)),
    ((36, 84, 104), (92, 150, 160)),
    ((158, 172, 186), (222, 230, 236)),
)
_LOOK, _PAINT = 0, 1  # streams of `stream`; those of a path are in clips.py


@dataclass(frozen=True)
class Look:
    """What a seed decides of a clip's looks. scale: radius as a part of the frame's shorter side."""

    colour: str
    shape: str
    ground: int
    scale: float

    @classmethod
    def of(cls, seed: int) -> "Look":
        """That of a clip."""
        rng = stream(seed, _LOOK)
        return cls(
            colour=str(rng.choice(list(COLOURS))),
            shape=str(rng.choice(_SHAPES)),
            ground=int(rng.integers(len(_GROUNDS))),
            scale=float(rng.uniform(0.13, 0.2)),
        )

    def radius(self, size: tuple[int, int]) -> int:
        """Pixels; the shape lies inside the circle of this radius."""
        return round(self.scale * min(size))


def stream(seed: int, number: int) -> np.random.Generator:
    """One of the random streams of a clip: none depends on how much another drew."""
    return np.random.default_rng([seed, number])


def draw(seed: int, places: NDArray[np.float64], size: tuple[int, int]) -> Iterator[Image]:
    """The frames of a clip, one by one, each a fresh uint8 (height, width, 3) in RGB.

    places: float64 (frames, 3), the shape's centre and radius, in pixels. Nothing is remembered but one background.
    """
    look, rng = Look.of(seed), stream(seed, _PAINT)
    background = _background(look, size, rng)
    largest = float(places[:, 2].max())
    sprite = _sprite(look, largest, rng)
    middle = sprite.shape[0] // 2
    for x, y, radius in places:
        # At scale 1 and a whole-pixel place this samples the sprite's own pixels: a drifting shape is copied exactly.
        scale = radius / largest
        matrix = np.array([[scale, 0, x - scale * middle], [0, scale, y - scale * middle]])
        placed = cv2.warpAffine(sprite, matrix, size, flags=cv2.INTER_LINEAR)
        yield np.rint(placed[..., :3] + background * (1 - placed[..., 3:])).astype(np.uint8)


def reach(radius: float) -> int:
    """Pixels from the shape's centre to where its shadow has ended."""
    return math.ceil(1.6 * radius) + 2


def _noise(rng: np.random.Generator, size: tuple[int, int], cells: Iterable[float]) -> Plane:
    """Smooth noise in [0, 1], float32 (height, width): an octave a cell size (pixels), each half as strong."""
    width, height = size
    total, weight = np.zeros((height, width), np.float32), 0.0
    for octave, cell in enumerate(cells):
        grid = rng.random((math.ceil(height / cell) + 2, math.ceil(width / cell) + 2), np.float32)
        total += np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC), np.float32) * 0.5**octave
        weight += 0.5**octave
    return np.asarray(np.clip(total / weight, 0, 1), np.float32)


def _background(look: Look, size: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Float32 (height, width, 3) in [0, 255]: ground with patches, blades or ripples and grain, darker to the edges."""
    width, height = size
    side = min(size)
    dark, light = (np.array(colour, np.float32) for colour in _GROUNDS[look.ground])
    mix = _noise(rng, size, (side / 3, side / 8, side / 20, 3, 2))
    mix = np.clip((mix - 0.5) * 1.9 + 0.5, 0, 1)[..., None]
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - 0.22 * (xs**2 + ys**2)[..., None] / 2
    return np.asarray((dark + (light - dark) * mix) * vignette, np.float32)


def _sprite(look: Look, radius: float, rng: np.random.Generator) -> Plane:
    """The shape and its soft shadow: float32 (S, S, 4), S odd: RGB in [0, 255] times alpha, and alpha in [0, 1]."""
    middle = reach(radius)
    side = 2 * middle + 1
    alpha = _outline(look.shape, radius, side)
    patches = _noise(rng, (side, side), (max(2.0, radius / 2), max(2.0, radius / 5)))
    angle = rng.uniform(0, np.pi)
    ys, xs = np.mgrid[:side, :side] - middle
    waves = np.sin((xs * np.cos(angle) + ys * np.sin(angle)) * 2 * np.pi / max(4.0, radius / 2) + 5 * patches)
    shade = 0.66 + 0.22 * waves + 0.5 * (patches - 0.5) - 0.10 * (xs + ys) / radius  # lit from the top left
    colour = np.clip(np.array(COLOURS[look.colour], np.float32) * np.clip(shade, 0.25, 1.1)[..., None], 0, 255)
    offset = round(0.12 * radius)
    shadow = np.roll(alpha, (offset, offset), (0, 1))
    shadow = 0.45 * np.asarray(cv2.GaussianBlur(shadow, (0, 0), max(0.5, 0.1 * radius)), np.float32)
    full = alpha + shadow * (1 - alpha)  # the shadow is black: it has alpha and no colour
    return np.concatenate([colour * alpha[..., None], full[..., None]], axis=2).astype(np.float32)


def _outline(shape: str, radius: float, side: int) -> Plane:
    """1 inside the shape, 0 outside, in between along its edge: float32 (side, side)."""
    fine = 8
    corners = {"disc": 96, "square": 4, "triangle": 3, "star": 10}[shape]
    turn = np.arange(corners) * 2 * np.pi / corners - np.pi / (4 if shape == "square" else 2)
    spokes = np.where(np.arange(corners) % 2, 0.5, 1.0) if shape == "star" else np.ones(corners)
    # Pixel (i, j) of the sprite is a block of fine × fine; the sprite's centre is the centre of its middle block.
    centre = side * fine / 2 - 0.5
    points = centre + (radius * fine * spokes)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    canvas = np.zeros((side * fine, side * fine), np.uint8)
    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], 255)
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


Behaviour = Literal["drifting", "circling", "bouncing", "growing", "still"]

BEHAVIOURS: tuple[Behaviour, ...] = typing.get_args(Behaviour)
SPLITS = ("train", "test", "train", "val", "train")  # in turn, so that two clips of a behaviour already fill two splits


_GROWTH = (0.5, 2.0)
_SMALLEST = 32
_VELOCITY, _PATH = 2, 3  # random streams, beside those of clips.py


@dataclass(frozen=True)
class Clip:
    """One clip of a folder. name: `<behaviour>/<n>`, the path without its suffix. label: the behaviour."""

    name: str
    label: Behaviour
    split: str
    seed: int

    @property
    def colour(self) -> str:
        """The colour of the shape, a key of `shape_pictures.COLOURS`."""
        return Look.of(self.seed).colour


def plan(clips_per_behaviour: int, seed: int = 0) -> list[Clip]:
    """The clips of a folder, behaviour by behaviour. Asking for more of them keeps the ones there were."""
    clips = []
    for number, behaviour in enumerate(BEHAVIOURS):
        for n in range(clips_per_behaviour):
            own = int(np.random.SeedSequence([seed, number, n]).generate_state(1, np.uint64)[0])
            clips.append(Clip(f"{behaviour}/{n:03d}", behaviour, SPLITS[n % len(SPLITS)], own))
    return clips


def velocity(seed: int, size: tuple[int, int] = (320, 240), fps: float = 24.0) -> int:
    """Of a drifting shape: whole pixels a frame, positive to the right, never 0; 0.15 to 0.45 frame widths a second."""
    rng = stream(seed, _VELOCITY)
    direction = int(rng.choice((-1, 1)))
    return direction * max(1, round(float(rng.uniform(0.15, 0.45)) * size[0] / fps))


def trajectory(
    behaviour: Behaviour, seed: int, frames: int = 48, size: tuple[int, int] = (320, 240), fps: float = 24.0
) -> NDArray[np.float64]:
    """Where the shape is: float64 (frames, 3), its centre's x and y and its radius, in pixels.

    It stays inside the frame, but for a drifting shape whose path is longer than the frame is wide: that one leaves
    wholly and enters again from the other side.

    Raises:
        ConfigError: an unknown behaviour, frames under 1, a side under 32 pixels, or fps not above 0.
    """
    _check(behaviour, frames, size, fps)
    width, height = size
    look = Look.of(seed)
    radius = look.radius(size)
    rng = stream(seed, _PATH)
    t = np.arange(frames)
    x, y = np.full(frames, (width - 1) / 2), np.full(frames, (height - 1) / 2)
    r = np.full(frames, radius, np.float64)
    # Room around a resting place in which the shape, at the size it reaches, stays inside.
    room = radius * (_GROWTH[1] if behaviour == "growing" else 1.0) + 1

    if behaviour in ("still", "growing"):
        x[:] = round(rng.uniform(room, width - 1 - room))
        y[:] = round(rng.uniform(room, height - 1 - room))
    if behaviour == "growing":
        r *= np.linspace(*_GROWTH, frames)
    elif behaviour == "drifting":
        step = velocity(seed, size, fps)
        slack = max(0, width - 1 - 2 * math.ceil(room) - abs(step) * (frames - 1))
        start = math.ceil(room) + int(rng.integers(0, slack + 1))
        start = start if step > 0 else width - 1 - start
        margin = reach(radius) + 1
        x[:] = (start + step * t + margin) % (width + 2 * margin) - margin
        y[:] = round(rng.uniform(room, height - 1 - room))
    elif behaviour == "circling":
        orbit = (min(size) / 2 - room) * rng.uniform(0.75, 1.0)
        turns = rng.choice((-1, 1)) * t / fps / rng.uniform(1.2, 2.4) + rng.uniform()
        x += orbit * np.cos(2 * np.pi * turns)
        y += orbit * np.sin(2 * np.pi * turns)
    elif behaviour == "bouncing":
        x[:] = round(rng.uniform(room, width - 1 - room))
        phase = (t / fps / rng.uniform(1.0, 1.6) + rng.uniform()) % 1
        drop = (height - 1 - 2 * room) * rng.uniform(0.7, 1.0)
        y[:] = height - 1 - room - drop * 4 * phase * (1 - phase)
    return np.stack([x, y, r], axis=1)


def render(
    behaviour: Behaviour, seed: int, frames: int = 48, size: tuple[int, int] = (320, 240), fps: float = 24.0
) -> Iterator[Image]:
    """The frames one by one, each a fresh uint8 (height, width, 3) in RGB. Nothing is remembered but one background.

    Raises:
        ConfigError: as `trajectory`, at the call and not at the first frame.
    """
    return draw(seed, trajectory(behaviour, seed, frames, size, fps), size)


def write_folder(
    folder: Path,
    clips_per_behaviour: int = 5,
    frames: int = 48,
    size: tuple[int, int] = (320, 240),
    fps: float = 24.0,
    seed: int = 0,
) -> list[Path]:
    """Write `<folder>/<behaviour>/<n>.mp4` and `<folder>/labels.csv`; returns the clips' paths in the order of `plan`.

    labels.csv has the columns filepath (POSIX, relative to the folder), label, split and colour. It is written last.
    """
    rows, paths = [], []
    for clip in plan(clips_per_behaviour, seed):
        path = folder / f"{clip.name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(write_clip(path, render(clip.label, clip.seed, frames, size, fps), fps))
        rows.append((f"{clip.name}.mp4", clip.label, clip.split, clip.colour))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("filepath", "label", "split", "colour"))
        writer.writerows(rows)
    return paths


def _check(behaviour: str, frames: int, size: tuple[int, int], fps: float) -> None:
    if behaviour not in BEHAVIOURS:
        raise ConfigError("No such behaviour.", received=behaviour, expected=" or ".join(BEHAVIOURS))
    if frames < 1:
        raise ConfigError("A clip needs frames.", received=frames, expected="at least 1")
    if min(size) < _SMALLEST:
        raise ConfigError("The frame is too small.", received=size, expected=f"sides of at least {_SMALLEST} pixels")
    if not 0 < fps < math.inf:
        raise ConfigError("fps must be positive.", received=fps, expected="a finite number above 0")
