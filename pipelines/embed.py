"""A further model over the videos that are in: its vectors become a feature of the store, beside the others.

The frames are the stored ones, decoded again. Resumable; readers see the feature once it is complete, and from then on
an ingest fills it too. A video that cannot be embedded any more is named and has no vectors of it; the same command
tries it again.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from pipelines.engine import Engine
from pipelines.executor import Executor, executor
from pipelines.plan import Plan
from pipelines.rates import Rates
from pipelines.request import Observer
from pipelines.telling import Telling
from schemas.features import Feature
from schemas.videos import Video
from vimoclip.added import Added
from vimoclip.config import ClipConfig, RunConfig
from vimoclip.embedded import Embedded, EmbeddedFrames, Failed, Idle, Job, Outcome, Restarted
from vimoclip.errors import FeatureError, SourceError, StoreError, VideoError
from vimoclip.feature_rows import check_name, lacking
from vimoclip.feature_writer import FeatureWriter
from vimoclip.interrupts import held_back
from vimoclip.lock import Held, writer_lock
from vimoclip.place import Where
from vimoclip.store import FeatureStore
from vimoclip.video_files import content_hash


@dataclass(frozen=True)
class EmbedRequest:
    """What to add, and how.

    feature: its name. asked: settings of its tower that the user gave, as of `vimoclip.config.ClipConfig`; a feature
    that is there already, whole or not, needs none.
    """

    store: Where
    feature: str
    asked: dict[str, Any] = field(default_factory=dict)
    run: RunConfig = field(default_factory=RunConfig)
    engine: Engine = field(default_factory=Engine)
    wait: bool = True


@dataclass
class EmbedReport:
    """What an embed did. known: videos that had the feature. failed: (video_id, kind, message). left: videos that an
    interruption left. complete: whether readers see the feature."""

    feature: str
    known: int = 0
    embedded: int = 0
    frames: int = 0
    left: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    complete: bool = False
    interrupted: bool = False
    seconds: float = 0.0


def run(request: EmbedRequest, observer: Observer | None = None) -> EmbedReport:
    """Add a feature, or go on with it.

    A KeyboardInterrupt ends it with what is there committed and `interrupted` set.

    Raises:
        FeatureError: a name that no added feature can have, or an unknown one and no model. SettingsError: the store
        has another feature of this name. ModelError, SourceError, StoreError. NoSpaceError: what was committed is safe.
    """
    observer = observer or Observer()
    began = time.monotonic()
    at = FeatureStore.open(request.store).place
    with writer_lock(at, request.wait, observer.waiting) as lock:
        report = _Embed(request, FeatureStore.open(at), lock, observer).run()
    report.seconds = time.monotonic() - began
    return report


class _Embed:
    """One run, with the write lock held."""

    def __init__(self, request: EmbedRequest, store: FeatureStore, lock: Held, observer: Observer) -> None:
        self._request, self._store, self._lock, self._observer = request, store, lock, observer
        self._report = EmbedReport(request.feature)
        self._unfit: SimpleQueue[Failed] = SimpleQueue()
        self._rates = Rates()

    def run(self) -> EmbedReport:
        store, name = self._store, self._request.feature
        check_name(store, name)
        tower = self._tower(store.features.get(name) or store.unfinished.get(name))
        live = sum(row.status == "ok" for row in store.rows())
        whole = name in store.features and not lacking(store, store.tables["frames"], name)
        if whole and _asks_for(tower, Added.of([store.features[name]]).towers[name]):
            self._report.known, self._report.complete = live, True
            return self._report  # no model needs to be loaded to know this
        # A file that was stored as far as it decodes decodes so far again; one that broke since lacks frames, and is
        # refused for that.
        settings = replace(self._request.run, on_corrupt="keep")
        added = Added({name: tower}, alone=True)
        with executor(store.config, settings, self._request.engine, added) as embedder:
            self._fill(FeatureWriter(store, embedder.features[0], self._lock.check), embedder, live)
        return self._report

    def _tower(self, known: Feature | None) -> ClipConfig:
        """The settings of the feature's tower: as asked for, or for the rest as the feature has them."""
        name, asked = self._request.feature, self._request.asked
        if known is None:
            if "model" not in asked:
                raise FeatureError(
                    "The store has no such feature, and no model was named to make it with.",
                    received=name,
                    expected=", ".join(_added(self._store)) or "--model",
                    hint="vimoclip embed --model NAME --as FEATURE; any open_clip name, hf-hub:… or local-dir:….",
                )
            return ClipConfig.from_dict(asked)
        own = Added.of([known]).towers[name]
        if "model" in asked:
            own = replace(own, weights="default")  # they belong to their model
        if {"model", "weights"} & asked.keys():
            own = replace(own, preprocess=None)  # it belongs to its weights
        return replace(own, **asked)

    def _fill(self, writer: FeatureWriter, embedder: Executor, live: int) -> None:
        """live: how many videos are in."""
        report, todo = self._report, writer.todo()
        report.known = live - len(todo)
        self._observer.planned(Plan(known=report.known), len(todo))
        tower = Added.of(embedder.features).towers[report.feature]
        self._observer.ready(tower, None, str(embedder.device))
        rows = {row.video_id: row for row in todo}
        try:
            if todo:
                self._embed(embedder, writer, rows)
        except KeyboardInterrupt:
            report.interrupted = True
        report.left = len(todo) - report.embedded - len(report.failed)
        if report.interrupted or (live and not report.known and not report.embedded):
            writer.flush()
        else:
            writer.finish()
        report.complete = writer.feature.complete

    def _embed(self, embedder: Executor, writer: FeatureWriter, rows: dict[str, Video]) -> None:
        outcomes = embedder.embed(self._jobs(list(rows.values())))
        telling = Telling(self._lock, self._rates, len(rows), str(embedder.device))
        refused: set[str] = set()
        try:
            for outcome in outcomes:
                self._record_unfit()
                if not isinstance(outcome, Idle) and outcome.video_id not in refused:
                    try:
                        self._record(writer, rows[outcome.video_id], outcome)
                    except VideoError as error:
                        refused.add(outcome.video_id)
                        writer.take_back(rows[outcome.video_id])
                        self._fail(outcome.video_id, error.kind, str(error))
                telling.tell(self._report.embedded + len(self._report.failed))
            self._record_unfit()
        except (KeyboardInterrupt, StoreError):
            raise
        except BaseException:
            writer.flush()  # what is complete stays, whatever happened to the rest
            raise
        finally:
            with held_back():
                outcomes.close()  # type: ignore[attr-defined]

    def _record(self, writer: FeatureWriter, row: Video, outcome: Outcome) -> None:
        if isinstance(outcome, EmbeddedFrames):
            writer.add(row, outcome)
            count = len(outcome.frame_index)
            self._report.frames += count
            self._rates.add(outcome.worker, count)
            self._observer.frames(row.video_id, count, outcome.worker)
        elif isinstance(outcome, Restarted):
            writer.take_back(row)
        elif isinstance(outcome, Embedded):
            writer.end(row, outcome.reduced_batch)
            self._report.embedded += 1
            self._observer.video(row.video_id, "ok")
        elif isinstance(outcome, Failed):
            raise VideoError(outcome.kind, outcome.message)

    def _fail(self, video_id: str, kind: str, message: str) -> None:
        self._report.failed.append((video_id, kind, message))
        self._observer.video(video_id, kind)

    def _jobs(self, todo: list[Video]) -> Iterator[Job]:
        """The videos whose files still are what was stored. It runs in the decoder's thread.

        Raises:
            SourceError: after all others, when a whole folder of them is gone.
        """
        gone: dict[str, None] = {}
        for row in todo:
            try:
                stat = os.stat(row.path)
                same = (stat.st_size, stat.st_mtime_ns) == (row.bytes, row.mtime_ns)
                if not same and content_hash(row.path) != row.content_hash:
                    message = "The file has other content than what was stored; ingest its folder first."
                    self._unfit.put(Failed(row.video_id, "changed", message))
                    continue
            except OSError as error:
                if not os.path.isdir(row.root):
                    gone[row.root] = None
                    continue
                self._unfit.put(Failed(row.video_id, "unreadable", f"The file cannot be read: {error.strerror}."))
                continue
            yield Job(row.video_id, row.path)
        if gone:
            raise SourceError(
                "The folder of the videos is gone; no video was blamed for it.",
                received=", ".join(gone),
                hint="Is the drive still connected? The same command goes on from here. Where it is gone for good, "
                "`vimoclip remove` takes its videos out.",
            )

    def _record_unfit(self) -> None:
        while not self._unfit.empty():
            unfit = self._unfit.get()
            self._fail(unfit.video_id, unfit.kind, unfit.message)


def _asks_for(tower: ClipConfig, own: ClipConfig) -> bool:
    """Whether settings, as they were asked for, are for certain those that a feature was made with."""
    weights = own.weights if tower.weights == "default" and own.weights in ("openai", "own") else tower.weights
    return replace(tower, weights=weights) == own


def _added(store: FeatureStore) -> list[str]:
    return [name for name, feature in (store.features | store.unfinished).items() if feature.added]
