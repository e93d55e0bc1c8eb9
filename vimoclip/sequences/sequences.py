"""Sequences: the vectors of videos, z_t for t = 1 … T, packed one video after another, and batches of them.

Where long videos are cut (stretches.py), what is said of a video here is so of each of its stretches.

Motion at t runs from the frame before, so frame 0 has none: every fusion reads t = 1 … T, and of a video of one frame
that frame, without motion. Vectors lie in an fp16 matrix a role, in the memory of the machine or of the GPU, or in
files that are mapped (sequence_cache.py); which rows are a video's, int64 offsets say. There are no worker processes:
cutting a batch out takes a small part of the time of a training step (benchmarks/sequences.py). Reading them from a
store is in sequence_reader.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vimoclip.config.fusion import Lengths, Role
from vimoclip.device import free_bytes
from vimoclip.sequences.batching import by_length, shuffled

SHARE = 0.6
"""Of the memory that is free, what vectors may take."""


@dataclass(frozen=True)
class Batch:
    """B videos of up to T steps.

    videos: their numbers in `Sequences`, int64 (B,). vectors: of each role, fp32 (B, T, D). present: of each, bool
    (B, T), False in padding and where there is no motion; vectors there are of any value. targets: fp32 (B, C).
    """

    videos: NDArray[np.int64]
    vectors: dict[Role, Tensor]
    present: dict[Role, Tensor]
    targets: Tensor


class Rows(Protocol):
    """Where the vectors of all videos are."""

    def read(self, videos: NDArray[np.int64], steps: int) -> list[Tensor]:
        """Of each role fp16 (B, steps, D): the vectors of videos; of any value beyond a video's end."""


class PackedRows:
    """Matrices in memory, one a role. parts: each (N, D). offsets: int64 (V + 1,), video v is rows offsets[v] to
    offsets[v + 1]."""

    def __init__(self, parts: Sequence[Tensor], offsets: NDArray[np.int64]) -> None:
        self.parts, self._offsets = list(parts), offsets

    def read(self, videos: NDArray[np.int64], steps: int) -> list[Tensor]:
        """As of `Rows`."""
        on_cpu = self.parts[0].device.type == "cpu"
        return (_copied if on_cpu else gathered)(self.parts, self._offsets, videos, steps)


def _copied(parts: list[Tensor], offsets: NDArray[np.int64], videos: NDArray[np.int64], steps: int) -> list[Tensor]:
    """Video by video, which on a CPU is faster than row by row; by numpy, which copies three times as fast as torch."""
    bounds = list(zip(offsets[videos].tolist(), offsets[videos + 1].tolist(), strict=True))
    found = []
    for rows in (part.numpy() for part in parts):
        into = np.empty((len(bounds), steps, rows.shape[1]), rows.dtype)
        for i, (a, b) in enumerate(bounds):
            into[i, : b - a] = rows[a:b]
            if b - a < steps:
                into[i, b - a :] = 0  # or equal batches would differ in what memory held before
        found.append(torch.from_numpy(into))
    return found


def gathered(parts: list[Tensor], offsets: NDArray[np.int64], videos: NDArray[np.int64], steps: int) -> list[Tensor]:
    """By one kernel each. What lies beyond a video's end is rows of others."""
    device = parts[0].device
    first = torch.as_tensor(offsets[videos], device=device)
    rows = (first[:, None] + torch.arange(steps, device=device)).clamp(max=len(parts[0]) - 1)
    return [part[rows] for part in parts]


@dataclass(frozen=True)
class SequenceReport:
    """What became of the videos of a split. videos, stretches, frames: that are in the sequences; a video that is not
    cut is one stretch, and frames are without the first of each.

    Of the stretches: one_frame, of a single frame, whose image is read alone; motionless, longer, and without any
    motion vector, motion is masked; thinned, longer than `most_frames`.
    Videos that are left out: unlabelled, without any label of these classes; unembedded, without vectors of an added
    feature.
    """

    videos: int = 0
    stretches: int = 0
    frames: int = 0
    one_frame: int = 0
    motionless: int = 0
    thinned: int = 0
    unlabelled: int = 0
    unembedded: int = 0

    @property
    def cut(self) -> bool:
        """Whether a video is in several stretches."""
        return self.stretches > self.videos


