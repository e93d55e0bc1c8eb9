"""Videos into a store: plan → executor → one writer. Whatever is known is skipped, whatever fails is named, and a run
that is cut short loses at most the videos it was at; the same command goes on.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty
from typing import Any

from pipelines import label
from pipelines.executor import Executor, in_process
from pipelines.plan import Identify, Plan, Seen, make_plan
from pipelines.request import IngestReport, IngestRequest, Observer
from pipelines.sources import Source, Sources, discover
from schemas.videos import Video
from vimoclip.annotations import Annotations, find_labels, from_csv, match
from vimoclip.config import StoreConfig
from vimoclip.embedded import Embedded, EmbeddedFrames, Failed, Idle, Outcome, Restarted
from vimoclip.errors import NoSpaceError, SettingsError, VideoError
from vimoclip.interrupts import held_back
from vimoclip.lock import writer_lock
from vimoclip.store import FeatureStore, check_free, local
from vimoclip.writer import StoreWriter


def run(request: IngestRequest, observer: Observer | None = None) -> IngestReport:
    """Ingest.

    A KeyboardInterrupt ends it with what is complete committed and `interrupted` set.

    Raises:
        SourceError, SettingsError, ModelError, LabelError, StoreError: before anything is written.
        NoSpaceError: what was committed is safe.
    """
    observer = observer or Observer()
    began = time.monotonic()
    store = local(request.store)
    sources = discover(request.paths, request.prefix)
    annotations = _annotations(request, sources)
    if request.dry_run:
        report = _dry_run(request, store, sources, observer)
    else:
        check_free(store)
        with writer_lock(store, request.wait, observer.waiting):
            report = _Ingest(request, store, sources, annotations, observer).run()
    report.seconds = time.monotonic() - began
    return report


def _annotations(request: IngestRequest, sources: Sources) -> list[Annotations | None]:
    """The label files, read before anything is computed, so that an error in them costs no time; None is by folder."""
    files: list[Path] = []
    if isinstance(request.labels, Path):
        files = [request.labels]
    elif request.labels is None:
        files = list(dict.fromkeys(file for root in sources.roots if (file := find_labels(root)) is not None))
    folders: list[Annotations | None] = [None] if request.label_folders else []
    return [from_csv(file) for file in files] + folders


def _report(sources: Sources, plan: Plan) -> IngestReport:
    report = IngestReport(found=len(sources.videos) + len(sources.problems), known=plan.known + len(plan.relocated))
    report.failed_before = [row.video_id for row in plan.failed_before]
    report.removed = list(plan.removed)
    report.failed = [(path, "unreadable", why) for path, why in sources.problems]
    return report


def _dry_run(request: IngestRequest, store: Path, sources: Sources, observer: Observer) -> IngestReport:
    rows: dict[str, Video] = {}
    fingerprint = None
    if FeatureStore.exists(store):
        known = FeatureStore.open(store)
        known.check_settings(request.asked)
        rows, fingerprint = {row.video_id: row for row in known.rows()}, known.fingerprint
    else:
        StoreConfig.from_dict(request.asked)
    plan = make_plan(sources.videos, rows, fingerprint, request.retry_failed)
    observer.planned(plan, len(plan.todo[: request.limit]))
    report = _report(sources, plan)
    report.left = len(plan.todo)
    return report


class _Ingest:
    """One run, with the write lock held."""

    def __init__(
        self,
        request: IngestRequest,
        path: Path,
        sources: Sources,
        annotations: list[Annotations | None],
        observer: Observer,
    ) -> None:
        self._request, self._path, self._observer = request, path, observer
        self._sources, self._annotations = sources, annotations
        self._takes: dict[str, int] = {}
        self._refused: set[str] = set()
        self._labelled: set[str] = set()
        self._finished = 0
        self._leftovers = False  # whether this run leaves takes behind that no row names

    def run(self) -> IngestReport:
        store = FeatureStore.open(self._path) if FeatureStore.exists(self._path) else None
        if store is not None:
            store.check_settings(self._request.asked)
        rows = {row.video_id: row for row in store.rows()} if store else {}
        fingerprint = store.fingerprint if store else None
        plan = make_plan(self._sources.videos, rows, fingerprint, self._request.retry_failed)
        todo = plan.todo[: self._request.limit]
        self._check_labels(rows)
        self._observer.planned(plan, len(todo))
        self._report = _report(self._sources, plan)
        self._report.left = len(plan.todo) - len(todo)
        if store is None:
            executor = in_process(StoreConfig.from_dict(self._request.asked), self._request.run)
            store = FeatureStore.create(self._path, executor.config, executor.features)
        elif todo:
            executor = in_process(store.located(self._request.asked), self._request.run)
            _check_features(store, executor)
        self._writer = StoreWriter(store)
        self._writer.drop_leftovers()
        try:
            for row, source in plan.relocated:
                self._put(row, source)
            if todo:
                self._observer.ready(executor.config, str(getattr(executor, "device", "")))
                self._labelled = {label.video_id for label in store.label_rows()}
                identify = Identify(todo, self._writer.videos, store.fingerprint)
                self._embed(executor, identify, {source.video_id: source for source in todo})
        except KeyboardInterrupt:
            self._report.interrupted = self._leftovers = True
        self._writer.flush()
        if self._leftovers:
            self._writer.drop_leftovers()
        self._report.left += len(todo) - self._finished
        ids = [source.video_id for source in self._sources.videos]
        self._report.labels = [label.apply(self._writer, annotations, ids) for annotations in self._annotations]
        return self._report

    def _check_labels(self, rows: dict[str, Video]) -> None:
        """Match the labels before anything is computed: names of one video may contradict each other."""
        known = {row.video_id: row.path for row in rows.values()}
        known |= {source.video_id: source.path for source in self._sources.videos}
        for annotations in self._annotations:
            if annotations is not None:
                match(annotations, known)

    def _embed(self, executor: Executor, identify: Identify, sources: dict[str, Source]) -> None:
        self._fingerprint = identify.fingerprint
        outcomes: Iterator[Outcome] = executor.embed(identify.jobs())
        try:
            for outcome in outcomes:
                self._act_on_seen(identify)
                if isinstance(outcome, Idle):
                    self._writer.flush_when_due()
                else:
                    self._store(outcome, sources[outcome.video_id], identify.hashes[outcome.video_id])
            self._act_on_seen(identify)
        except (KeyboardInterrupt, NoSpaceError):
            raise
        except BaseException:
            self._writer.flush()  # what is complete stays, whatever happened to the rest
            raise
        finally:
            with held_back():
                outcomes.close()  # type: ignore[attr-defined]

    def _store(
        self, outcome: EmbeddedFrames | Restarted | Embedded | Failed, source: Source, content_hash: str
    ) -> None:
        video_id = outcome.video_id
        if video_id in self._refused:
            return
        if isinstance(outcome, EmbeddedFrames):
            if video_id not in self._takes:
                self._takes[video_id] = self._writer.new_take()
            try:
                self._writer.add(self._takes[video_id], outcome)
            except VideoError as error:
                self._refused.add(video_id)
                self._fail(source, content_hash, error.kind, str(error))
                return
            self._observer.frames(video_id, len(outcome.frame_index))
        elif isinstance(outcome, Restarted):
            self._leftovers |= self._takes.pop(video_id, None) is not None
        elif isinstance(outcome, Embedded):
            self._commit(source, content_hash, outcome)
        elif isinstance(outcome, Failed):
            self._fail(source, content_hash, outcome.kind, outcome.message)

    def _finish(self, video_id: str, outcome: str) -> None:
        self._finished += 1
        self._observer.video(video_id, outcome)

    def _commit(self, source: Source, content_hash: str, done: Embedded) -> None:
        take, info = self._takes.pop(source.video_id), done.info
        before = self._writer.videos.get(source.video_id)
        replaced = before is not None and before.status == "ok" and before.content_hash != content_hash
        frames = self._writer.frames_in(take)
        self._put(
            self._row(source, content_hash),
            source,
            status="ok",
            take=take,
            codec=info.codec,
            width=info.width,
            height=info.height,
            fps=info.fps,
            time_source=info.time_source,
            frames=frames,
            decoded_frames=info.decoded_frames,
            duration_s=info.duration_s,
            fingerprint=self._fingerprint,
            reduced_batch=done.reduced_batch,
            error_kind=info.broken,
            error="the frames before the damage were kept" if info.broken else None,
        )
        if replaced and source.video_id in self._labelled:
            self._report.relabel.append(source.video_id)
        self._report.ingested += 1
        self._report.frames += frames
        self._finish(source.video_id, "ok")

    def _fail(self, source: Source, content_hash: str, kind: str, message: str) -> None:
        self._leftovers |= self._takes.pop(source.video_id, None) is not None
        before = self._writer.videos.get(source.video_id)
        if before is not None and before.status == "ok":
            # The file changed and its new content is broken: what was extracted from the old one is not thrown away.
            self._put(before, source, error_kind=kind, error=message, attempts=before.attempts + 1)
        else:
            self._put(self._row(source, content_hash), source, status="failed", error_kind=kind, error=message)
        self._report.failed.append((source.video_id, kind, message))
        self._finish(source.video_id, kind)

    def _row(self, source: Source, content_hash: str) -> Video:
        """A fresh row that keeps what people said of the video, and lets go of its take."""
        before = self._writer.videos.get(source.video_id)
        self._leftovers |= before is not None and before.take is not None
        return Video(
            video_id=source.video_id,
            status="failed",
            path=source.path,
            root=source.root,
            content_hash=content_hash,
            bytes=source.bytes,
            mtime_ns=source.mtime_ns,
            ingested_at=datetime.now(UTC),
            split=before.split if before else None,
            metadata=before.metadata if before else "{}",
            attempts=(before.attempts if before else 0) + 1,
        )

    def _put(self, row: Video, source: Source, **changes: Any) -> None:
        place: dict[str, Any] = {
            "path": source.path,
            "root": source.root,
            "bytes": source.bytes,
            "mtime_ns": source.mtime_ns,
        }
        self._writer.put(replace(row, **(place | changes)))

    def _act_on_seen(self, identify: Identify) -> None:
        """Record the sources that needed no embedding."""
        with contextlib.suppress(Empty):
            while True:
                self._act(identify.seen.get_nowait())

    def _act(self, seen: Seen) -> None:
        source = seen.source
        if seen.kind == "unreadable":
            self._fail(source, seen.content_hash, "unreadable", f"The file cannot be read: {seen.error}.")
            return
        if seen.kind == "touched":
            self._put(self._writer.videos[seen.of], source)
            self._report.known += 1
        elif seen.kind == "duplicate":
            self._put(
                self._row(source, seen.content_hash), source, status="duplicate", duplicate_of=seen.of, attempts=0
            )
            self._report.duplicates += 1
        else:
            old = self._writer.videos[seen.of]
            place = replace(old, video_id=source.video_id, path=source.path, root=source.root)
            self._writer.move(old, replace(place, bytes=source.bytes, mtime_ns=source.mtime_ns))
            self._report.moved += 1
            self._leftovers = True
        self._finish(source.video_id, "known" if seen.kind == "touched" else seen.kind)


def _check_features(store: FeatureStore, executor: Executor) -> None:
    """Refuse to add vectors that are not the store's kind, such as from other weights at the same path."""
    for feature in executor.features:
        own = store.features[feature.name]
        if own.fingerprint != feature.fingerprint:
            differing = [
                f"{name} is {getattr(own, name)!r} in the store and {getattr(feature, name)!r} here"
                for name in ("model", "weights", "weights_sha256", "preprocessing", "precision")
                if getattr(own, name) != getattr(feature, name)
            ]
            raise SettingsError(
                f"The feature {feature.name} would not be the store's.",
                received="; ".join(differing),
                expected="the same weights and preprocessing",
                hint="Put the original weights back, or ingest into another store.",
            )
