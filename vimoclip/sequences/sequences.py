"""Sequences: the vectors of videos, z_t for t = 1 … T, packed one video after another, and batches of them.

Where long videos are cut (reader.py), what is said of a video here is so of each of its stretches.

Motion at t runs from the frame before, so frame 0 has none: every fusion reads t = 1 … T, and of a video of one frame
that frame, without motion. Vectors lie in an fp16 matrix a role, in the memory of the machine or of the GPU, or in
files that are mapped (cache.py); which rows are a video's, int64 offsets say. There are no worker processes:
cutting a batch out takes a small part of the time of a training step (benchmarks/speed/sequences.py). Reading them from
a store is in reader.py.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vimoclip.config.fusion import Lengths, Modality
from vimoclip.device import free_bytes
from vimoclip.frames import FrameBatch
from vimoclip.models.checkpoint import Meta

# Which videos go into a batch together: those of about one length, so that little of a batch is padding.
#
# An epoch's order is drawn anew from its seed and number: videos are shuffled, those of a pool of many batches are
# sorted by length and cut into batches, and the batches of all pools are shuffled.


MAX_PADDING = 0.05
"""The share of an epoch's steps that may be padding."""

POOL = 128  # batches; the fewer, the more freely videos meet, and the more padding
_LIMITS = (0.5, 0.3, 0.2, 0.15, 0.1, 0.075, MAX_PADDING)  # of one batch

Batches = list[NDArray[np.int64]]


