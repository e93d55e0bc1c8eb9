"""Light and weather: what they do to colours, and what falls through the picture."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vimoclip.savannah.drawing import Colour, Grid, mix

Light = Literal["dawn", "noon", "dusk", "night"]
Weather = Literal["clear", "rain", "fog", "dust"]

LIGHTS: tuple[Light, ...] = get_args(Light)
WEATHERS: tuple[Weather, ...] = get_args(Weather)


@dataclass(frozen=True)
class Sky:
    """zenith, rim: the sky's colours above and at the horizon. gains: by which red, green and blue light is dimmed.

    disc: of the sun or the moon. glow: how far its halo reaches, pixels. shadow: how dark it is in one, 0 to 1.
    """

    zenith: Colour
    rim: Colour
    gains: tuple[float, float, float]
    disc: Colour
    glow: float
    shadow: float


SKIES: dict[Light, Sky] = {
    "dawn": Sky((126, 156, 204), (255, 206, 176), (1.0, 0.9, 0.84), (255, 238, 206), 62, 0.34),
    "noon": Sky((84, 150, 222), (196, 224, 240), (1.0, 1.0, 0.98), (255, 252, 236), 40, 0.5),
    "dusk": Sky((92, 72, 128), (255, 146, 74), (1.0, 0.76, 0.6), (255, 214, 120), 80, 0.36),
    "night": Sky((12, 18, 44), (44, 62, 104), (0.46, 0.53, 0.76), (232, 236, 244), 34, 0.3),
}

_HAZES: dict[Weather, tuple[float, Colour]] = {
    "clear": (0.16, (206, 218, 228)),
    "rain": (0.42, (138, 148, 158)),
    "fog": (0.9, (214, 218, 220)),
    "dust": (0.66, (222, 190, 146)),
}
"""How much of the farthest is hidden, and by what colour."""


def haze(light: Light, weather: Weather) -> tuple[float, Colour]:
    """How much of the farthest things the air hides, 0 to 1, and its colour in that light."""
    strength, colour = _HAZES[weather]
    red, green, blue = (round(value * gain) for value, gain in zip(colour, SKIES[light].gains, strict=True))
    if weather == "clear":
        return strength, SKIES[light].rim
    return strength, (red, green, blue)


def lit(colours: Grid, light: Light) -> Grid:
    """Colours of things, float64 (..., 3), in that light."""
    return np.asarray(colours * np.asarray(SKIES[light].gains))


def hazy(colours: Grid, light: Light, weather: Weather, far: Grid | float) -> Grid:
    """Colours, float64 (h, w, 3), behind so much air: 0 near, 1 at the horizon."""
    strength, colour = haze(light, weather)
    return mix(colours, colour, np.broadcast_to(np.asarray(strength * far, np.float64), colours.shape[:2]))


def rain(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Streaks to be added to a frame: uint8 (h, w, 3), seamless when rolled around."""
    width, height = size
    drops = np.zeros((height, width), np.int64)
    count = width * height // 420
    xs, ys = rng.integers(0, width, count), rng.integers(0, height, count)
    lengths, bright = rng.integers(6, 13, count), rng.integers(16, 46, count)
    for n in range(13):
        on = lengths > n
        np.maximum.at(drops, ((ys + n) % height, (xs - n // 5) % width), np.where(on, bright, 0))
    return np.repeat(drops[..., None], 3, 2).astype(np.uint8)
