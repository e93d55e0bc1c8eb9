"""Ingesting videos into a store: plan → executor → one writer.

Known videos are skipped, and failures are recorded. An interrupted run loses at most the videos in progress, and the
same command continues it.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines import label
from pipelines.executor import Engine, Executor, consumed, executor
from pipelines.ingest_plan import BAD_NAME, Identify, Plan, Source, Sources, discover, make_plan, replaced
from pipelines.ingest_recorder import IngestReport, Recorder, record_misnamed
from pipelines.progress import Forecast, ProgressHeartbeat, announce_models, announce_plan
from schemas.features import FIXED, Feature
from schemas.videos import Video
from vimoclip.annotations import Annotations, find_labels, match, read
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.embedding.feature_models import NO_EXTRA_FEATURES, ExtraFeatures
from vimoclip.errors import LabelError
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import check_same
from vimoclip.store.location import LocationLike, StoreLocation, as_location
from vimoclip.store.lock import WriteLock, writer_lock
from vimoclip.store.snapshot import check_free
from vimoclip.store.writer import StoreWriter


@dataclass(frozen=True)
class IngestRequest:
    """What to ingest, and how.

    Attributes:
        paths: folders of videos, and videos.
        store: the store; made where there is none.
        asked: store settings that the user gave, `{section: {name: value}}`; the others are the store's, or the
            defaults.
        run: where and how to compute.
        engine: which executor to use.
        prefix: put before every video's id, as `PREFIX/`.
        labels: a label file; None looks for labels.csv in or beside the folder, "none" does not.
        label_folders: whether to label each video with the name of its folder.
        keep_labels: whether labels, split and metadata stay with a path whose content is replaced by other content.
        retry_failed: whether to retry videos that failed before.
        limit: ingest at most this many new videos.
        dry_run: whether to report only, and write nothing.
        wait: whether to wait for another writer, rather than fail.
    """

    paths: list[Path]
    store: LocationLike
    asked: dict[str, Any] = field(default_factory=dict)
    run: RunConfig = field(default_factory=RunConfig)
    engine: Engine = field(default_factory=Engine)
    prefix: str | None = None
    labels: Path | Literal["none"] | None = None
    label_folders: bool = False
    keep_labels: bool = False
    retry_failed: bool = False
    limit: int | None = None
    dry_run: bool = False
    wait: bool = True


_NOT_LABELS = "Correct the file; or, if it is about something else, ignore it with --labels none."


def run(request: IngestRequest, progress: Progress = NO_PROGRESS) -> IngestReport:
    """Ingest videos.

    A KeyboardInterrupt ends it with complete videos committed and `interrupted` set.

    Args:
        request: what to ingest.
        progress: an item is a video.

    Raises:
        SourceError: a path does not exist, holds no video, or ids clash; nothing was written.
        SettingsError: the store has other settings or models; nothing was written.
        ModelError: a model is not available; nothing was written.
        LabelError: a label file cannot be read; nothing was written.
        StoreError: the store cannot be read or written.
        NoSpaceError: the disk is full; what was committed is safe.
    """
    began = time.monotonic()
    progress.stage("planning")
    at = as_location(request.store)
    sources = discover(request.paths, request.prefix)
    annotations = _annotations(request, sources)
    if request.dry_run:
        report = _dry_run(request, at, sources, progress)
    else:
        check_free(at)
        with writer_lock(at, request.wait, progress.message) as lock:
            report = _Ingest(request, at, lock, sources, annotations, progress).run()
    report.seconds = time.monotonic() - began
    return report


def _annotations(request: IngestRequest, sources: Sources) -> list[Annotations | None]:
    """Read the label files before anything is computed, so that an error in them costs no time; None is by folder."""
    files: list[Path] = []
    if isinstance(request.labels, Path):
        files = [request.labels]
    elif request.labels is None:
        files = list(dict.fromkeys(file for root in sources.roots if (file := find_labels(root)) is not None))
    folders: list[Annotations | None] = [None] if request.label_folders else []
    try:
        return [read(file) for file in files] + folders
    except LabelError as error:
        if request.labels is None:  # the file was found, not named
            raise LabelError(error.what, received=error.received, expected=error.expected, hint=_NOT_LABELS) from error
        raise


def _report(sources: Sources, plan: Plan) -> IngestReport:
    """What the plan alone tells."""
    found = len(sources.videos) + len(sources.problems)
    report = IngestReport(found=found, left_out=sources.left_out, unread=sources.unread, known=plan.known)
    report.failed_before = [row.video_id for row in plan.failed_before]
    report.removed = list(plan.removed)
    misnamed = {source.path for source in sources.misnamed}
    report.failed = [(path, BAD_NAME if path in misnamed else "unreadable", why) for path, why in sources.problems]
    return report


def _dry_run(request: IngestRequest, at: StoreLocation, sources: Sources, progress: Progress) -> IngestReport:
    """Plan, and report what would be done."""
    rows: dict[str, Video] = {}
    fingerprint = None
    if FeatureStore.exists(at):
        known = FeatureStore.open(at)
        known.check_settings(request.asked)
        rows, fingerprint = {row.video_id: row for row in known.rows()}, known.fingerprint
    else:
        StoreConfig.from_dict(request.asked)
    plan = make_plan(sources.videos, rows, fingerprint, request.retry_failed)
    announce_plan(progress, len(plan.todo[: request.limit]), plan.known)
    report = _report(sources, plan)
    report.left = len(plan.todo)
    report.replaced = replaced(plan.todo, rows)
    report.labels_kept = request.keep_labels
    return report


class _Ingest:
    """One ingest, with the write lock held."""

    def __init__(
        self,
        request: IngestRequest,
        at: StoreLocation,
        lock: WriteLock,
        sources: Sources,
        annotations: list[Annotations | None],
        progress: Progress,
    ) -> None:
        self._request, self._place, self._lock, self._progress = request, at, lock, progress
        self._sources, self._annotations = sources, annotations

    def run(self) -> IngestReport:
        store = FeatureStore.open(self._place) if FeatureStore.exists(self._place) else None
        if store is not None:
            store.check_writable()  # before models are loaded
            store.check_settings(self._request.asked)
        rows = {row.video_id: row for row in store.rows()} if store else {}
        fingerprint = store.fingerprint if store else None
        plan = make_plan(self._sources.videos, rows, fingerprint, self._request.retry_failed)
        todo = plan.todo[: self._request.limit]
        self._check_labels(rows)
        announce_plan(self._progress, len(todo), plan.known)
        report = _report(self._sources, plan)
        if store is not None and not todo:
            self._fill(store, plan, todo, None, report)
            return report
        asked = self._request.asked
        config = StoreConfig.from_dict(asked) if store is None else store.located(asked)
        added = _added(store) if store else NO_EXTRA_FEATURES
        self._progress.stage("loading models")
        with executor(config, self._request.run, self._request.engine, added) as embedder:
            if store is None:
                self._lock.check()  # loading the models may have taken long
                store = FeatureStore.create(self._place, embedder.config, embedder.features)
            else:
                _check_features(store, embedder)
            self._fill(store, plan, todo, embedder, report)
        return report

    def _fill(
        self, store: FeatureStore, plan: Plan, todo: list[Source], embedder: Executor | None, report: IngestReport
    ) -> None:
        writer = StoreWriter(store, self._lock.check)
        writer.drop_orphan_rows()
        record_misnamed(writer, self._sources, map(os.path.abspath, filter(os.path.isdir, self._request.paths)))
        identify = Identify(todo, writer.videos, store.fingerprint)
        labelled = {row.video_id for row in store.label_rows()} if todo else set()
        keep = self._request.keep_labels
        recorder = Recorder(writer, report, self._progress, identify, todo, labelled, keep)
        try:
            for row, source in plan.relocated:
                recorder.relocate(row, source)
            if embedder is not None:
                device = str(embedder.device)
                announce_models(self._progress, embedder.config.clip, embedder.config.flow, device)
                self._progress.stage("ingesting", len(todo))
                heartbeat = ProgressHeartbeat(self._lock, recorder.rates, len(todo), device)
                paths, sampling = [source.path for source in todo], embedder.config.sampling
                forecast = Forecast(self._progress, recorder.rates, paths, sampling)
                _embed(embedder, identify, recorder, writer, heartbeat, forecast)
        except KeyboardInterrupt:
            report.interrupted = recorder.leftovers = True
        writer.flush()
        if recorder.leftovers:
            writer.drop_orphan_rows()
        report.left = len(plan.todo) - recorder.finished
        writer.settle_labels()
        report.labels = [label.apply(writer, annotations, self._sources.videos) for annotations in self._annotations]
        report.unlabelled = _count_unlabelled(writer)

    def _check_labels(self, rows: dict[str, Video]) -> None:
        """Match the labels before anything is computed: the names of one video may contradict each other."""
        known = label.with_sources(rows, self._sources.videos)
        for annotations in self._annotations:
            if annotations is not None:
                match(annotations, known)


def _embed(
    embedder: Executor,
    identify: Identify,
    recorder: Recorder,
    writer: StoreWriter,
    heartbeat: ProgressHeartbeat,
    forecast: Forecast,
) -> None:
    outcomes = embedder.embed(identify.jobs())
    with consumed(outcomes, writer.flush):
        for outcome in outcomes:
            recorder.record(outcome)
            heartbeat.update(recorder.finished)
            forecast.update()
        recorder.record_seen()


def _count_unlabelled(writer: StoreWriter) -> int:
    """How many of the stored videos have no label; 0 where none has, since labels are then not wanted."""
    rows = writer.videos.values()
    labelled = {each.video_id for each in writer.label_rows()}
    labelled |= {row.duplicate_of or "" for row in rows if row.status == "duplicate" and row.video_id in labelled}
    missing = sum(row.video_id not in labelled for row in rows if row.status == "ok")
    return missing if missing < sum(row.status == "ok" for row in rows) else 0


def _added(store: FeatureStore) -> ExtraFeatures:
    moving = [feature for feature in store.features.values() if feature.kind == "motion"]
    if all(_named_by_settings(store, feature) for feature in moving):
        return ExtraFeatures.of(store.features.values())
    from vimoclip.embedding.feature_models import load_extra_features  # loads torch, which Ray's driver may not need

    return load_extra_features(store)


def _named_by_settings(store: FeatureStore, feature: Feature) -> bool:
    """Whether the store's settings say what makes a motion feature, so that a worker need not be told."""
    return not feature.added and feature.training == {"mbh": FIXED, "tower": "starting"}[store.config.flow.motion]


def _check_features(store: FeatureStore, embedder: Executor) -> None:
    for feature in embedder.features:
        hint = "Put the original weights back, or ingest into another store."
        if feature.added:
            hint = f"Put the original weights back, or `vimoclip features drop {feature.name}`."
        check_same(store.features[feature.name], feature, hint)
