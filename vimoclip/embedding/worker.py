"""EmbedWorker: videos in, embedded frames out. The same plain object runs in-process and on every GPU of a cluster.

For each stored frame t it makes z_image = Φ_teacher(frame t) and z_motion = Φ_student(image of f_t), where f_t is the
flow from the frame decoded just before. f_t goes through the codec that the store keeps it in, so that a student is
served the very bytes it will be trained on. Features that were added to a store are further z_image of other towers, or
further z_motion of trained students. vimoclip/embedding/embedder.py makes batches of the frames of a video.
`worker_for` makes the worker for given features of a store, and `make_worker` that of an executor.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from schemas.features import OWN, Feature
from vimoclip.config.store import ClipConfig, RunConfig, StoreConfig
from vimoclip.device import pick_device, pick_precision, set_threads
from vimoclip.embedding.embedder import Models, Motion, StoredFlowEmbedder, VideoEmbedder
from vimoclip.embedding.feature_models import (
    NO_EXTRA_FEATURES,
    ExtraFeatures,
    flow_settings,
    image_feature,
    load_extra_features,
    motion_feature,
)
from vimoclip.errors import FeatureError, ModelError, VideoError
from vimoclip.flow import make_estimator, resolve
from vimoclip.flow.descriptor import MotionBoundaries
from vimoclip.frames import FrameEvent, Idle, VideoDone, VideoFailed, VideoJob, VideoReset
from vimoclip.models.backbones import load_backbone
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import MotionStudent
from vimoclip.video.decode import FrameChunk
from vimoclip.video.decoder_process import DecoderProcess

if TYPE_CHECKING:  # a worker runs where there is no Lance (benchmarks/speed/gpu.py)
    from vimoclip.store.feature_store import FeatureStore


class EmbedWorker:
    """Embeds videos on one device.

    Attributes:
        config: the settings, with everything that was `auto` resolved.
        device: where the models are.
        features: the rows of the features that it makes.
        models: the networks and the flow estimator.
    """

    def __init__(self, config: StoreConfig, run: RunConfig, added: ExtraFeatures = NO_EXTRA_FEATURES) -> None:
        """Load the models.

        Args:
            config: the store's settings.
            run: device, threads, and what to do with corrupt files.
            added: what to compute beside the store's own features, or instead of them.

        Raises:
            ModelError: see `load_backbone` and `make_estimator`.
            ConfigError: there is no such device.
            UsageError: see `vimoclip.flow.resolve`.
        """
        set_threads(run)
        self._run = run
        self.device = pick_device(run.device)
        towers: dict[str, ClipTeacher] = {}
        motion = None
        self.features: list[Feature] = []
        if not added.alone:
            flow = resolve(config.flow, self.device)
            teacher = towers["clip"] = load_backbone(config.clip, self.device)
            config = dataclasses.replace(config, clip=teacher.config, flow=flow)
            estimator = make_estimator(flow, self.device, pick_precision(config.clip.precision, self.device))
            starting = MotionStudent(teacher, flow.image) if flow.motion == "tower" else MotionBoundaries()
            students: dict[str, MotionStudent | MotionBoundaries] = {"moclip": starting}
            for name, student in added.students.items():
                students[name] = student if isinstance(student, MotionBoundaries) else student.served(teacher)
            motion = Motion(students, estimator)
            self.features.append(image_feature("clip", teacher))
            for name, served in students.items():
                how = flow_settings(flow, estimator, teacher.preprocessing.resize)
                self.features.append(motion_feature(name, served, how, added.students.get(name)))
        for name, clip in added.towers.items():
            clip = dataclasses.replace(clip, batch_size=config.clip.batch_size)
            tower = towers[name] = _tower(name, clip, self.device, added.alone)
            settings = json.dumps(tower.config.to_dict(), sort_keys=True)
            self.features.append(dataclasses.replace(image_feature(name, tower), settings=settings))
        self.config, self.models = config, Models(towers, motion)

    def embed(self, jobs: Iterable[VideoJob]) -> Iterator[FrameEvent]:
        """Embed videos one after another; decoding runs ahead, into the next video.

        Args:
            jobs: the videos; drawn in another thread.

        Yields:
            The events of each job in turn, as vimoclip/frames.py describes them.
        """
        video = None
        decoder = DecoderProcess(self.config.sampling, self._run)
        for item in decoder.stream_or_idle(jobs):
            if item is None:
                yield Idle()
                continue
            job, event = item
            if video is None or video.job is not job:
                video = VideoEmbedder(job, self.config, self.models)
            if video.failed:
                continue
            try:
                if isinstance(event, VideoError):
                    raise event
                if isinstance(event, FrameChunk):
                    yield from video.add(event)
                elif isinstance(event, VideoDone):
                    yield from video.rest()
                    yield VideoDone(job.video_id, event.info, video.reduced_batch)
                elif isinstance(event, VideoReset):
                    video = VideoEmbedder(job, self.config, self.models)
                    yield VideoReset(job.video_id)
            except VideoError as error:
                failed = VideoFailed(job.video_id, error.kind, str(error))
            except Exception as error:  # whatever one video provokes, the others are still embedded
                self._check_device()
                failed = VideoFailed(job.video_id, "embedding-failed", f"{type(error).__name__}: {error}"[:500])
            else:
                continue
            video.failed = True
            if isinstance(event, FrameChunk):  # the rest of it would be decoded for nothing
                decoder.give_up(job)
            yield failed

    def _check_device(self) -> None:
        """After an error, raise ModelError if the device itself is broken: every other video would be blamed for it."""
        try:
            torch.ones(1, device=self.device).add(1).cpu()
        except RuntimeError as error:
            raise ModelError(
                f"The device {self.device} has stopped working.",
                received=str(error).splitlines()[0][:200],
                hint="Everything committed is safe; run the same command again, which continues from there.",
            ) from error


def _tower(name: str, clip: ClipConfig, device: torch.device, alone: bool) -> ClipTeacher:
    """The tower of an added feature. alone: it was asked for by name, not along with the store's own features."""
    try:
        tower: ClipTeacher = load_backbone(clip, device)
        return tower
    except ModelError as error:
        if alone:
            raise
        raise ModelError(
            f"The store's feature {name} cannot be computed. {error.what}",
            received=error.received,
            expected=error.expected,
            hint=f"`vimoclip embed --as {name} --model … --weights …` says where its model lies now, and "
            f"`vimoclip features drop {name}` does without it.",
        ) from error


