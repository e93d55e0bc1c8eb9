"""Predictions that no model made."""

from collections.abc import Sequence

import numpy as np

from vimoclip.prediction.predictions import Prediction, Predictions, predicted_bouts

CLASSES = ("walks", "rests")
THRESHOLD = 0.5


def prediction(
    video: str,
    windows: Sequence[tuple[float, float]],
    probabilities: Sequence[Sequence[float]],
    classes: tuple[str, ...] = CLASSES,
    path: str = "",
) -> Prediction:
    """Of a video whose last window ends with it. path: by default below /videos."""
    starts, ends = np.array(windows, np.float64).T
    found = np.array(probabilities, np.float32)
    duration = float(ends[-1])
    bouts = predicted_bouts(classes, starts, ends, found, THRESHOLD)
    frames = round(25 * duration)
    return Prediction(
        video, path or f"/videos/{video}", True, frames, duration, 25.0, classes, starts, ends, found, bouts
    )


def predictions(*found: Prediction, window_s: float | None = None) -> Predictions:
    """All of them, of a run."""
    return Predictions("runs/x", window_s, window_s and window_s / 2, THRESHOLD, found)
