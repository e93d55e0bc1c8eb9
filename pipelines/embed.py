"""Adding a feature to the stored videos: by a further model from their frames, or by a motion student from their flow.

The frames are the stored ones, decoded again. The same command continues a run that was interrupted. Readers see the
feature once it is complete; from then on every ingest fills it too. A video that can no longer be embedded is reported
and has no vectors of the feature; the same command retries it. Vectors that another tool made are added by
embed_vectors.py; what all ways share is in backfill.py.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.backfill import EmbedReport, FeatureBackfill
from pipelines.embed_vectors import EmbedVectors
from pipelines.executor import Engine, executor, is_ray
from pipelines.progress import announce_models, announce_plan
from schemas.features import Feature, Kind
from schemas.videos import Video
from vimoclip.config.store import ClipConfig, RunConfig
from vimoclip.embedding.feature_models import ExtraFeatures, load_student, weights_id
from vimoclip.errors import FeatureError, SourceError, StoreDamagedError, UsageError, VideoError
from vimoclip.frames import VideoFailed, VideoJob
from vimoclip.progress import NO_PROGRESS, Progress, count
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import PROMOTED, STAGED, FeatureWriter, check_name, promote_feature, videos_missing_feature
from vimoclip.store.location import LocationLike, StoreLocation
from vimoclip.store.lock import WriteLock, writer_lock
from vimoclip.store.models import save_model
from vimoclip.video.files import StoredFile

if TYPE_CHECKING:  # with torch, which takes seconds: a run with nothing to do needs none
    from vimoclip.flow.descriptor import MotionBoundaries
    from vimoclip.models.motion_student import Student

MBH: Literal["mbh"] = "mbh"
"""Asks for motion boundaries (vimoclip/flow/descriptor.py) in the place of a student."""


@dataclass(frozen=True)
class EmbedRequest:
    """What to add, and how.

    Attributes:
        store: the store.
        feature: name of the feature.
        asked: settings of its tower that the user gave, fields of `vimoclip.config.store.ClipConfig`; an existing
            feature, complete or not, needs none.
        motion: the folder of a run of train-motion, whose student makes the feature from the stored flow, or `MBH`,
            motion boundaries, which need no training; the feature may then be `moclip` itself.
        vectors: a folder, pattern or file that another tool wrote, which the feature is read from
            (vimoclip/embedding/vector_files.py).
        kind: what vectors made elsewhere are used as; None is `image`, or what the feature is.
        run: where and how to compute.
        engine: which executor to use.
        wait: whether to wait for another writer, rather than fail.
    """

    store: LocationLike
    feature: str
    asked: dict[str, Any] = field(default_factory=dict)
    motion: Path | Literal["mbh"] | None = None
    vectors: str | None = None
    kind: Kind | None = None
    run: RunConfig = field(default_factory=RunConfig)
    engine: Engine = field(default_factory=Engine)
    wait: bool = True


def run(request: EmbedRequest, progress: Progress = NO_PROGRESS) -> EmbedReport:
    """Add a feature, or continue adding it.

    A KeyboardInterrupt ends it with finished videos committed and `interrupted` set.

    Args:
        request: what to add.
        progress: an item is a video.

    Raises:
        UsageError: a kind was given, and no vectors to read.
        FeatureError: an added feature cannot have this name, or it is unknown and no model was given; or vectors cannot
            be read, are of no video, or not of the kind that the feature has.
        SettingsError: the store has another feature of this name.
        ModelError: a model is not available.
        CheckpointError: `motion` does not hold a finished run, or its student had another teacher.
        RunError: the store keeps no flow for a student.
        SourceError: a whole folder of videos is gone.
        StoreError: the store cannot be read or written.
        NoSpaceError: the disk is full; what was committed is safe.
    """
    began = time.monotonic()
    progress.stage("planning")
    at = FeatureStore.open(request.store).place
    with writer_lock(at, request.wait, progress.message) as lock:
        report = _embed(request, at, lock, progress)
    report.seconds = time.monotonic() - began
    return report


def _embed(request: EmbedRequest, at: StoreLocation, lock: WriteLock, progress: Progress) -> EmbedReport:
    store = FeatureStore.open(at)
    known = store.features.get(request.feature) or store.unfinished.get(request.feature)
    if request.vectors is not None or (known is not None and known.elsewhere):
        if request.asked or request.motion is not None:
            raise FeatureError(
                "Vectors made elsewhere take no model.", received=request.feature, hint="Choose another name with --as."
            )
        return EmbedVectors(request.feature, request.vectors, request.kind, store, lock, progress).run()
    if request.kind is not None:
        raise UsageError(
            "Only vectors made elsewhere need a kind.", received=f"--kind {request.kind}", expected="--vectors"
        )
    moving = known is not None and known.added and known.kind == "motion" and not request.asked
    if request.motion is None and not moving:
        return _Embed(request, store, lock, progress).run()
    return EmbedMotion(request.feature, request.motion, request.run, request.engine, store, lock, progress).run()


class _Embed(FeatureBackfill):
    """One run of a further model over the frames, with the write lock held."""

    def __init__(self, request: EmbedRequest, store: FeatureStore, lock: WriteLock, progress: Progress) -> None:
        super().__init__(request.feature, lock, progress)
        self._request, self._store = request, store

    def run(self) -> EmbedReport:
        store, name = self._store, self._request.feature
        store.check_writable()
        check_name(store, name)
        tower = self._tower(store.features.get(name) or store.unfinished.get(name))
        live = len(store.live_videos())
        whole = name in store.features and not videos_missing_feature(store, store.tables["frames"], name)
        if whole and _asks_for(tower, ExtraFeatures.of([store.features[name]]).towers[name]):
            self._report.known, self._report.complete = live, True
            return self._report  # without loading a model
        # A file that was stored up to its damage decodes that far again; one that was damaged since lacks frames, and
        # is refused for that.
        settings = replace(self._request.run, on_corrupt="keep")
        added = ExtraFeatures({name: tower}, alone=True)
        self._progress.stage("loading models")
        with executor(store.config, settings, self._request.engine, added) as embedder:
            made = ExtraFeatures.of(embedder.features).towers[name]
            writer = FeatureWriter(store, embedder.features[0], self._lock.check)
            todo = writer.todo()
            announce_plan(self._progress, len(todo), live - len(todo))
            announce_models(self._progress, made, None, str(embedder.device))
            self.fill(writer, embedder, todo, live - len(todo))
        return self._report

    def _tower(self, known: Feature | None) -> ClipConfig:
        """The settings of the feature's tower: those asked for, and for the rest the feature's own."""
        name, asked = self._request.feature, self._request.asked
        if known is None:
            if "model" not in asked:
                raise FeatureError(
                    "The store has no such feature, and no model was named to make it with.",
                    received=name,
                    expected=", ".join(_added(self._store)) or "--model",
                    hint="vimoclip embed --model NAME --as FEATURE; an open_clip name, hf-hub:…, local-dir:… or timm:…",
                )
            return ClipConfig.from_dict(asked)
        own = ExtraFeatures.of([known]).towers[name]
        if "model" in asked:
            own = replace(own, weights="default")  # weights belong to their model
        if {"model", "weights"} & asked.keys():
            own = replace(own, preprocess=None)  # preprocessing belongs to its weights
        return replace(own, **asked)

    def jobs(self, todo: list[Video]) -> Iterator[VideoJob]:
        """Yield the videos whose files still have the stored content. It runs in the decoder's thread.

        Raises:
            SourceError: a whole folder of videos is gone; raised after all other videos.
        """
        gone: dict[str, None] = {}
        for row in todo:
            try:
                StoredFile.of(row).check()
            except VideoError as error:
                if error.kind == "unreadable" and not os.path.isdir(row.root):
                    gone[row.root] = None
                else:
                    self.skipped.put(VideoFailed(row.video_id, error.kind, error.what))
                continue
            yield VideoJob(row.video_id, row.path)
        if gone:
            raise SourceError(
                "The folder of the videos is gone; its videos were not marked as failed.",
                received=", ".join(gone),
                hint="Is the drive still connected? The same command continues from here. If the folder is gone for "
                "good, `vimoclip remove` takes its videos out.",
            )


def _asks_for(tower: ClipConfig, own: ClipConfig) -> bool:
    """Whether the settings asked for are certainly those that a feature was made with."""
    weights = own.weights if tower.weights == "default" and own.weights in ("openai", "own") else tower.weights
    return replace(tower, weights=weights) == own


def _added(store: FeatureStore) -> list[str]:
    return [name for name, feature in (store.features | store.unfinished).items() if feature.added]


# A trained student, or motion boundaries, over the stored flow: a motion feature beside moclip, or in its place.
#
# Videos are not decoded, and their files may be gone. Beside moclip the feature is added like any other. In its place
# it is filled under a temporary name, and replaces moclip in one step once it is complete (vimoclip/store/features.py).


class EmbedMotion(FeatureBackfill):
    """One run of a motion student over the stored flow, with the write lock held."""

    def __init__(
        self,
        feature: str,
        folder: Path | Literal["mbh"] | None,
        run: RunConfig,
        engine: Engine,
        store: FeatureStore,
        lock: WriteLock,
        progress: Progress,
    ) -> None:
        """Prepare the run.

        Args:
            feature: name of the feature; `moclip` to replace it.
            folder: of a run of train-motion, or `mbh`; None continues with what the feature was begun with.
            run: where and how to compute.
            engine: which executor to use. Workers of other machines need not reach the store.
            store: the store.
            lock: held on the store.
            progress: an item is a video.
        """
        super().__init__(feature, lock, progress)
        self._folder, self._run, self._engine, self._store = folder, run, engine, store

    def run(self) -> EmbedReport:
        """Embed the videos.

        Raises:
            CheckpointError: the folder does not hold a finished run, or its student had another teacher.
            RunError: the store keeps no flow.
            FeatureError: an added feature cannot have this name, or not every video can be embedded to replace moclip.
            SettingsError: the store has another feature of this name.
            ModelError: the student cannot be loaded.
            StoreError: the store cannot be read or written.
            NoSpaceError: the disk is full; what was committed is safe.
        """
        if self._store.promoting is not None:  # a run was killed between the two commits that replace moclip
            self._store = promote_feature(self._store, self._lock.check)
        store, report = self._store, self._report
        from vimoclip.flow.descriptor import MotionBoundaries
        from vimoclip.training.motion_dataset import open_flow

        open_flow(store)  # raises where the store keeps no flow
        student = self._student()
        if not isinstance(student, MotionBoundaries):
            student.meta.check(store.features)
        name = STAGED if report.feature == PROMOTED else report.feature
        check_name(store, name)
        live = len(store.live_videos())
        made = store.features.get(report.feature)
        if made is not None and made.weights == weights_id(student) and not self._lacking(report.feature):
            report.known, report.complete = live, True
            return report  # without loading a model
        if isinstance(self._folder, Path) and not isinstance(student, MotionBoundaries):
            self._lock.check()
            save_model(store.place, student.id, self._folder)
        self._progress.stage("loading models")
        made_from = ExtraFeatures(alone=True, students={name: student}, stored_flow=store.features[PROMOTED])
        with executor(store.config, self._run, self._engine, made_from) as embedder:
            writer = FeatureWriter(store, embedder.features[0], self._lock.check)
            todo = writer.todo()
            announce_plan(self._progress, len(todo), live - len(todo))
            announce_models(self._progress, store.config.clip, None, str(embedder.device))
            self.fill(writer, embedder, todo, live - len(todo))
        return report

    def _student(self) -> "Student | MotionBoundaries":
        if self._folder == MBH:
            from vimoclip.flow.descriptor import MotionBoundaries

            return MotionBoundaries()
        if isinstance(self._folder, Path):
            from vimoclip.models.motion_student import read_student

            return read_student(self._folder)
        known = self._store.features | self._store.unfinished
        student = load_student(self._store, known[self._report.feature])
        assert student is not None  # of an added motion feature
        return student

    def _lacking(self, name: str) -> list[Video]:
        return videos_missing_feature(self._store, self._store.tables["frames"], name)

    def jobs(self, todo: list[Video]) -> Iterator[VideoJob]:
        """Yield the stored videos with their flow; their files are not opened. It runs in another thread."""
        from vimoclip.embedding.embedder import StoredFlowJob

        store = FeatureStore.open(self._store.place, self._store.versions)  # of its own, beside that of the writer
        sent = is_ray(self._run, self._engine)
        for row in todo:
            try:
                yield StoredFlowJob.of(store, row, held=sent)
            except StoreDamagedError as error:
                self.skipped.put(VideoFailed(row.video_id, "no-flow", str(error)))

    def finish(self, writer: FeatureWriter) -> None:
        """Let readers see the feature; in the place of moclip only when every video has it.

        Raises:
            FeatureError: the flow of some videos cannot be read.
        """
        if self._report.feature != PROMOTED:
            writer.finish()
            return
        writer.flush()
        if self._report.failed:
            video_id, _, why = self._report.failed[0]
            raise FeatureError(
                f"{count(len(self._report.failed), 'video')} cannot be embedded, and {PROMOTED} stays as it was.",
                received=f"{video_id}: {why}",
                expected="the flow of every frame",
                hint="Remove them and ingest them again, then run the same command; what is done is kept.",
            )
        self._store = promote_feature(self._store.refresh(), self._lock.check)
        self._report.complete = True
