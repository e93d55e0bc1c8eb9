"""Stretches of frames as the Sequences that a model evaluates: each is the video of its frames alone."""

from collections.abc import Sequence

import numpy as np
import torch

from vimoclip.frames import FrameVectors
from vimoclip.models.checkpoint import Meta
from vimoclip.sequences.sequences import PackedRows, Sequences


def steps_of(frames: FrameVectors, meta: Meta) -> FrameVectors:
    """What a model reads of a stretch; see `FrameVectors.steps`."""
    motion = meta.features.get("motion")
    return frames.steps(meta.config.sequences.most_frames, None if motion is None else motion.name)


def sequences_of(steps: Sequence[FrameVectors], meta: Meta) -> Sequences:
    """n stretches, in memory and on the CPU; without names, and without any label.

    steps: of each, what the model reads of it (`steps_of`), with the features of `meta`.
    """
    packed = FrameVectors.joined(steps)
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in steps], dtype=np.int64)])
    names = [source.name for source in meta.features.values()]
    return Sequences(
        [""] * len(steps),
        offsets,
        PackedRows([torch.from_numpy(packed.values[name]) for name in names], offsets),
        torch.from_numpy(np.stack([packed.norms[name] for name in names], axis=1)),
        {role: source.dim for role, source in meta.features.items()},
        meta.config.sequences.lengths,
        meta.classes,
        torch.zeros(len(steps), len(meta.classes), dtype=torch.uint8),
    )
