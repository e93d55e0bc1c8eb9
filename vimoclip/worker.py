"""EmbedWorker: videos in, embedded frames out. The same plain object runs in-process and on every GPU of a cluster.

For each stored frame t: z_image = Φ_teacher(frame t); f_t, the flow from the frame decoded just before; and
z_motion = Φ_student(image of f_t), where f_t has been through the codec that the store keeps it in, so that a student
is served the very bytes it will be trained on. A batch, of frames or of pairs of them, never crosses videos and always
has the store's fixed shape: the same video gives the same bits alone, in any company and after a resume.
"""

import dataclasses
import importlib.metadata
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import torch

from schemas.features import Feature, Training
from vimoclip.chunks import FrameChunk
from vimoclip.clip import ClipTeacher
from vimoclip.config import RunConfig, StoreConfig
from vimoclip.decoder import Decoder
from vimoclip.device import pick_device, pick_precision, set_threads
from vimoclip.embedded import Embedded, EmbeddedFrames, Failed, Idle, Job, Outcome, Restarted, Vectors
from vimoclip.errors import ModelError, VideoError
from vimoclip.flow import FlowEstimator, make_estimator, resolve
from vimoclip.flow.encoding import FULL_SCALE, JPEG_QUALITY, PLANE, REST, decode, encode, mean_speed, to_planes
from vimoclip.moclip import MotionStudent
from vimoclip.video import Restart, VideoInfo

_RECORDED = ("vimoclip", "torch", "torchvision", "open_clip_torch", "av", "opencv-python-headless", "numpy")

Pair = tuple[Any, Any]  # of frames as the estimator prepared them
Images = TypeVar("Images", torch.Tensor, np.ndarray)
Batch = TypeVar("Batch", torch.Tensor, np.ndarray, list[Pair])
Result = TypeVar("Result")


