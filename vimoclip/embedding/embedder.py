"""From the frames of a video, or from its stored flow, to vectors, in batches of one fixed shape.

`VideoEmbedder` takes decoded frames through all towers. `StoredFlowEmbedder` makes the vectors of a trained student
from the flow that a store keeps, without decoding; its batches are those of an ingest, and so its vectors are the very
ones that an ingest with this student would store.

A batch, of frames or of pairs of them, never crosses videos and is always full, the last one padded: the same video
gives the same bits alone, beside any other videos, and after a resume.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import numpy as np
import pyarrow.compute as pc
import torch

from schemas.features import Feature
from schemas.videos import Video
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.device import is_out_of_memory, pick_device, release_cache, set_threads
from vimoclip.embedding.feature_models import motion_feature, stored_flow_settings
from vimoclip.errors import StoreDamagedError, VideoError
from vimoclip.flow.descriptor import MotionBoundaries
from vimoclip.flow.encoding import PLANE, REST, decode_flow, decode_flows, encode_flow, mean_speed, to_planes
from vimoclip.flow.estimator import FlowEstimator
from vimoclip.frames import (
    FRAME_COLUMNS,
    Embeddings,
    FrameBatch,
    FrameEvent,
    Idle,
    VideoDone,
    VideoFailed,
    VideoInfo,
    VideoJob,
)
from vimoclip.models.backbones import load_backbone
from vimoclip.models.clip import ClipTeacher, Input
from vimoclip.models.motion_student import MotionStudent, Student
from vimoclip.prefetch import Prefetcher
from vimoclip.video.decode import FrameChunk

if TYPE_CHECKING:  # a worker runs where there is no Lance (benchmarks/speed/gpu.py)
    from vimoclip.store.feature_store import FeatureStore

Pair = tuple[Any, Any]  # of frames as the estimator prepared them
Images = TypeVar("Images", torch.Tensor, np.ndarray)
Batch = TypeVar("Batch", torch.Tensor, np.ndarray, list[Pair])
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Motion:
    """What makes motion vectors.

    Attributes:
        students: the motion students, or motion boundaries, by feature.
        estimator: the estimator of the flow that they see.
    """

    students: dict[str, MotionStudent | MotionBoundaries]
    estimator: FlowEstimator[Any]


@dataclasses.dataclass(frozen=True)
class Models:
    """What embeds frames.

    Attributes:
        towers: the image towers, by feature; that of `clip` is the teacher.
        motion: what makes motion vectors; None where there are none to make.
    """

    towers: dict[str, ClipTeacher]
    motion: Motion | None = None


@dataclasses.dataclass
class _Row:
    """One stored frame on its way through the towers."""

    source_frame: int
    time_s: float
    images: dict[Input, torch.Tensor]
    planes: np.ndarray | None = None
    flow: bytes | None = None
    speed: float = 0.0


@dataclasses.dataclass(frozen=True)
class _Step:
    """The motion that a row waits for: from the frame before, dt_s seconds earlier, to its own."""

    row: _Row
    pair: Pair
    dt_s: float
    pixel_aspect: float


class VideoEmbedder:
    """One video on its way through the towers.

    It holds the frame before, the steps whose flow is to come, and the batch being filled. Rows that wait for a step's
    flow are the last ones, because only the first frame does not have a step.

    Attributes:
        job: the video.
        reduced_batch: whether the device did not have enough memory for a whole batch.
        failed: for the caller to set.
    """

    def __init__(self, job: VideoJob, config: StoreConfig, models: Models) -> None:
        self.job, self.failed, self.reduced_batch = job, False, False
        self._config, self._towers, self._motion = config, models.towers, models.motion
        self._inputs = {tower.input: tower for tower in self._towers.values()}  # towers may share one
        self._previous: Any = None
        self._previous_s = 0.0
        self._rows: list[_Row] = []
        self._steps: list[_Step] = []
        self._done = 0

    def add(self, chunk: FrameChunk) -> Iterator[FrameBatch]:
        """Take the next decoded frames, and yield the batches that they complete."""
        stored = chunk.frames[chunk.stored]
        # A resized frame does not depend on the others: halving leaves its bits alone, so reduced_batch stays.
        resized = {
            shape: itertools.chain.from_iterable(in_halves(partial(_resize, tower, chunk.pixel_aspect), stored))
            for shape, tower in self._inputs.items()
        }
        for frame, n, time_s, stored in zip(
            chunk.frames, chunk.source_frame.tolist(), chunk.time_s.tolist(), chunk.stored.tolist(), strict=True
        ):
            row = _Row(n, time_s, {shape: next(images) for shape, images in resized.items()}) if stored else None
            if row is not None:
                self._rows.append(row)
            if self._motion is not None:
                self._step(self._motion.estimator, frame, time_s, row, chunk.pixel_aspect)
            yield from self._embed_ready()

    def _step(
        self, estimator: FlowEstimator[Any], frame: np.ndarray, time_s: float, row: _Row | None, pixel_aspect: float
    ) -> None:
        """The step to a decoded frame, whose row, if it is stored, waits for the motion."""
        current = estimator.prepare(frame)
        if row is not None and self._previous is not None:
            self._steps.append(_Step(row, (self._previous, current), time_s - self._previous_s, pixel_aspect))
        if len(self._steps) == estimator.batch_size:
            self._add_motion(estimator)
        self._previous, self._previous_s = current, time_s

    def rest(self) -> Iterator[FrameBatch]:
        """Yield what still waits, after the last frame."""
        if self._steps and self._motion is not None:
            self._add_motion(self._motion.estimator)
            yield from self._embed_ready()
        if self._rows:
            yield self._embed()

    def _add_motion(self, estimator: FlowEstimator[Any]) -> None:
        steps, self._steps = self._steps, []
        pairs = [step.pair for step in steps]
        pairs += pairs[-1:] * (estimator.batch_size - len(pairs))
        parts = in_halves(estimator.flows, pairs)
        self.reduced_batch |= len(parts) > 1
        for step, flow in zip(steps, itertools.chain.from_iterable(parts), strict=False):  # the last may be padding
            row, aspect = step.row, step.pixel_aspect
            row.speed = mean_speed(flow, step.dt_s, aspect)
            row.flow = encode_flow(to_planes(flow, step.dt_s, self._towers["clip"].preprocessing.resize, aspect))
            row.planes = decode_flow(row.flow)

    def _embed_ready(self) -> Iterator[FrameBatch]:
        while len(self._rows) - len(self._steps) >= self._config.clip.batch_size:
            yield self._embed()

    def _embed(self) -> FrameBatch:
        size = self._config.clip.batch_size
        rows, self._rows = self._rows[:size], self._rows[size:]
        n = len(rows)
        batches = {
            shape: torch.stack([row.images[shape] for row in rows] + [torch.zeros_like(image)] * (size - n))
            for shape, image in rows[0].images.items()
        }
        features = {
            name: unit_vectors(self._forward(tower, batches[tower.input])[:n], np.ones(n, np.bool_))
            for name, tower in self._towers.items()
        }
        if self._motion is not None:
            planes = full_batch([row.planes for row in rows], size)
            moving = np.array([row.planes is not None for row in rows])
            for name, student in self._motion.students.items():
                features[name] = unit_vectors(self._forward(student, planes)[:n], moving)
        first, self._done = self._done, self._done + n
        return FrameBatch(
            self.job.video_id,
            np.arange(first, first + n, dtype=np.int32),
            np.array([row.source_frame for row in rows], np.int64),
            np.array([row.time_s for row in rows], np.float64),
            np.array([row.speed for row in rows], np.float32),
            features,
            [row.flow for row in rows],
        )

    def _forward(self, tower: Callable[[Images], torch.Tensor], batch: Images) -> np.ndarray:
        """Raw vectors, fp32 (N, D); in halves where the device has no memory for the whole batch."""
        parts = in_halves(tower, batch)
        self.reduced_batch |= len(parts) > 1
        return np.concatenate([z.cpu().numpy() for z in parts])


def _resize(tower: ClipTeacher, pixel_aspect: float, frames: np.ndarray) -> torch.Tensor:
    return tower.resize(frames, pixel_aspect)


def in_halves(compute: Callable[[Batch], Result], batch: Batch) -> list[Result]:
    """Compute a batch in one part or, where the device does not have enough memory, in halves, quarters and so on.

    Args:
        compute: what to do with a batch or a part of it.
        batch: what to compute.

    Returns:
        The result of each part, in order.

    Raises:
        RuntimeError: there is not enough memory for a batch of one (`is_out_of_memory`).
    """
    try:
        return [compute(batch)]
    except RuntimeError as error:
        if not is_out_of_memory(error) or len(batch) == 1:
            raise
    release_cache()
    half = len(batch) // 2
    return in_halves(compute, batch[:half]) + in_halves(compute, batch[half:])


def full_batch(planes: Sequence[np.ndarray | None], size: int) -> np.ndarray:
    """Stack the flow planes of consecutive frames to a full batch.

    Args:
        planes: uint8 (2, 224, 224) each; None where a frame has no motion.
        size: frames of a full batch.

    Returns:
        uint8 (size, 2, 224, 224), at rest where a frame has no motion, and in the padding.
    """
    at_rest = np.full((2, PLANE, PLANE), REST, np.uint8)
    return np.stack([at_rest if own is None else own for own in planes] + [at_rest] * (size - len(planes)))


def unit_vectors(z: np.ndarray, present: np.ndarray) -> Embeddings:
    """Normalise vectors, as they are stored.

    Args:
        z: raw vectors, fp32 (n, D).
        present: bool (n,), which frames have a vector.

    Raises:
        VideoError: `not-finite`: the vector of such a frame is zero or not finite.
    """
    norm = np.linalg.norm(z, axis=1)
    if not (np.isfinite(norm[present]).all() and (norm[present] > 0).all()):
        raise VideoError(
            "not-finite", "The model gave vectors that are zero or not finite.", hint="Try --precision fp32."
        )
    values = (z / np.where(norm > 0, norm, 1)[:, None]).astype(np.float16)
    return Embeddings(values, np.where(present, norm, 0).astype(np.float32))


FRAMES_PER_READ = 4096  # frames whose flow is read at once, in whole batches

FlowSource = Callable[[int, int], Mapping[int, bytes]]
"""Reads the encoded flow of the frames [first, end) of a video, by frame_index."""


@dataclasses.dataclass(frozen=True, eq=False)
class StoredFlowJob(VideoJob):
    """A stored video whose flow is to be embedded.

    Attributes:
        info: what an ingest found out about it.
        frames: all of its frames, without vectors or flow.
        flow: reads their flow.
    """

    info: VideoInfo
    frames: FrameBatch
    flow: FlowSource

    @classmethod
    def of(cls, store: "FeatureStore", row: Video, held: bool) -> Self:
        """The job of a stored video.

        Args:
            store: holds the flow.
            row: of the video.
            held: whether its flow is read now and goes with the job to another process; otherwise it is read piece by
                piece when it is needed.

        Raises:
            StoreDamagedError: it cannot be read.
        """
        frames = FrameBatch.from_arrow(row.video_id, store.sequence(row.video_id, list(FRAME_COLUMNS)), [])
        source: FlowSource = partial(_read_flow, store, row)
        if held:
            source = _HeldFlow(dict(source(0, len(frames))))
        return cls(row.video_id, row.path, VideoInfo.of_row(row), frames, source)


def _read_flow(store: "FeatureStore", row: Video, first: int, end: int) -> dict[int, bytes]:
    index = pc.field("frame_index")
    where = (pc.field("take") == row.take) & (index >= first) & (index < end)
    found = store.tables["flow"].read(["frame_index", "flow"], where)
    return dict(zip(found["frame_index"].to_pylist(), found["flow"].to_pylist(), strict=True))


class _HeldFlow:
    """Flow that is in memory, as a `FlowSource`."""

    def __init__(self, flow: dict[int, bytes]) -> None:
        self._flow = flow

    def __call__(self, first: int, end: int) -> dict[int, bytes]:
        return self._flow


_Planes: TypeAlias = tuple[FrameBatch, np.ndarray]

AHEAD = 4
"""Batches of flow that are decoded before the device needs them."""
IDLE_S = 1.0


class StoredFlowEmbedder:
    """The vectors of a trained student, or motion boundaries, of every stored frame, from the flow that a store keeps.

    It can be used where a `pipelines.executor.Executor` can, with jobs that are `StoredFlowJob`s.

    Attributes:
        config: the store's settings.
        device: where the student runs.
        feature: the feature that the vectors make.
        features: that feature alone, as an Executor has it.
    """

    def __init__(
        self, config: StoreConfig, base: Feature, name: str, student: Student | MotionBoundaries, run: RunConfig
    ) -> None:
        """Load the student.

        Args:
            config: the store's settings.
            base: the store's moclip.
            name: of the feature to make.
            student: makes its vectors.
            run: device and threads.

        Raises:
            ModelError: the teacher's weights cannot be had, or the student's do not fit them.
            ConfigError: there is no such device.
        """
        set_threads(run)
        self.config, self.device = config, pick_device(run.device)
        self._student: MotionStudent | MotionBoundaries
        if isinstance(student, MotionBoundaries):
            self._student = student
        else:
            self._student = student.served(load_backbone(config.clip, self.device))
        made = motion_feature(name, self._student, stored_flow_settings(base), student)
        self.feature = replace(made, complete=False)
        self.features: list[Feature] = [self.feature]

    def embed(self, jobs: Iterable[VideoJob]) -> Iterator[FrameEvent]:
        """Embed stored videos one after another; reading and decoding their flow runs ahead, in another thread.

        Yields:
            The events of each job in turn, as vimoclip/frames.py describes them.
        """
        source, failed, halved = Prefetcher(self._read(jobs), AHEAD), None, False
        try:
            while True:
                try:
                    item = source.get(IDLE_S)
                except StopIteration:
                    return
                if item is None:
                    yield Idle()
                    continue
                job, part = item
                if job is failed:
                    continue
                if isinstance(part, VideoFailed):
                    yield part
                elif isinstance(part, VideoDone):
                    yield replace(part, reduced_batch=halved)
                else:
                    frames, planes = part
                    parts = in_halves(self._student, planes)
                    halved |= len(parts) > 1
                    z = np.concatenate([each.cpu().numpy() for each in parts])[: len(frames)]
                    try:
                        vectors = unit_vectors(z, frames.frame_index > 0)
                    except VideoError as error:
                        failed = job
                        yield VideoFailed(job.video_id, error.kind, str(error))
                    else:
                        yield replace(frames, features={self.feature.name: vectors})
                        continue
                halved = False
        finally:
            source.stop(0)

    def _read(self, jobs: Iterable[VideoJob]) -> Iterator[tuple[VideoJob, _Planes | VideoDone | VideoFailed]]:
        for job in jobs:
            assert isinstance(job, StoredFlowJob)
            try:
                for part in self._batches(job):
                    yield job, part
                yield job, VideoDone(job.video_id, job.info)
            except VideoError as error:
                yield job, VideoFailed(job.video_id, error.kind, str(error))
            except StoreDamagedError as error:
                yield job, VideoFailed(job.video_id, "no-flow", str(error))

    def _batches(self, job: StoredFlowJob) -> Iterator[_Planes]:
        """The frames of a video and their planes, in full batches; raises VideoError or StoreDamagedError."""
        frames, size = job.frames, self.config.clip.batch_size
        together = max(FRAMES_PER_READ // size, 1) * size
        for first in range(0, len(frames), size):
            if first % together == 0:
                flow = job.flow(first, min(first + together, len(frames)))
            span = range(first, min(first + size, len(frames)))
            if lost := [i for i in span if i > 0 and flow.get(i) is None]:
                raise VideoError(
                    "no-flow",
                    "The store lacks the flow of a frame.",
                    received=f"none of frame {lost[0]}",
                    hint="Run `vimoclip verify`, and ingest the video anew.",
                )
            moving = [i for i in span if flow.get(i) is not None]
            planes = dict(zip(moving, decode_flows([flow[i] for i in moving]), strict=True)) if moving else {}
            yield frames[span.start : span.stop], full_batch([planes.get(i) for i in span], size)
