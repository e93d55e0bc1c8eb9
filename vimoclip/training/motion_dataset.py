"""Segments: at most so many consecutive frames with flow of one video, what the motion student is trained on.

Of a frame there is the flow as it is served, z_image, and of its video the labels. A video of T frames with flow is cut
into the fewest segments that are short enough, as evenly as can be; each frame is in one. Vectors and flow are kept in
memory where they fit, else read from files and from the store (sequence_reader.py, flow_rows.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.videos import Video
from vimoclip.config.fusion import SequenceConfig
from vimoclip.errors import RunError
from vimoclip.sequences.reader import Kept, read_sequences
from vimoclip.sequences.sequences import SequenceReport, Sequences, Steps
from vimoclip.store.feature_store import FeatureStore
from vimoclip.training.flow_rows import FlowRows, flow_of, read_flow, rows_by_take

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SegmentBatch:
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
class SegmentReport:
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
class MotionSegments:
    """S segments. sequences: z_image and the labels of their videos. flow: of the same steps. video, first, count: of
    each segment its video's number, its first step in it and how many, int64 (S,)."""

    sequences: Sequences
    flow: FlowRows
    video: Ints
    first: Ints
    count: Ints
    report: SegmentReport = field(default_factory=SegmentReport)

    def __len__(self) -> int:
        return len(self.video)

    @property
    def classes(self) -> list[str]:
        """Names of the behaviours, in the order of the targets."""
        return self.sequences.classes

    def batch(self, segments: Ints) -> SegmentBatch:
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
        return SegmentBatch(
            videos, self.count[segments], self.flow.planes(np.concatenate(steps)), torch.cat(parts), targets
        )


def read_motion_segments(
    store: FeatureStore,
    image: str,
    segment: int,
    videos: Sequence[Video],
    classes: Sequence[str],
    kept: Kept | None = None,
    hold_flow: bool | None = None,
) -> MotionSegments:
    """The segments of videos of a snapshot. image: the feature that z_image is. segment: the most frames of one.
    hold_flow: as of `read_flow`.

    Raises:
        RunError: the store keeps no flow, or no video is left. UnknownColumnError, ConfigError, StoreDamagedError: as
        `read_sequences`.
    """
    flow = flow_of(store)
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
    sequences = read_sequences(store, config, "image", whole, classes, kept=kept)
    named = {row.video_id: row for row in whole}
    own = [named[video_id] for video_id in sequences.video_ids]
    steps = Steps.of(
        np.array([row.take for row in own], np.int64), np.array([row.frames for row in own], np.int64), None
    )
    video, first, count = cut(sequences.steps, segment)
    read: SequenceReport = sequences.report
    report = SegmentReport(
        videos=len(sequences),
        frames=read.frames,
        segments=len(video),
        unlabelled=read.unlabelled,
        one_frame=len(videos) - len(moving),
        flowless=len(moving) - len(whole),
        unembedded=read.unembedded,
    )
    return MotionSegments(sequences, read_flow(flow, steps, hold_flow), video, first, count, report)


def cut(lengths: Ints, segment: int) -> tuple[Ints, Ints, Ints]:
    """Videos of these lengths in segments of at most `segment` steps: of each its video, its first step and how many,
    int64 (S,)."""
    parts = -(-lengths // segment)
    video = np.repeat(np.arange(len(lengths)), parts)
    part = np.arange(len(video)) - np.repeat(np.cumsum(parts) - parts, parts)
    bounds = [part * lengths[video] // parts[video], (part + 1) * lengths[video] // parts[video]]
    return video, bounds[0], bounds[1] - bounds[0]
