"""Sequences with made-up vectors, and the smallest of models, to train in a moment.

sequences(40, seed=1)   40 videos of 1 to 12 steps; the third class moves, the others look different
"""

from typing import Literal

import numpy as np
import torch

from vimoclip.config.fusion import FusionConfig, LossConfig, TfamConfig, TrainingConfig
from vimoclip.sequences.sequences import PackedRows, Sequences

D = 8
CLASSES = ["red", "green", "moving"]
SMALL = TfamConfig(layers=1, width=8, heads=2, feed_forward=16, hidden=8)
CONFIG = FusionConfig(
    tfam=SMALL, loss=LossConfig(name="bce"), training=TrainingConfig(epochs=3, batch_size=4, lr=3e-3, precision="fp32")
)


def sequences(videos: int, seed: int, labels: Literal["several", "one"] = "several") -> Sequences:
    """Videos whose image says `red` or `green`, and whose motion says `moving`; every ninth has no motion."""
    random = np.random.default_rng(seed)
    steps = random.integers(1, 13, videos)
    offsets = np.concatenate([[0], np.cumsum(steps)])
    targets = np.zeros((videos, 3), np.uint8)
    targets[np.arange(videos), random.integers(0, 2 if labels == "several" else 3, videos)] = 1
    if labels == "several":
        targets[:, 2] = random.integers(0, 2, videos)
    values = random.normal(size=(int(offsets[-1]), 2 * D)) * 0.3
    norms = np.ones((len(values), 2), np.float32)
    for video in range(videos):
        rows = slice(offsets[video], offsets[video + 1])
        values[rows, :2] += targets[video, :2]
        values[rows, D] += targets[video, 2]
        if video % 9 == 8:
            norms[rows, 1] = 0
    return Sequences(
        [f"{seed}/{video}.mp4" for video in range(videos)],
        offsets,
        PackedRows([torch.from_numpy(values[:, :D]).half(), torch.from_numpy(values[:, D:]).half()], offsets),
        torch.from_numpy(norms),
        {"image": D, "motion": D},
        "unit",
        CLASSES,
        torch.from_numpy(targets),
    )
