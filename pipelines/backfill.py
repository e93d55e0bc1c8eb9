"""Filling an added feature: the outcomes of whatever embeds the videos, written by a FeatureWriter.

The features come from a further model or a motion student (embed.py), or from files of vectors (embed_vectors.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from pipelines.executor import consumed
from pipelines.progress import LongVideos, ProgressHeartbeat, Rates
from schemas.videos import Video
from vimoclip.errors import VideoError
from vimoclip.frames import FrameBatch, FrameEvent, Idle, VideoDone, VideoFailed, VideoJob, VideoReset
from vimoclip.progress import Progress
from vimoclip.store.features import FeatureWriter
from vimoclip.store.lock import WriteLock


class Embedder(Protocol):
    """What gives the vectors of videos: an `pipelines.executor.Executor`, or files."""

    @property
    def device(self) -> object: ...

    def embed(self, jobs: Iterable[VideoJob]) -> Iterator[FrameEvent]:
        """Yield the outcomes of each job."""


@dataclass
class EmbedReport:
    """What an embed did.

    Attributes:
        feature: its name.
        known: videos that had the feature before.
        embedded: videos that got it in this run.
        frames: of those.
        left: videos that were not reached because of an interruption.
        failed: (video_id, kind, message) of each video that could not be embedded.
        bare: frames, of those, that no vector made elsewhere reaches.
        unnamed: videos of the store that the files of such vectors do not name.
        unknown: names there of no stored video.
        ambiguous: names there that may mean several.
        complete: whether readers see the feature.
        interrupted: whether a KeyboardInterrupt ended it.
        seconds: how long it took.
    """

    feature: str
    known: int = 0
    embedded: int = 0
    frames: int = 0
    left: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    bare: int = 0
    unnamed: int = 0
    unknown: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    complete: bool = False
    interrupted: bool = False
    seconds: float = 0.0


class FeatureBackfill(ABC):
    """One run, with the write lock held.

    Attributes:
        skipped: why videos were not handed to the executor, put there from any thread.
    """

    def __init__(self, feature: str, lock: WriteLock, progress: Progress) -> None:
        self._lock, self._progress = lock, progress
        self._report = EmbedReport(feature)
        self.skipped: SimpleQueue[VideoFailed] = SimpleQueue()
        self._long = LongVideos()

    @abstractmethod
    def jobs(self, todo: list[Video]) -> Iterator[VideoJob]:
        """Yield the videos to embed, for the executor. It may run in another thread."""

    def finish(self, writer: FeatureWriter) -> None:
        """Let readers see the feature, once everything that can be embedded is."""
        writer.finish()

    def fill(self, writer: FeatureWriter, embedder: Embedder, todo: list[Video], known: int) -> None:
        """Embed videos that lack the feature, and let readers see it.

        Args:
            writer: writes the feature.
            embedder: computes it.
            todo: the videos.
            known: how many videos have it.
        """
        report = self._report
        report.known = known
        self._progress.stage("embedding", len(todo))
        rows = {row.video_id: row for row in todo}
        try:
            if todo:
                self._embed(embedder, writer, rows)
        except KeyboardInterrupt:
            report.interrupted = True
        report.left = len(todo) - report.embedded - len(report.failed)
        if report.interrupted or (todo and not known and not report.embedded):
            writer.flush()
        else:
            self.finish(writer)
        report.complete = report.complete or writer.feature.complete

    def _embed(self, embedder: Embedder, writer: FeatureWriter, rows: dict[str, Video]) -> None:
        outcomes = embedder.embed(self.jobs(list(rows.values())))
        rates = Rates()
        self._long = LongVideos({row.path: row.decoded_frames for row in rows.values()}.get)
        heartbeat = ProgressHeartbeat(self._lock, rates, len(rows), str(embedder.device))
        refused: set[str] = set()
        with consumed(outcomes, writer.flush):
            for outcome in outcomes:
                self._record_skipped()
                if not isinstance(outcome, Idle) and outcome.video_id not in refused:
                    try:
                        self._record(writer, rows[outcome.video_id], outcome, rates)
                    except VideoError as error:
                        refused.add(outcome.video_id)
                        writer.take_back(rows[outcome.video_id])
                        self._fail(outcome.video_id, error.kind, str(error))
                heartbeat.update(self._done)
            self._record_skipped()

    @property
    def _done(self) -> int:
        return self._report.embedded + len(self._report.failed)

    def _record(self, writer: FeatureWriter, row: Video, outcome: FrameEvent, rates: Rates) -> None:
        if isinstance(outcome, FrameBatch):
            writer.add(row, outcome)
            count = len(outcome.frame_index)
            self._report.frames += count
            rates.add(outcome.worker, count)
            self._long.add(row.video_id, row.path, int(outcome.source_frame[-1]) + 1)
            self._progress.advance(0, ", ".join(filter(None, [rates.note(self._done), self._long.note()])))
            self._progress.partial(self._long.items())
        elif isinstance(outcome, VideoReset):
            self._long.end(row.video_id)
            writer.take_back(row)
        elif isinstance(outcome, VideoDone):
            writer.end(row, outcome.reduced_batch)
            self._report.embedded += 1
            self._finish(row.video_id)
        elif isinstance(outcome, VideoFailed):
            raise VideoError(outcome.kind, outcome.message)

    def _fail(self, video_id: str, kind: str, message: str) -> None:
        self._report.failed.append((video_id, kind, message))
        self._finish(video_id)
        self._progress.message(f"failed ({kind}): {video_id}")

    def _finish(self, video_id: str) -> None:
        self._long.end(video_id)
        self._progress.advance()
        self._progress.partial(self._long.items())

    def _record_skipped(self) -> None:
        while not self.skipped.empty():
            failure = self.skipped.get()
            self._fail(failure.video_id, failure.kind, failure.message)