class EmbedWorker:
    """Embeds videos on one device.

    Attributes: `config`, with everything `auto` resolved; `features`, what its vectors are; `device`; the
    towers `teacher` and `student`, and the `estimator` of flow.
    """

    def __init__(self, config: StoreConfig, run: RunConfig) -> None:
        """Load the models.

        Raises:
            ModelError: see `ClipTeacher` and `make_estimator`. ConfigError: no such device. UsageError: see `resolve`.
        """
        set_threads(run)
        self._run = run
        self.device = pick_device(run.device)
        flow = resolve(config.flow, self.device)
        self.teacher = ClipTeacher(config.clip, self.device)
        self.student = MotionStudent(self.teacher, config.flow.image)
        self.config = dataclasses.replace(config, clip=self.teacher.config, flow=flow)
        precision = pick_precision(self.config.clip.precision, self.device)
        self.estimator = make_estimator(flow, self.device, precision)
        self.features = [self._feature("clip"), self._feature("moclip")]

    def embed(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Embed videos one after another; decoding runs ahead, into the next video.

        Yields, for each job in turn, EmbeddedFrames in order and then Embedded, or Failed at any point; a Restarted
        takes back the frames before it; an Idle comes when nothing else does. `jobs` is drawn from another thread.
        """
        video = None
        decoder = Decoder(self.config.sampling, self._run)
        for item in decoder.stream_or_idle(jobs):
            if item is None:
                yield Idle()
                continue
            job, event = item
            if video is None or video.job is not job:
                video = _VideoEmbedder(job, self)
            if video.failed:
                continue
            try:
                if isinstance(event, VideoError):
                    raise event
                if isinstance(event, FrameChunk):
                    yield from video.add(event)
                elif isinstance(event, VideoInfo):
                    yield from video.rest()
                    yield Embedded(job.video_id, event, video.reduced_batch)
                elif isinstance(event, Restart):
                    video = _VideoEmbedder(job, self)
                    yield Restarted(job.video_id)
            except VideoError as error:
                failed = Failed(job.video_id, error.kind, str(error))
            except Exception as error:  # whatever one video provokes, the others go on
                self._check_device()
                failed = Failed(job.video_id, "embedding-failed", f"{type(error).__name__}: {error}"[:500])
            else:
                continue
            video.failed = True
            if isinstance(event, FrameChunk):  # the rest of it would be decoded for nothing
                decoder.give_up(job)
            yield failed

    def _check_device(self) -> None:
        """After an error: is it the device that is broken, so that every other video would be blamed for it?"""
        try:
            torch.ones(1, device=self.device).add(1).cpu()
        except RuntimeError as error:
            raise ModelError(
                f"The device {self.device} has stopped working.",
                received=str(error).splitlines()[0][:200],
                hint="Everything committed is safe; run the same command again, which goes on from there.",
            ) from error

    def _feature(self, name: str) -> Feature:
        clip, teacher = self.config.clip, self.teacher
        how = dataclasses.asdict(teacher.preprocessing) | {"resize": clip.resize, "batch_size": clip.batch_size}
        training: Training = teacher.training
        if name == "moclip":
            how |= {"flow": self._flow(), "plane": PLANE, "full_scale": FULL_SCALE, "jpeg": JPEG_QUALITY}
            training = "starting"
        return Feature(
            name=name,
            kind="motion" if name == "moclip" else "image",
            dim=teacher.dim,
            model=clip.model,
            weights=clip.weights,
            weights_sha256=teacher.weights_sha256,
            training=training,
            preprocessing=json.dumps(how, sort_keys=True),
            precision=clip.precision,
            packages=json.dumps({package: _version(package) for package in _RECORDED}),
            created_at=datetime.now(UTC),
        )

    def _flow(self) -> dict[str, Any]:
        """What decides the flow. Where its weights were found does not; what they are, and if random, is in there."""
        settings = self.config.flow.to_dict()
        return {
            name: value for name, value in settings.items() if value is not None and name != "weights"
        } | self.estimator.made_of


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout


@dataclasses.dataclass
class _Row:
    """One stored frame on its way through the towers."""

    source_frame: int
    time_s: float
    image: torch.Tensor
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


class _VideoEmbedder:
    """The state of one video: the frame before, the steps whose flow is to come, and the batch being filled.

    Rows whose step waits are the last ones: only the first frame has none.
    """

    def __init__(self, job: Job, worker: EmbedWorker) -> None:
        self.job, self.failed, self.reduced_batch = job, False, False
        self._config, self._teacher, self._student = worker.config, worker.teacher, worker.student
        self._estimator: FlowEstimator[Any] = worker.estimator
        self._previous: Any = None
        self._previous_s = 0.0
        self._rows: list[_Row] = []
        self._steps: list[_Step] = []
        self._done = 0

    def add(self, chunk: FrameChunk) -> Iterator[EmbeddedFrames]:
        stored = chunk.frames[chunk.stored]
        # A resized frame does not depend on the others: halving leaves its bits alone, and needs no note.
        resized = _in_halves(lambda frames: self._teacher.resize(frames, chunk.pixel_aspect), stored)
        images = itertools.chain.from_iterable(resized)
        for frame, n, time_s, stored in zip(
            chunk.frames, chunk.source_frame.tolist(), chunk.time_s.tolist(), chunk.stored.tolist(), strict=True
        ):
            current = self._estimator.prepare(frame)
            if stored:
                row = _Row(n, time_s, next(images))
                self._rows.append(row)
                if self._previous is not None:
                    pair, dt_s = (self._previous, current), time_s - self._previous_s
                    self._steps.append(_Step(row, pair, dt_s, chunk.pixel_aspect))
                if len(self._steps) == self._estimator.batch_size:
                    self._add_motion()
                yield from self._embed_ready()
            self._previous, self._previous_s = current, time_s

    def rest(self) -> Iterator[EmbeddedFrames]:
        if self._steps:
            self._add_motion()
            yield from self._embed_ready()
        if self._rows:
            yield self._embed()

    def _add_motion(self) -> None:
        steps, self._steps = self._steps, []
        pairs = [step.pair for step in steps]
        pairs += pairs[-1:] * (self._estimator.batch_size - len(pairs))
        parts = _in_halves(self._estimator.flows, pairs)
        self.reduced_batch |= len(parts) > 1
        for step, flow in zip(steps, itertools.chain.from_iterable(parts), strict=False):  # the last may be padding
            row, aspect = step.row, step.pixel_aspect
            row.speed = mean_speed(flow, step.dt_s, aspect)
            row.flow = encode(to_planes(flow, step.dt_s, self._config.clip.resize, aspect))
            row.planes = decode(row.flow)

    def _embed_ready(self) -> Iterator[EmbeddedFrames]:
        while len(self._rows) - len(self._steps) >= self._config.clip.batch_size:
            yield self._embed()

    def _embed(self) -> EmbeddedFrames:
        size = self._config.clip.batch_size
        rows, self._rows = self._rows[:size], self._rows[size:]
        n = len(rows)
        images = torch.stack([row.image for row in rows] + [torch.zeros_like(rows[0].image)] * (size - n))
        at_rest = np.full((2, PLANE, PLANE), REST, np.uint8)
        planes = np.stack([at_rest if row.planes is None else row.planes for row in rows] + [at_rest] * (size - n))
        moving = np.array([row.planes is not None for row in rows])
        features = {
            "clip": _unit(self._forward(self._teacher, images)[:n], np.ones(n, np.bool_)),
            "moclip": _unit(self._forward(self._student, planes)[:n], moving),
        }
        first, self._done = self._done, self._done + n
        return EmbeddedFrames(
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
        parts = _in_halves(tower, batch)
        self.reduced_batch |= len(parts) > 1
        return np.concatenate([z.cpu().numpy() for z in parts])


def _in_halves(compute: Callable[[Batch], Result], batch: Batch) -> list[Result]:
    """`compute` of the batch, in one part; where the device has no memory for that, of its halves, and so on."""
    try:
        return [compute(batch)]
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    torch.cuda.empty_cache()
    half = len(batch) // 2
    return _in_halves(compute, batch[:half]) + _in_halves(compute, batch[half:])


def _unit(z: np.ndarray, present: np.ndarray) -> Vectors:
    norm = np.linalg.norm(z, axis=1)
    if not (np.isfinite(norm[present]).all() and (norm[present] > 0).all()):
        raise VideoError(
            "not-finite", "The model gave vectors that are zero or not finite.", hint="Try --precision fp32."
        )
    return Vectors((z / np.where(norm > 0, norm, 1)[:, None]).astype(np.float16), norm.astype(np.float32), present)
