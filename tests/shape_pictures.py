"""What the clips of shapes.py look like: a textured shape with its shadow, on a still ground, all drawn from a seed."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

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
_LOOK, _PAINT = 0, 1  # streams of `stream`; those of a path are in shapes.py


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
