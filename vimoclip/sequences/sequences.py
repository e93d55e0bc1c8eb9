"""Sequences: the vectors of videos, z_t for t = 1 … T, packed one video after another, and batches of them.

Where long videos are cut into training clips (reader.py), "video" here means each clip.

Motion at t runs from the frame before, so frame 0 has none: every fusion reads t = 1 … T, and of a video of one frame
that frame, without motion. Vectors lie in an fp16 matrix a role, in the memory of the machine or of the GPU, or in
mapped files (cache.py); int64 offsets say which rows are a video's. There are no worker processes: cutting out a batch
takes a small part of the time of a training step (benchmarks/speed/sequences.py). reader.py reads them from a store.

Also here: `shuffled_batches` and `batches_by_length`, which videos share a batch; `cut_by_length`, which are computed
together; `FrameSampling`, which stored frames are the steps; `sample_window` and `pack_windows`, runs of frames as
Sequences that a model evaluates.
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

MAX_PADDING = 0.05
"""The share of the steps that a model computes in an epoch that may be padding."""

POOL = 128  # batches; fewer mix videos more freely, and pad more

BATCHING = 2
"""The version of `shuffled_batches` and `Sequences.parts`, which the numbers of a run follow from."""

Batches = list[NDArray[np.int64]]


def even_batches(items: NDArray[np.int64], batch_size: int) -> Batches:
    """Cut items into the fewest batches of at most `batch_size`; the sizes differ by 1 at most."""
    return np.array_split(items, -(-len(items) // batch_size)) if len(items) else []


def shuffled_batches(lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> Batches:
    """Draw the batches of an epoch: videos of similar length, so that little of a batch is padding.

    Every video is in one batch. There are as many batches as full ones would be, and they are equally large, but for
    one video: each is a step of the optimizer, so that all videos weigh the same whatever their lengths. Videos are
    shuffled, those of a pool of many batches are sorted by length and cut into batches, and the batches of all pools
    are shuffled. Where a batch has videos of very different lengths, as a small set has, it is computed in parts
    (`cut_by_length`).

    Args:
        lengths: steps of each video, int64 (V,).
        batch_size: most videos of a batch.
        seed: of the run.
        epoch: its number; seed and number decide the order.

    Returns:
        The numbers of the videos of each batch, the longest first.
    """
    random = np.random.default_rng([seed, epoch])
    drawn = even_batches(random.permutation(len(lengths)), batch_size)
    batches: Batches = []
    for pool in even_batches(np.arange(len(drawn)), POOL):
        own = [drawn[number] for number in pool]
        ends = np.cumsum([len(batch) for batch in own])[:-1]
        batches += np.split(_sorted(np.concatenate(own), lengths), ends)
    return [batches[i] for i in random.permutation(len(batches))]


def cut_by_length(batch: NDArray[np.int64], lengths: NDArray[np.int64]) -> Batches:
    """Cut a batch into parts of similar length, of each of which no more than `MAX_PADDING` is padding.

    Args:
        batch: the numbers of its videos.
        lengths: steps of every video, int64 (V,).

    Returns:
        The numbers of the videos of each part, the longest first.
    """
    return _cut(_sorted(batch, lengths), lengths, len(batch), MAX_PADDING)


def batches_by_length(lengths: NDArray[np.int64], batch_size: int) -> Batches:
    """Batch all videos, the longest first: for scoring, where order does not matter and too large fails at once."""
    return _cut(_sorted(np.arange(len(lengths)), lengths), lengths, batch_size, MAX_PADDING)


def padding_share(batches: Batches, lengths: NDArray[np.int64]) -> float:
    """Compute the share of the steps of these batches that is padding."""
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - sum(int(lengths[batch].sum()) for batch in batches) / padded if padded else 0.0


def _sorted(videos: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return videos[np.argsort(-lengths[videos], kind="stable")]  # equally long ones stay shuffled


def _cut(videos: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, limit: float) -> Batches:
    """Cut videos that are sorted, the longest first, into batches of which no more than `limit` is padding."""
    batches, first, steps = [], 0, 0
    for i, length in enumerate(lengths[videos].tolist()):
        longest, count = lengths[videos[first]], i - first + 1
        if i > first and (count > batch_size or steps + length < (1 - limit) * count * longest):
            batches.append(videos[first:i])
            first, steps = i, 0
        steps += length
    return [*batches, videos[first:]] if len(videos) else []


MEMORY_FRACTION = 0.6
"""The share of free memory that vectors may take."""


@dataclass(frozen=True)
class Batch:
    """B videos of up to T steps.

    Attributes:
        videos: their numbers in `Sequences`, int64 (B,).
        vectors: of each role, fp32 (B, T, D); of any value where they are not present.
        present: of each role, bool (B, T); False in padding and where there is no motion.
        targets: fp32 (B, C).
    """

    videos: NDArray[np.int64]
    vectors: dict[Modality, Tensor]
    present: dict[Modality, Tensor]
    targets: Tensor


class Rows(Protocol):
    """Where the vectors of all videos are."""

    def read(self, videos: NDArray[np.int64], steps: int) -> list[Tensor]:
        """Read the vectors of videos.

        Args:
            videos: their numbers, int64 (B,).
            steps: how many of each.

        Returns:
            For each role fp16 (B, steps, D); of any value beyond a video's end.
        """


class PackedRows:
    """Vectors in memory, as one matrix a role.

    Args:
        parts: for each role (N, D).
        offsets: int64 (V + 1,); video v is rows offsets[v] to offsets[v + 1].
    """

    def __init__(self, parts: Sequence[Tensor], offsets: NDArray[np.int64]) -> None:
        self.parts, self._offsets = list(parts), offsets

    def read(self, videos: NDArray[np.int64], steps: int) -> list[Tensor]:
        """Read the vectors of videos; see `Rows`."""
        on_cpu = self.parts[0].device.type == "cpu"
        return (_copied if on_cpu else gathered)(self.parts, self._offsets, videos, steps)


class ChosenRows:
    """Some of the videos of other rows.

    Args:
        rows: of all videos.
        videos: the numbers of the chosen ones in them, int64 (V,).
    """

    def __init__(self, rows: Rows, videos: NDArray[np.int64]) -> None:
        self._rows, self._videos = rows, videos

    def read(self, videos: NDArray[np.int64], steps: int) -> list[Tensor]:
        """Read the vectors of videos; see `Rows`."""
        return self._rows.read(self._videos[videos], steps)


def _copied(parts: list[Tensor], offsets: NDArray[np.int64], videos: NDArray[np.int64], steps: int) -> list[Tensor]:
    """Copy video by video, which on a CPU is faster than row by row; by numpy, three times as fast as torch."""
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
    """Gather the vectors of videos by one kernel a role; beyond a video's end lie rows of others. As `Rows.read`."""
    device = parts[0].device
    first = torch.as_tensor(offsets[videos], device=device)
    rows = (first[:, None] + torch.arange(steps, device=device)).clamp(max=len(parts[0]) - 1)
    return [part[rows] for part in parts]