def make_worker(
    config: StoreConfig, run: RunConfig, added: ExtraFeatures = NO_EXTRA_FEATURES
) -> EmbedWorker | StoredFlowEmbedder:
    """Make the worker of an executor: one that decodes videos, or one that reads the flow that a store keeps.

    Args:
        config: the store's settings.
        run: see `EmbedWorker`.
        added: see `EmbedWorker`.

    Raises:
        ModelError: see `EmbedWorker` and `StoredFlowEmbedder`.
        ConfigError: see `EmbedWorker`.
        UsageError: see `EmbedWorker`.
    """
    if added.stored_flow is None:
        return EmbedWorker(config, run, added)
    ((name, student),) = added.students.items()
    return StoredFlowEmbedder(config, added.stored_flow, name, student, run)


OTHER_WEIGHTS = "Its weights have changed since the store was made; put the old ones back."
"""The hint where a feature would be computed by other weights than the store's."""


def worker_for(store: "FeatureStore", features: list[Feature], run: RunConfig) -> EmbedWorker:
    """Make the worker that makes features of a store from files, with the store's settings and the same weights.

    Args:
        store: the store.
        features: the features to make.
        run: device, threads, and what to do with corrupt files.

    Raises:
        SettingsError: the weights are not those that the store was made with.
        ModelError: the weights cannot be had.
        CheckpointError: the files of a student are not in the store, or are damaged.
    """
    from vimoclip.store.features import check_same

    worker = EmbedWorker(store.config, run, _models(store, features))
    for feature in worker.features:
        if feature.name in {own.name for own in features}:
            check_same(store.features[feature.name], feature, OTHER_WEIGHTS)
    return worker


def check_can_make(feature: Feature) -> None:
    """Refuse a feature that only the tool that made its vectors can make of other frames.

    Raises:
        FeatureError: it is one.
    """
    if feature.elsewhere:
        raise FeatureError(
            f"The vectors of {feature.name} were made elsewhere, and only stored videos have them.",
            received=f"a file, an image or a text to compare with {feature.name}",
            expected="stored videos, or features that ViMoCLIP makes",
            hint=f"Ingest the video, make its vectors as the others', and add them: vimoclip embed --as {feature.name}",
        )


def tower_config(store: "FeatureStore", feature: Feature) -> ClipConfig:
    """The settings of an image feature's tower.

    Raises:
        FeatureError: another tool made the feature's vectors.
    """
    check_can_make(feature)
    return ExtraFeatures.of([feature]).towers[feature.name] if feature.added else store.config.clip


def _models(store: "FeatureStore", features: list[Feature]) -> ExtraFeatures:
    """The towers that make these features: without motion no flow is computed."""
    for feature in features:
        check_can_make(feature)
    towers = {feature.name: tower_config(store, feature) for feature in features if feature.kind == "image"}
    moving = [feature.name for feature in features if feature.kind == "motion"]
    if not moving:
        return ExtraFeatures(towers, alone=True)
    own = {name: config for name, config in towers.items() if name not in OWN}
    return ExtraFeatures(
        own, students=load_extra_features(store, [feature for feature in features if feature.kind == "motion"]).students
    )
