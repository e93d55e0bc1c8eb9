"""Filling a feature that is added to a store: the outcomes of an executor, whatever it is, to a FeatureWriter."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

from pipelines.executor import Executor, consumed
from pipelines.ingest_plan import Plan
from pipelines.progress import Rates
from pipelines.request import Observer
from pipelines.telling import Telling
from schemas.videos import Video
from vimoclip.config.store import ClipConfig
from vimoclip.embedding.events import Embedded, EmbeddedFrames, Failed, Idle, Job, Outcome, Restarted
from vimoclip.errors import VideoError
from vimoclip.store.features import FeatureWriter
from vimoclip.store.lock import Held


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


class Filling(ABC):
    """One run, with the write lock held. Attributes: `unfit`, of jobs that came to nothing, from any thread."""

    def __init__(self, feature: str, lock: Held, observer: Observer) -> None:
        self._lock, self._observer = lock, observer
        self._report = EmbedReport(feature)
        self.unfit: SimpleQueue[Failed] = SimpleQueue()
        self._rates = Rates()

    @abstractmethod
    def jobs(self, todo: list[Video]) -> Iterator[Job]:
        """The videos to embed, as the executor is given them. It may run in another thread."""

    def finish(self, writer: FeatureWriter) -> None:
        """All that can be embedded is: let readers see it."""
        writer.finish()

    def fill(self, writer: FeatureWriter, embedder: Executor, tower: ClipConfig, live: int) -> None:
        """Embed what lacks vectors, and let readers see the feature. tower: for people. live: how many videos are
        in."""
        report, todo = self._report, writer.todo()
        report.known = live - len(todo)
        self._observer.planned(Plan(known=report.known), len(todo))
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
            self.finish(writer)
        report.complete = report.complete or writer.feature.complete

    def _embed(self, embedder: Executor, writer: FeatureWriter, rows: dict[str, Video]) -> None:
        outcomes = embedder.embed(self.jobs(list(rows.values())))
        telling = Telling(self._lock, self._rates, len(rows), str(embedder.device))
        refused: set[str] = set()
        with consumed(outcomes, writer.flush):
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

    def _record_unfit(self) -> None:
        while not self.unfit.empty():
            unfit = self.unfit.get()
            self._fail(unfit.video_id, unfit.kind, unfit.message)
