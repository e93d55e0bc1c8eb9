"""MotionClips: what the motion student is trained on, short runs of consecutive frames with flow of one video.

A frame has its flow as the model is given it, and z_image; the labels are those of its video. A video of T frames with
flow is cut into the fewest clips that are short enough, as evenly as possible; each frame is in one. Vectors and flow
stay in memory where they fit, and are otherwise read from mapped files (vimoclip/sequences/cache.py) and from the store
(`FlowRows`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.videos import Video
from vimoclip.config.fusion import SequenceConfig
from vimoclip.device import free_bytes
from vimoclip.errors import RunError, StoreDamagedError
from vimoclip.flow.encoding import decode_flows
from vimoclip.sequences.sequences import MEMORY_FRACTION, FrameSampling, SequenceReport, Sequences

if TYPE_CHECKING:  # a student is trained where there is no Lance (benchmarks/speed/gpu.py)
    from vimoclip.store.feature_store import FeatureStore
    from vimoclip.store.table import Table


def open_flow(store: "FeatureStore") -> "Table":
    """Return the table of a store's flow.

    Raises:
        RunError: the store does not keep flow.
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
    """The encoded flow of N steps, in memory or read as it is asked for.

    Args:
        table: `flow`.
        at: the row of each step, int64 (N,): in the table, or in `held`.
        held: rows in memory, one chunk after another; None reads from the table.
    """

    def __init__(self, table: "Table", at: NDArray[np.int64], held: Sequence[pa.BinaryArray] | None) -> None:
        self._table, self._at, self._held = table, at, held
        self._starts = np.cumsum([0, *(len(chunk) for chunk in held or [])])

    @property
    def held(self) -> bool:
        """Whether the flow is in memory."""
        return self._held is not None

    def planes(self, steps: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode the flow of these steps, as codes: uint8 (n, 2, 224, 224).

        Args:
            steps: int64 (n,).

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
        return decode_flows(found)


def read_flow(table: "Table", steps: FrameSampling, hold: bool | None = None) -> FlowRows:
    """Find, and where wanted read, the flow of steps.

    Args:
        table: `flow`.
        steps: which frames.
        hold: whether to keep it in memory; None does where it fits.

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


def rows_by_take(table: "Table") -> dict[int, int]:
    """Count the rows of `flow` of each take."""
    parts = [np.unique(batch["take"].to_numpy(), return_counts=True) for batch in table.batches(["take"], rows=1 << 20)]
    found = dict[int, int]()
    for takes, counts in parts:
        for take, count in zip(takes.tolist(), counts.tolist(), strict=True):
            found[take] = found.get(take, 0) + count
    return found


Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ClipBatch:
    """B clips of N frames in total, one clip after another.

    Attributes:
        videos: the number of each clip's video, int64 (B,).
        counts: the frames of each, int64 (B,).
        planes: codes of flow, uint8 (N, 2, 224, 224).
        images: z_image at unit length, fp32 (N, D).
        targets: fp32 (B, C).
    """

    videos: Ints
    counts: Ints
    planes: NDArray[np.uint8]
    images: Tensor
    targets: Tensor


@dataclass(frozen=True)
class ClipReport:
    """What became of the videos of a split.

    Attributes:
        videos: those that have clips.
        frames: of the clips.
        segments: how many clips.
        unlabelled: videos left out because they have no label of these classes.
        one_frame: videos left out because they have a single frame, and so no flow.
        flowless: videos left out because the store lacks the flow of some of their frames.
        unembedded: videos left out because they lack vectors of an added feature.
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
    """S clips of V videos.

    Attributes:
        sequences: z_image and labels of the videos.
        flow: of the same steps.
        video: the number of each clip's video, int64 (S,).
        first: its first step in the video, int64 (S,).
        count: how many steps it has, int64 (S,).
        report: what became of the videos that were asked for.
    """

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
        """Read these clips, on the CPU.

        Args:
            segments: their numbers, int64 (B,).

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
    store: "FeatureStore",
    image: str,
    segment: int,
    videos: Sequence[Video],
    classes: Sequence[str],
    hold_flow: bool | None = None,
) -> MotionClips:
    """Read the clips of videos of a snapshot.

    Args:
        store: the snapshot.
        image: the feature that is z_image.
        segment: the most frames of a clip.
        videos: rows of live videos.
        classes: C names.
        hold_flow: see `hold` of `read_flow`.

    Raises:
        RunError: the store does not keep flow, or no video is left.
        UnknownColumnError: the store has no such feature.
        ConfigError: the feature is not made from images.
        StoreDamagedError: frames or flow are missing.
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
    from vimoclip.sequences.reader import read_sequences

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
    """Cut videos into clips of at most `segment` steps, as evenly as possible.

    Args:
        lengths: steps of each video, int64 (V,).
        segment: the most steps of a clip.

    Returns:
        Of each clip its video, its first step in the video, and how many steps, int64 (S,) each.
    """
    parts = -(-lengths // segment)
    video = np.repeat(np.arange(len(lengths)), parts)
    part = np.arange(len(video)) - np.repeat(np.cumsum(parts) - parts, parts)
    bounds = [part * lengths[video] // parts[video], (part + 1) * lengths[video] // parts[video]]
    return video, bounds[0], bounds[1] - bounds[0]
