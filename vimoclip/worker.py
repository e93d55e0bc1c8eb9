"""EmbedWorker: videos in, embedded frames out. The same plain object runs in-process and on every GPU of a cluster.

For each stored frame t: z_image = Φ_teacher(frame t); f_t, the flow from the frame decoded just before; and
z_motion = Φ_student(image of f_t), where f_t has been through the codec that the store keeps it in, so that a student
is served the very bytes it will be trained on. A batch never crosses videos and always has the store's fixed shape:
the same video gives the same bits alone, in any company and after a resume.
"""

import dataclasses
import importlib.metadata
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
import torch

from schemas.features import Feature, Training
from vimoclip.chunks import FrameChunk
from vimoclip.clip import ClipTeacher
from vimoclip.config import RunConfig, StoreConfig
from vimoclip.decoder import Decoder
from vimoclip.device import pick_device, set_threads
from vimoclip.embedded import Embedded, EmbeddedFrames, Failed, Idle, Job, Outcome, Restarted, Vectors
from vimoclip.errors import ModelError, VideoError
from vimoclip.flow import FlowEstimator, make_estimator
from vimoclip.flow.encoding import FULL_SCALE, JPEG_QUALITY, PLANE, REST, decode, encode, mean_speed, to_planes
from vimoclip.moclip import MotionStudent
from vimoclip.video import Restart, VideoInfo

_RECORDED = ("vimoclip", "torch", "torchvision", "open_clip_torch", "av", "opencv-python-headless", "numpy")


Images = TypeVar("Images", torch.Tensor, np.ndarray)


class EmbedWorker:
    """Embeds videos on one device.

    Attributes: `config`, with everything `auto` resolved; `features`, what its vectors are; `device`; the
    towers `teacher` and `student`.
    """

    def __init__(self, config: StoreConfig, run: RunConfig) -> None:
        """Load the models.

        Raises:
            ModelError: see `ClipTeacher`. ConfigError: no such device.
        """
        set_threads(run)
        self._run = run
        self.device = pick_device(run.device)
        self.teacher = ClipTeacher(config.clip, self.device)
        self.student = MotionStudent(self.teacher, config.flow.image)
        self.config = dataclasses.replace(config, clip=self.teacher.config)
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
                video = _VideoEmbedder(job, self.config, self.teacher, self.student)
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
                    video = _VideoEmbedder(job, self.config, self.teacher, self.student)
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
            how |= {"flow": self.config.flow.to_dict(), "plane": PLANE, "full_scale": FULL_SCALE, "jpeg": JPEG_QUALITY}
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


class _VideoEmbedder:
    """The state of one video: the frame before, and the batch being filled."""

    def __init__(self, job: Job, config: StoreConfig, teacher: ClipTeacher, student: MotionStudent) -> None:
        self.job, self.failed, self.reduced_batch = job, False, False
        self._config, self._teacher, self._student = config, teacher, student
        self._estimator: FlowEstimator = make_estimator(config.flow)
        self._previous: np.ndarray | None = None
        self._previous_s = 0.0
        self._rows: list[_Row] = []
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
                if self._previous is not None:
                    self._add_motion(row, current, chunk.pixel_aspect)
                self._rows.append(row)
                if len(self._rows) == self._config.clip.batch_size:
                    yield self._embed()
            self._previous, self._previous_s = current, time_s

    def rest(self) -> Iterator[EmbeddedFrames]:
        if self._rows:
            yield self._embed()

    def _add_motion(self, row: _Row, current: np.ndarray, pixel_aspect: float) -> None:
        assert self._previous is not None
        dt_s = row.time_s - self._previous_s
        flow = self._estimator.flow(self._previous, current)
        row.speed = mean_speed(flow, dt_s, pixel_aspect)
        row.flow = encode(to_planes(flow, dt_s, self._config.clip.resize, pixel_aspect))
        row.planes = decode(row.flow)

    def _embed(self) -> EmbeddedFrames:
        rows, self._rows = self._rows, []
        n, size = len(rows), self._config.clip.batch_size
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


def _in_halves(compute: Callable[[Images], torch.Tensor], batch: Images) -> list[torch.Tensor]:
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