class Sequences:
    """The sequences of V videos, or stretches of videos.

    video_ids: V names, of each stretch its video's. offsets: int64 (V + 1,). steps: T of each video. dims: the width D
    of each role, in the order in which `rows` has them. norms: fp32 (N, roles), the lengths of the raw vectors, 0 where
    there is none. lengths: of the vectors in a batch, `unit` or `raw`. classes: C names. targets: uint8 (V, C), 1 where
    a video shows one.
    """

    def __init__(
        self,
        video_ids: Sequence[str],
        offsets: NDArray[np.int64],
        rows: Rows,
        norms: Tensor,
        dims: Mapping[Role, int],
        lengths: Lengths,
        classes: Sequence[str],
        targets: Tensor,
        report: SequenceReport | None = None,
    ) -> None:
        self.video_ids, self.offsets, self.dims, self.classes = list(video_ids), offsets, dict(dims), list(classes)
        self.steps: NDArray[np.int64] = np.diff(offsets)
        self.targets = targets
        count = len(self.video_ids)
        self.report = report or SequenceReport(videos=count, stretches=count, frames=int(offsets[-1]))
        self.rows, self._lengths = rows, lengths
        self._norms = PackedRows([norms], offsets)

    def __len__(self) -> int:
        return len(self.video_ids)

    def to(self, device: torch.device) -> "Sequences":
        """The same with its batches on a device, and with vectors that are in memory there too, where they fit."""
        rows = self.rows
        if isinstance(rows, PackedRows) and sum(part.nbytes for part in rows.parts) <= SHARE * free_bytes(device):
            rows = PackedRows([part.to(device) for part in rows.parts], self.offsets)
        return Sequences(
            self.video_ids,
            self.offsets,
            rows,
            self._norms.parts[0].to(device),
            self.dims,
            self._lengths,
            self.classes,
            self.targets.to(device),
            self.report,
        )

    def batch(self, videos: NDArray[np.int64]) -> Batch:
        """The videos of these numbers, padded to the longest, on the device of labels and norms."""
        device, steps = self.targets.device, int(self.steps[videos].max())
        parts = self.rows.read(videos, steps)
        if parts[0].device != device:  # vectors that did not fit there
            parts = [part.pin_memory().to(device, non_blocking=True) for part in parts]
        (norms,) = self._norms.read(videos, steps)
        within = torch.arange(steps, device=device) < torch.as_tensor(self.steps[videos], device=device)[:, None]
        vectors, present = dict[Role, Tensor](), dict[Role, Tensor]()
        for i, (role, part) in enumerate(zip(self.dims, parts, strict=True)):
            present[role] = within & (norms[..., i] > 0)
            vectors[role] = part.float() if self._lengths == "unit" else part.float() * norms[..., i, None]
        return Batch(videos, vectors, present, self.targets[torch.as_tensor(videos, device=device)].float())

    def epoch(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """All videos in batches of about one length, in the order that seed and epoch decide."""
        return map(self.batch, shuffled(self.steps, batch_size, seed, epoch))

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """All videos in batches of about one length, always in the same order."""
        return map(self.batch, by_length(self.steps, batch_size))

    @property
    def one_each(self) -> bool:
        """Whether every video, or stretch, shows exactly one behaviour."""
        return bool((self.targets.sum(dim=1, dtype=torch.int64) == 1).all())

    def counts(self) -> list[int]:
        """How many videos, or stretches of videos, show each class."""
        return [int(n) for n in self.targets.sum(dim=0, dtype=torch.int64).tolist()]
