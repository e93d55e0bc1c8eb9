"""From the frames of a video, or from its stored flow, to vectors, in batches of one fixed shape.

`VideoEmbedder` takes decoded frames through all towers. `StoredFlowEmbedder` makes the vectors of a trained student
from the flow that a store keeps, without decoding; its batches are those of an ingest, and so its vectors are the very
ones that an ingest with this student would store.

A batch, of frames or of pairs of them, never crosses videos and is always full, the last one padded: the same video
gives the same bits alone, beside any other videos, and after a resume.
"""

import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow.compute as pc
import torch

from schemas.features import Feature
from schemas.videos import Video
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.embedding.feature_models import made_with
from vimoclip.errors import StoreDamagedError, VideoError
from vimoclip.flow.encoding import PLANE, REST, decode_flow, encode_flow, mean_speed, to_planes
from vimoclip.flow.estimator import FlowEstimator
from vimoclip.frames import Embeddings, FrameBatch, FrameEvent, VideoDone, VideoFailed, VideoInfo, VideoJob
from vimoclip.models.backbones import load_backbone
from vimoclip.models.clip import ClipTeacher, Input
from vimoclip.models.motion_student import MotionStudent, Student
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
        students: the motion students, by feature.
        estimator: the estimator of the flow that they see.
    """

    students: dict[str, MotionStudent]
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
        torch.OutOfMemoryError: there is not enough memory for a batch of one.
    """
    try:
        return [compute(batch)]
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    torch.cuda.empty_cache()
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


class StoredFlowEmbedder:
    """The vectors of a trained student for every stored frame of videos, from the flow that the store keeps.

    It can be used where a `pipelines.executor.Executor` can, with jobs that name stored videos.

    Attributes:
        config: the store's settings.
        device: where the student runs.
        feature: the feature that the vectors make.
        features: that feature alone, as an Executor has it.
    """

    def __init__(self, store: "FeatureStore", name: str, student: Student, run: RunConfig) -> None:
        """Load the student.

        Args:
            store: holds the flow.
            name: of the feature to make.
            student: makes its vectors.
            run: device and threads.

        Raises:
            ModelError: the teacher's weights cannot be had, or the student's do not fit them.
            ConfigError: there is no such device.
        """
        set_threads(run)
        self.config, self.device, self._store = store.config, pick_device(run.device), store
        served = student.served(load_backbone(store.config.clip, self.device))
        base = store.features["moclip"]
        self._student = served
        self.feature = replace(made_with(name, base, student), weights_sha256=served.tower.weights_sha256)
        self.features: list[Feature] = [self.feature]

    def embed(self, jobs: Iterable[VideoJob]) -> Iterator[FrameEvent]:
        """Embed stored videos one after another.

        Yields:
            The events of each job in turn, as vimoclip/frames.py describes them.
        """
        rows = {row.video_id: row for row in self._store.rows()}
        for job in jobs:
            row = rows[job.video_id]
            try:
                halved = yield from self._video(row)
                yield VideoDone(job.video_id, VideoInfo.of_row(row), halved)
            except VideoError as error:
                yield VideoFailed(job.video_id, error.kind, str(error))
            except StoreDamagedError as error:
                yield VideoFailed(job.video_id, "no-flow", str(error))

    def _video(self, row: Video) -> Generator[FrameBatch, None, bool]:
        """Yield the batches of a video; return whether memory ran out and a batch was halved."""
        columns = ["frame_index", "source_frame", "time_s", "flow_speed"]
        frames = self._store.sequence(row.video_id, columns)
        index, size = frames["frame_index"].to_numpy(), self.config.clip.batch_size
        speed = frames["flow_speed"].fill_null(0).to_numpy()
        together, halved = max(FRAMES_PER_READ // size, 1) * size, False
        for first in range(0, len(index), size):
            if first % together == 0:
                flow = self._flow(row, first, first + together)
            span = slice(first, min(first + size, len(index)))
            own = [flow.get(i) for i in range(span.start, span.stop)]
            if lost := [i for i, data in enumerate(own, first) if i > 0 and data is None]:
                raise VideoError(
                    "no-flow",
                    "The store lacks the flow of a frame.",
                    received=f"none of frame {lost[0]}",
                    hint="Run `vimoclip verify`, and ingest the video anew.",
                )
            planes = full_batch([None if data is None else decode_flow(data) for data in own], size)
            parts = in_halves(self._student, planes)
            halved |= len(parts) > 1
            z = np.concatenate([part.cpu().numpy() for part in parts])[: len(own)]
            yield FrameBatch(
                row.video_id,
                index[span],
                frames["source_frame"].to_numpy()[span],
                frames["time_s"].to_numpy()[span],
                speed[span],
                {self.feature.name: unit_vectors(z, index[span] > 0)},
                own,
            )
        return halved

    def _flow(self, row: Video, first: int, end: int) -> dict[int, bytes]:
        """The encoded flow of the frames [first, end), by frame_index."""
        index = pc.field("frame_index")
        where = (pc.field("take") == row.take) & (index >= first) & (index < end)
        found = self._store.tables["flow"].read(["frame_index", "flow"], where)
        return dict(zip(found["frame_index"].to_pylist(), found["flow"].to_pylist(), strict=True))