def shuffled_batches(lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> Batches:
    """The batches of an epoch, each of at most `batch_size` videos; every video is in one of them.

    Where padding would exceed `MAX_PADDING`, as between the few longest videos, batches are cut shorter.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    pool = batch_size * POOL
    pools = [_sorted(order[i : i + pool], lengths) for i in range(0, len(order), pool)]
    for limit in _LIMITS:
        batches = [batch for pool in pools for batch in _cut(pool, lengths, batch_size, limit)]
        if padding_share(batches, lengths) <= MAX_PADDING:
            break
    return [batches[i] for i in random.permutation(len(batches))]


def batches_by_length(lengths: NDArray[np.int64], batch_size: int) -> Batches:
    """All videos, the longest first: for scoring, where their order is nothing, and what does not fit fails at once."""
    return _cut(_sorted(np.arange(len(lengths)), lengths), lengths, batch_size, MAX_PADDING)


def padding_share(batches: Batches, lengths: NDArray[np.int64]) -> float:
    """The share of the steps of these batches that is padding."""
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - sum(int(lengths[batch].sum()) for batch in batches) / padded if padded else 0.0


def _sorted(videos: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return videos[np.argsort(-lengths[videos], kind="stable")]  # equally long ones stay shuffled


def _cut(videos: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, limit: float) -> Batches:
    """Batches of videos that are sorted, the longest first; of each, no more than `limit` is padding."""
    batches, first, steps = [], 0, 0
    for i, length in enumerate(lengths[videos].tolist()):
        longest, count = lengths[videos[first]], i - first + 1
        if i > first and (count > batch_size or steps + length < (1 - limit) * count * longest):
            batches.append(videos[first:i])
            first, steps = i, 0
        steps += length
    return [*batches, videos[first:]] if len(videos) else []


MEMORY_FRACTION = 0.6
"""Of the memory that is free, what vectors may take."""


@dataclass(frozen=True)
class Batch:
    """B videos of up to T steps.

    videos: their numbers in `Sequences`, int64 (B,). vectors: of each role, fp32 (B, T, D). present: of each, bool
    (B, T), False in padding and where there is no motion; vectors there are of any value. targets: fp32 (B, C).
    """

    videos: NDArray[np.int64]
    vectors: dict[Modality, Tensor]
    present: dict[Modality, Tensor]
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
        dims: Mapping[Modality, int],
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
        if isinstance(rows, PackedRows) and sum(part.nbytes for part in rows.parts) <= MEMORY_FRACTION * free_bytes(
            device
        ):
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
        vectors, present = dict[Modality, Tensor](), dict[Modality, Tensor]()
        for i, (role, part) in enumerate(zip(self.dims, parts, strict=True)):
            present[role] = within & (norms[..., i] > 0)
            vectors[role] = part.float() if self._lengths == "unit" else part.float() * norms[..., i, None]
        return Batch(videos, vectors, present, self.targets[torch.as_tensor(videos, device=device)].float())

    def epoch(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """All videos in batches of about one length, in the order that seed and epoch decide."""
        return map(self.batch, shuffled_batches(self.steps, batch_size, seed, epoch))

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """All videos in batches of about one length, always in the same order."""
        return map(self.batch, batches_by_length(self.steps, batch_size))

    @property
    def one_each(self) -> bool:
        """Whether every video, or stretch, shows exactly one behaviour."""
        return bool((self.targets.sum(dim=1, dtype=torch.int64) == 1).all())

    def counts(self) -> list[int]:
        """How many videos, or stretches of videos, show each class."""
        return [int(n) for n in self.targets.sum(dim=0, dtype=torch.int64).tolist()]


# Steps: which stored frames of which videos are z_1 … z_T, and in which row each belongs when they are packed.
#
# A video may be whole, or cut into stretches that do not overlap: each is read as a video of its frames alone would be.


Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FrameSampling:
    """Of V stretches of videos: `takes`, whose rows are theirs; `frames`, how many are stored; `counts`, T; `firsts`,
    the frame_index of the first one, 0 of a whole video; each int64 (V,).

    All frames but the first are read, evenly thinned to T of them; of a stretch of one frame, that frame.
    """

    takes: Ints
    frames: Ints
    counts: Ints
    firsts: Ints

    @classmethod
    def of(cls, takes: Ints, frames: Ints, most: int | None, firsts: Ints | None = None) -> "FrameSampling":
        """At most `most` steps of each stretch; of whole videos, each of another take, where `firsts` is None."""
        moments = np.maximum(frames - 1, 1)
        counts = moments if most is None else np.minimum(moments, most)
        return cls(takes, frames, counts, np.zeros(len(takes), np.int64) if firsts is None else firsts)

    @staticmethod
    def alone(frames: int, most: int | None) -> Ints:
        """The steps of one stretch of frames, counted from its first: those of a video of these frames alone."""
        return FrameSampling.of(np.zeros(1, np.int64), np.array([frames], np.int64), most).indices(0)

    @functools.cached_property
    def offsets(self) -> Ints:
        """int64 (V + 1,): stretch v is rows offsets[v] to offsets[v + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def indices(self, stretch: int) -> Ints:
        """The frame_index of each step of a stretch, int64 (T,)."""
        frames, count = int(self.frames[stretch]), int(self.counts[stretch])
        return int(self.firsts[stretch]) + (frames > 1) + np.arange(count) * max(frames - 1, 1) // count

    def rows(self, takes: Ints, indices: Ints) -> Ints:
        """The row of each of these frames, int64; -1 for what is no step."""
        if not len(self.takes):
            return np.full(len(takes), -1)
        stretch = self._last_before(takes, indices)
        frames, count = self.frames[stretch], self.counts[stretch]
        moments, moment = np.maximum(frames - 1, 1), indices - self.firsts[stretch] - (frames > 1)
        step = -(-moment * count // moments)  # the only one that may be ⌊step · moments / count⌋ = moment
        kept = (self.takes[stretch] == takes) & (moment >= 0) & (step < count) & (step * moments // count == moment)
        return np.where(kept, self.offsets[stretch] + step, -1)

    def _last_before(self, takes: Ints, indices: Ints) -> Ints:
        """Of each of these frames the only stretch in which it may lie: the last of its take that begins no later.

        Where there is none, any, in which it does not lie.
        """
        order, known, keys = self._sorted
        take = np.minimum(np.searchsorted(known, takes), len(known) - 1)
        if len(order) == len(known):  # one stretch each
            return order[take]
        return order[np.maximum(np.searchsorted(keys, take * self._beyond + indices, side="right") - 1, 0)]

    @functools.cached_property
    def _beyond(self) -> int:
        """A frame_index past those of all stretches."""
        return int((self.firsts + self.frames).max()) + 1

    @functools.cached_property
    def _sorted(self) -> tuple[Ints, Ints, Ints]:
        """The stretches by take and first frame; the takes, each once; and one number that sorts the stretches so."""
        order = np.lexsort((self.firsts, self.takes))
        known, take = np.unique(self.takes, return_inverse=True)
        return order, known, (take * self._beyond + self.firsts)[order]


# Stretches of frames as the Sequences that a model evaluates: each is the video of its frames alone.


def sample_window(frames: FrameBatch, meta: Meta) -> FrameBatch:
    """What a model reads of a stretch of frames: what it would read of a video of these frames alone, in a copy.

    So the first frame is left out, whose motion runs from a frame before them, and the rest is thinned to the model's
    most_frames. Of a single frame the image is read, and no motion.
    """
    found = frames[FrameSampling.alone(len(frames), meta.config.sequences.most_frames)]
    if len(frames) == 1 and (motion := meta.features.get("motion")) is not None:
        found.features[motion.name].norm[:] = 0
    return found


def pack_windows(steps: Sequence[FrameBatch], meta: Meta) -> Sequences:
    """n stretches, in memory and on the CPU; without names, and without any label.

    steps: of each, what the model reads of it (`sample_window`), with the features of `meta`.
    """
    packed = FrameBatch.concat(steps)
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in steps], dtype=np.int64)])
    names = [source.name for source in meta.features.values()]
    return Sequences(
        [""] * len(steps),
        offsets,
        PackedRows([torch.from_numpy(packed.features[name].values) for name in names], offsets),
        torch.from_numpy(np.stack([packed.features[name].norm for name in names], axis=1)),
        {role: source.dim for role, source in meta.features.items()},
        meta.config.sequences.lengths,
        meta.classes,
        torch.zeros(len(steps), len(meta.classes), dtype=torch.uint8),
    )
