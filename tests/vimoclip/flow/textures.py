"""Moving texture with known motion, for the tests of flow."""

import cv2
import numpy as np
from numpy.typing import NDArray


def texture(height: int, width: int, blur: float, seed: int = 0) -> NDArray[np.uint8]:
    """Blurred noise over the full range: uint8 (height, width, 3), `blur` in pixels."""
    noise = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    return cv2.normalize(smooth, np.empty_like(smooth), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def shifted(
    height: int, width: int, right: int, down: int, blur: float = 8, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two windows on one texture, the second's content `right` and `down` pixels from the first's."""
    margin = max(abs(right), abs(down))
    whole = texture(height + 2 * margin, width + 2 * margin, blur, seed)
    first = whole[margin : margin + height, margin : margin + width]
    second = whole[margin - down : margin - down + height, margin - right : margin - right + width]
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


def scene(step: int) -> NDArray[np.uint8]:
    """A 640 x 360 frame of three textured bodies crossing a still, textured background, with a camera's noise."""
    frame = texture(360, 640, 3).astype(np.float32)
    for body, (x, y, right, down, radius) in enumerate(
        [(200, 150, 4, 1, 60), (450, 220, -3, 2, 45), (330, 300, 1, -4, 30)]
    ):
        mask = np.zeros((360, 640), np.float32)
        cv2.ellipse(mask, (x + right * step, y + down * step), (radius * 3 // 2, radius), 20 * body, 0, 360, 1, -1)
        coat = np.roll(texture(360, 640, 4, seed=body + 1), (down * step, right * step), (0, 1))
        frame += cv2.GaussianBlur(mask, (0, 0), 1.5)[..., None] * (coat - frame)
    frame += np.random.default_rng(step).normal(0, 4, frame.shape)
    return np.clip(frame, 0, 255).astype(np.uint8)
