"""Segments: at most so many consecutive frames with flow of one video, what the motion student is trained on.

Of a frame there is the flow as it is served, z_image, and of its video the labels. A video of T frames with flow is cut
into the fewest segments that are short enough, as evenly as can be; each frame is in one. Vectors and flow are kept in
memory where they fit, else read from files and from the store (reader.py, motion_dataset.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.videos import Video
from vimoclip.config.fusion import SequenceConfig
from vimoclip.device import free_bytes
from vimoclip.errors import RunError, StoreDamagedError
from vimoclip.flow.encoding import decode_flow
from vimoclip.sequences.reader import read_sequences
from vimoclip.sequences.sequences import MEMORY_FRACTION, FrameSampling, SequenceReport, Sequences
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table

# The encoded flow of the steps of many videos, in memory where it fits, else read as it is asked for.


def open_flow(store: FeatureStore) -> Table:
    """The table of a store's flow.

    Raises:
        RunError: the store keeps none.
    """
    if not store.config.keep_flow:
        raise RunError(
            f"The store {store.place} keeps no flow, which a motion student is shown.",
            received="a store made with --no-keep-flow",
            expected="a store that keeps it",
            hint="Ingest the videos into another store without --no-keep-flow.",
        )
    return store.tables["flow"]


class FlowRows:
    """The flow of N steps. table: `flow`. at: int64 (N,), the row of each, in the table or, where it is held, among the
    `held` ones, which lie one chunk after another."""

    def __init__(self, table: Table, at: NDArray[np.int64], held: Sequence[pa.BinaryArray] | None) -> None:
        self._table, self._at, self._held = table, at, held
        self._starts = np.cumsum([0, *(len(chunk) for chunk in held or [])])

    @property
    def held(self) -> bool:
        """Whether it is in memory."""
        return self._held is not None

    def planes(self, steps: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The codes of these steps, as they are served: uint8 (n, 2, 224, 224).

        Raises:
            StoreDamagedError: one cannot be decoded.
        """
        rows = self._at[steps]
        if self._held is None:
            found = self._table.take(rows, ["flow"])["flow"].to_pylist()
        else:
            chunks = np.searchsorted(self._starts, rows, side="right") - 1
            places = zip(chunks.tolist(), (rows - self._starts[chunks]).tolist(), strict=True)
            found = [self._held[chunk][row].as_py() for chunk, row in places]
        return np.stack([decode_flow(data) for data in found])


