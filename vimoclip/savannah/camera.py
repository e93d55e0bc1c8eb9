"""Where the camera looks: whole pixels, so that the background of a clip is painted once and only cut out."""

from typing import Literal, get_args

import numpy as np

Camera = Literal["still", "panning", "shaking"]

CAMERAS: tuple[Camera, ...] = get_args(Camera)
PAN = 1
"""Pixels a frame."""
SHAKE = 3
"""Pixels to each side, at most."""


def path(camera: Camera, frames_count: int, heading: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """The frame's top left corner in the scene, by frame. Halfway through, a panning camera is at (0, 0).

    heading: +1 or -1, the way a panning camera goes.
    """
    if camera == "panning":
        return [(heading * PAN * (t - frames_count // 2), 0) for t in range(frames_count)]
    if camera == "still":
        return [(0, 0)] * frames_count
    x = y = 0
    out = []
    for dx, dy in rng.integers(-1, 2, (frames_count, 2)).tolist():
        x, y = min(SHAKE, max(-SHAKE, x + dx)), min(SHAKE, max(-SHAKE, y + dy))
        out.append((x, y))
    return out


def margin(frames_count: int) -> int:
    """Pixels that a scene must reach beyond the frame on each side, for every camera."""
    return PAN * (frames_count // 2 + 1) + SHAKE