@dataclass(frozen=True)
class SequenceReport:
    """What became of the videos of a split.

    Attributes:
        videos: those in the sequences.
        stretches: their training clips; a video that is not cut is one.
        frames: of the clips, without the first of each.
        one_frame: clips of a single frame, whose image is read alone.
        motionless: longer clips without any motion vector, in which motion is masked.
        imageless: clips without any image vector, of those that were made elsewhere.
        thinned: clips longer than `most_frames`.
        unlabelled: videos left out because they have no label of these classes.
        unembedded: videos left out because they lack vectors of an added feature.
    """

    videos: int = 0
    stretches: int = 0
    frames: int = 0
    one_frame: int = 0
    motionless: int = 0
    imageless: int = 0
    thinned: int = 0
    unlabelled: int = 0
    unembedded: int = 0

    @property
    def cut(self) -> bool:
        """Whether any video is cut into several clips."""
        return self.stretches > self.videos


class Sequences:
    """The sequences of V videos, or training clips of videos.

    Args:
        video_ids: V names; a clip has its video's.
        offsets: int64 (V + 1,); video v is rows offsets[v] to offsets[v + 1].
        rows: where the vectors are.
        norms: lengths of the raw vectors, fp32 (N, roles); 0 where there is none.
        dims: the width D of each role, in the order in which `rows` has them.
        lengths: of the vectors in a batch, `unit` or `raw`.
        classes: C names.
        targets: uint8 (V, C), 1 where a video shows a class.
        report: what became of the videos that were asked for.

    Attributes:
        steps: T of each video, int64 (V,).
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
        """Return the same with its batches on a device; vectors in memory go there too, where they fit."""
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

    def only(self, videos: NDArray[np.int64]) -> "Sequences":
        """Return the same of some videos only, by their numbers, int64 (n,). Vectors are not copied."""
        steps = self.steps[videos]
        offsets = np.concatenate([[0], np.cumsum(steps)])
        own = np.repeat(self.offsets[:-1][videos] - offsets[:-1], steps) + np.arange(int(offsets[-1]))
        norms = self._norms.parts[0]
        return Sequences(
            [self.video_ids[video] for video in videos],
            offsets,
            ChosenRows(self.rows, videos),
            norms[torch.as_tensor(own, device=norms.device)],
            self.dims,
            self._lengths,
            self.classes,
            self.targets[torch.as_tensor(videos, device=self.targets.device)],
        )

    def batch(self, videos: NDArray[np.int64]) -> Batch:
        """Cut out the videos of these numbers, padded to the longest, on the device of labels and norms."""
        device, steps = self.targets.device, int(self.steps[videos].max())
        parts = self.rows.read(videos, steps)
        if parts[0].device != device:  # vectors that did not fit there
            pinned = [part.pin_memory() for part in parts] if device.type == "cuda" else parts
            parts = [part.to(device, non_blocking=True) for part in pinned]
        (norms,) = self._norms.read(videos, steps)
        within = torch.arange(steps, device=device) < torch.as_tensor(self.steps[videos], device=device)[:, None]
        vectors, present = dict[Modality, Tensor](), dict[Modality, Tensor]()
        for i, (role, part) in enumerate(zip(self.dims, parts, strict=True)):
            present[role] = within & (norms[..., i] > 0)
            vectors[role] = part.float() if self._lengths == "unit" else part.float() * norms[..., i, None]
        return Batch(videos, vectors, present, self.targets[torch.as_tensor(videos, device=device)].float())

    def parts(self, batch: Batch) -> list[Batch]:
        """Cut a batch into parts of similar length, each padded to its own longest (`cut_by_length`)."""
        lengths = self.steps[batch.videos]
        cut = cut_by_length(np.arange(len(lengths)), lengths)
        if len(cut) == 1:
            return [batch]
        found = []
        for rows in cut:
            steps, chosen = int(lengths[rows].max()), torch.from_numpy(rows).to(batch.targets.device)
            vectors = {role: z[chosen, :steps] for role, z in batch.vectors.items()}
            present = {role: there[chosen, :steps] for role, there in batch.present.items()}
            found.append(Batch(batch.videos[rows], vectors, present, batch.targets[chosen]))
        return found

    def epoch(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield all videos in batches of similar length, in the order that seed and epoch decide."""
        return map(self.batch, shuffled_batches(self.steps, batch_size, seed, epoch))

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Yield all videos in batches of similar length, always in the same order."""
        return map(self.batch, batches_by_length(self.steps, batch_size))

    @property
    def one_each(self) -> bool:
        """Whether every video, or clip, shows exactly one behaviour."""
        return bool((self.targets.sum(dim=1, dtype=torch.int64) == 1).all())

    def counts(self) -> list[int]:
        """Count the videos, or clips, that show each class."""
        return [int(n) for n in self.targets.sum(dim=0, dtype=torch.int64).tolist()]


Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FrameSampling:
    """Which stored frames are the steps z_1 … z_T of V videos or clips, and in which row each is packed.

    Clips of a video do not overlap, and each is read as a video of its frames alone would be. All frames but the first
    are read, evenly thinned to T of them; of a clip of one frame, that frame.

    Attributes:
        takes: of each clip, int64 (V,).
        frames: how many of its frames are stored, int64 (V,).
        counts: T, int64 (V,).
        firsts: the frame_index of its first frame, 0 for a whole video, int64 (V,).
    """

    takes: Ints
    frames: Ints
    counts: Ints
    firsts: Ints

    @classmethod
    def of(cls, takes: Ints, frames: Ints, most: int | None, firsts: Ints | None = None) -> "FrameSampling":
        """Sample at most `most` steps of each clip.

        Args:
            takes: of each clip, int64 (V,).
            frames: how many it has, int64 (V,).
            most: most steps; None thins nothing.
            firsts: the frame_index of its first frame; None means whole videos, each with a take of its own.
        """
        moments = np.maximum(frames - 1, 1)
        counts = moments if most is None else np.minimum(moments, most)
        return cls(takes, frames, counts, np.zeros(len(takes), np.int64) if firsts is None else firsts)

    @staticmethod
    def alone(frames: int, most: int | None) -> Ints:
        """Return the steps of a run of frames read as a video of its own, int64 (T,), counted from its first frame."""
        return FrameSampling.of(np.zeros(1, np.int64), np.array([frames], np.int64), most).indices(0)

    @functools.cached_property
    def offsets(self) -> Ints:
        """int64 (V + 1,): clip v is rows offsets[v] to offsets[v + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def indices(self, stretch: int) -> Ints:
        """Return the frame_index of each step of a clip, int64 (T,)."""
        frames, count = int(self.frames[stretch]), int(self.counts[stretch])
        return int(self.firsts[stretch]) + (frames > 1) + np.arange(count) * max(frames - 1, 1) // count

    def rows(self, takes: Ints, indices: Ints) -> Ints:
        """Find the row of each of n frames, int64 (n,); -1 for a frame that is not a step.

        Args:
            takes: of the frames, int64 (n,).
            indices: their frame_index, int64 (n,).
        """
        if not len(self.takes):
            return np.full(len(takes), -1)
        stretch = self._last_before(takes, indices)
        frames, count = self.frames[stretch], self.counts[stretch]
        moments, moment = np.maximum(frames - 1, 1), indices - self.firsts[stretch] - (frames > 1)
        step = -(-moment * count // moments)  # the only one that may be ⌊step · moments / count⌋ = moment
        kept = (self.takes[stretch] == takes) & (moment >= 0) & (step < count) & (step * moments // count == moment)
        return np.where(kept, self.offsets[stretch] + step, -1)

    def _last_before(self, takes: Ints, indices: Ints) -> Ints:
        """For each frame, the only clip that may hold it: the last of its take that begins no later.

        Where there is none, any clip, which does not hold it.
        """
        order, known, keys = self._sorted
        take = np.minimum(np.searchsorted(known, takes), len(known) - 1)
        if len(order) == len(known):  # one clip each
            return order[take]
        return order[np.maximum(np.searchsorted(keys, take * self._beyond + indices, side="right") - 1, 0)]

    @functools.cached_property
    def _beyond(self) -> int:
        """A frame_index past those of all clips."""
        return int((self.firsts + self.frames).max()) + 1

    @functools.cached_property
    def _sorted(self) -> tuple[Ints, Ints, Ints]:
        """The clips by take and first frame; the takes, each once; and one number that sorts the clips that way."""
        order = np.lexsort((self.firsts, self.takes))
        known, take = np.unique(self.takes, return_inverse=True)
        return order, known, (take * self._beyond + self.firsts)[order]


def sample_window(frames: FrameBatch, meta: Meta) -> FrameBatch:
    """Return what a model reads of a window: what it would read of a video of these frames alone, in a copy.

    So the first frame, whose motion runs from a frame before the window, is left out, and the rest is thinned to the
    model's most_frames. Of a single frame the image is read, and no motion.

    Args:
        frames: of the window.
        meta: of the model's run.
    """
    found = frames[FrameSampling.alone(len(frames), meta.config.sequences.most_frames)]
    if len(frames) == 1 and (motion := meta.features.get("motion")) is not None:
        found.features[motion.name].norm[:] = 0
    return found


def pack_windows(steps: Sequence[FrameBatch], meta: Meta) -> Sequences:
    """Pack n windows into Sequences, in memory and on the CPU; without names or labels.

    Args:
        steps: what the model reads of each window (`sample_window`), with the features of `meta`.
        meta: of the model's run.
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