def read_flow(table: Table, steps: FrameSampling, hold: bool | None = None) -> FlowRows:
    """The flow of steps. hold: in memory; None is where it fits.

    Raises:
        StoreDamagedError: rows are missing.
    """
    if hold is None:
        hold = table.place.size("flow") <= MEMORY_FRACTION * free_bytes(torch.device("cpu"))
    at = np.full(int(steps.offsets[-1]), -1)
    held, count = list[pa.BinaryArray](), 0
    for batch in table.batches(["take", "frame_index", "flow"] if hold else ["take", "frame_index"]):
        rows = steps.rows(batch["take"].to_numpy(), batch["frame_index"].to_numpy().astype(np.int64))
        wanted = rows >= 0
        if hold:
            held.append(batch["flow"].filter(pa.array(wanted)))
            at[rows[wanted]] = count + np.arange(len(held[-1]))
            count += len(held[-1])
        else:
            at[rows[wanted]] = count + np.flatnonzero(wanted)
            count += len(batch)
    if lost := int((at < 0).sum()):
        raise StoreDamagedError(
            f"The table flow of {table.place} lacks frames.",
            received=f"{len(at) - lost} frames",
            expected=len(at),
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    return FlowRows(table, at, held if hold else None)


def rows_by_take(table: Table) -> dict[int, int]:
    """How many rows of `flow` each take has."""
    parts = [np.unique(batch["take"].to_numpy(), return_counts=True) for batch in table.batches(["take"], rows=1 << 20)]
    found = dict[int, int]()
    for takes, counts in parts:
        for take, count in zip(takes.tolist(), counts.tolist(), strict=True):
            found[take] = found.get(take, 0) + count
    return found


Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ClipBatch:
    """B segments of N frames in all, one segment after another.

    videos: of each segment, its number, int64 (B,). counts: the frames of each, int64 (B,). planes: uint8
    (N, 2, 224, 224), codes of flow. images: z_image at unit length, fp32 (N, D). targets: fp32 (B, C).
    """

    videos: Ints
    counts: Ints
    planes: NDArray[np.uint8]
    images: Tensor
    targets: Tensor


@dataclass(frozen=True)
class ClipReport:
    """What became of the videos of a split. videos, frames, segments: that are in the segments.

    Left out: unlabelled, without a label of these classes; one_frame, of a single frame, which has no flow; flowless,
    of which the store has not the flow of every frame; unembedded, without vectors of an added feature.
    """

    videos: int = 0
    frames: int = 0
    segments: int = 0
    unlabelled: int = 0
    one_frame: int = 0
    flowless: int = 0
    unembedded: int = 0


@dataclass(frozen=True, eq=False)
class MotionClips:
    """S segments. sequences: z_image and the labels of their videos. flow: of the same steps. video, first, count: of
    each segment its video's number, its first step in it and how many, int64 (S,)."""

    sequences: Sequences
    flow: FlowRows
    video: Ints
    first: Ints
    count: Ints
    report: ClipReport = field(default_factory=ClipReport)

    def __len__(self) -> int:
        return len(self.video)

    @property
    def classes(self) -> list[str]:
        """Names of the behaviours, in the order of the targets."""
        return self.sequences.classes

    def batch(self, segments: Ints) -> ClipBatch:
        """These segments, on the CPU.

        Raises:
            StoreDamagedError: their flow cannot be decoded.
        """
        own = self.sequences
        parts, steps = list[Tensor](), list[Ints]()
        for video, first, count in zip(
            self.video[segments].tolist(), self.first[segments].tolist(), self.count[segments].tolist(), strict=True
        ):
            (rows,) = own.rows.read(np.array([video]), int(own.steps[video]))
            parts.append(rows[0, first : first + count].float())
            steps.append(own.offsets[video] + first + np.arange(count))
        videos = self.video[segments]
        targets = own.targets[torch.from_numpy(videos)].float()
        return ClipBatch(
            videos, self.count[segments], self.flow.planes(np.concatenate(steps)), torch.cat(parts), targets
        )


def read_motion_clips(
    store: FeatureStore,
    image: str,
    segment: int,
    videos: Sequence[Video],
    classes: Sequence[str],
    hold_flow: bool | None = None,
) -> MotionClips:
    """The segments of videos of a snapshot. image: the feature that z_image is. segment: the most frames of one.
    hold_flow: as of `read_flow`.

    Raises:
        RunError: the store keeps no flow, or no video is left. UnknownColumnError, ConfigError, StoreDamagedError: as
        `read_sequences`.
    """
    flow = open_flow(store)
    rows = rows_by_take(flow)
    moving = [row for row in videos if row.frames != 1]
    whole = [row for row in moving if row.take is not None and rows.get(row.take, 0) == (row.frames or 0) - 1]
    if not whole:
        raise RunError(
            "No video has motion to learn from.",
            received=f"{len(videos)} videos, {len(videos) - len(moving)} of them of one frame",
            expected="videos of two frames or more, with their flow in the store",
            hint="`vimoclip status` counts them, and `vimoclip verify` finds flow that is missing.",
        )
    config = SequenceConfig(image=image, lengths="unit", most_frames=None)
    sequences = read_sequences(store, config, "image", whole, classes)
    named = {row.video_id: row for row in whole}
    own = [named[video_id] for video_id in sequences.video_ids]
    steps = FrameSampling.of(
        np.array([row.take for row in own], np.int64), np.array([row.frames for row in own], np.int64), None
    )
    video, first, count = cut_clips(sequences.steps, segment)
    read: SequenceReport = sequences.report
    report = ClipReport(
        videos=len(sequences),
        frames=read.frames,
        segments=len(video),
        unlabelled=read.unlabelled,
        one_frame=len(videos) - len(moving),
        flowless=len(moving) - len(whole),
        unembedded=read.unembedded,
    )
    return MotionClips(sequences, read_flow(flow, steps, hold_flow), video, first, count, report)


def cut_clips(lengths: Ints, segment: int) -> tuple[Ints, Ints, Ints]:
    """Videos of these lengths in segments of at most `segment` steps: of each its video, its first step and how many,
    int64 (S,)."""
    parts = -(-lengths // segment)
    video = np.repeat(np.arange(len(lengths)), parts)
    part = np.arange(len(video)) - np.repeat(np.cumsum(parts) - parts, parts)
    bounds = [part * lengths[video] // parts[video], (part + 1) * lengths[video] // parts[video]]
    return video, bounds[0], bounds[1] - bounds[0]
