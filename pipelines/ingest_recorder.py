"""Recording an ingest: what became of each source, as rows of the store and figures of the report."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import Empty
from typing import Any

from pipelines.ingest_plan import BAD_NAME, NOT_UNICODE, Identify, Seen, Source, Sources
from pipelines.label import LabelReport
from pipelines.progress import LongVideos, Rates
from schemas.videos import Video
from vimoclip.errors import VideoError
from vimoclip.frames import FrameBatch, FrameEvent, Idle, VideoDone, VideoFailed, VideoReset
from vimoclip.progress import Progress
from vimoclip.store.writer import StoreWriter


@dataclass
class IngestReport:
    """What an ingest did.

    Attributes:
        found: videos found.
        left_out: system folders and hidden files that were left out, by name, with how many.
        unread: files that look like videos and have another suffix; they are ingested when they are named themselves.
        known: those that were stored before.
        ingested: those that were embedded and stored.
        frames: of those.
        duplicates: copies of stored videos.
        moved: stored videos that are under another id now.
        left: videos beyond the limit, or not reached because of an interruption.
        failed: (video_id or path, kind, message) of each video that failed in this run.
        failed_before: ids that were skipped because they failed before.
        removed: ids that were skipped because they were removed.
        replaced: ids whose file has other content than before: what was extracted from the old content is gone.
        relabel: those of them that had labels or a split, which were of the old content.
        labels_kept: whether these were kept, as asked, rather than dropped.
        unlabelled: stored videos that no label is of, once everything was applied.
        labels: what applying each label file did.
        interrupted: whether a KeyboardInterrupt ended it.
        seconds: how long it took.
    """

    found: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    known: int = 0
    ingested: int = 0
    frames: int = 0
    duplicates: int = 0
    moved: int = 0
    left: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    failed_before: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    relabel: list[str] = field(default_factory=list)
    labels_kept: bool = False
    unlabelled: int = 0
    labels: list[LabelReport] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0


def record_misnamed(writer: StoreWriter, sources: Sources, folders: Iterable[str]) -> None:
    """Keep a failed row for each file whose name is not valid Unicode, and forget those that were renamed or are gone.

    Args:
        writer: of the store; nothing may be buffered.
        sources: what was found.
        folders: the folders that were searched, absolute.
    """
    there = {source.video_id: source for source in sources.misnamed}
    searched = set(folders)
    rows = [row for row in writer.videos.values() if row.error_kind == BAD_NAME and row.root in searched]
    writer.forget([row.video_id for row in rows if row.video_id not in there])
    for source in there.values():
        row = writer.videos.get(source.video_id)
        if row is None or row.error_kind != BAD_NAME:
            row = Video(
                video_id=source.video_id,
                status="failed",
                path=source.path,
                root=source.root,
                content_hash="",
                bytes=source.bytes,
                mtime_ns=source.mtime_ns,
                ingested_at=datetime.now(UTC),
                error_kind=BAD_NAME,
                error=NOT_UNICODE,
            )
            writer.put(row)
    writer.flush()


class Recorder:
    """Writes outcomes of one ingest to the store and the report.

    Attributes:
        report: the report that it fills.
        finished: how many sources are done.
        rates: frame rates of the workers.
        leftovers: whether takes were left behind that no row names.
    """

    def __init__(
        self,
        writer: StoreWriter,
        report: IngestReport,
        progress: Progress,
        identify: Identify,
        todo: Iterable[Source],
        labelled: set[str],
        keep_labels: bool = False,
    ) -> None:
        """Start with an empty record.

        Args:
            writer: writes the store.
            report: to fill.
            progress: an item is a source.
            identify: looks into the sources.
            todo: the sources it looks into.
            labelled: ids that have labels.
            keep_labels: whether labels, split and metadata stay with a path whose content is replaced.
        """
        report.labels_kept = self._keep_labels = keep_labels
        self._writer, self.report, self._progress, self._identify = writer, report, progress, identify
        self._sources = {source.video_id: source for source in todo}
        self._labelled = labelled
        self._takes: dict[str, int] = {}
        self._refused: set[str] = set()
        self._embedded: set[str] = set()  # ids that are done, stored or failed
        self._copies: dict[str, list[Seen]] = {}  # copies of videos that are not done yet, by their ids
        self.finished = 0
        self.rates = Rates()
        self._long = LongVideos()
        self.leftovers = False

    def relocate(self, row: Video, source: Source) -> None:
        """Record that the file of a known video is at another path now."""
        self._put(row, source)

    def record(self, outcome: FrameEvent) -> None:
        """Write an outcome of the executor, and whatever needed no embedding meanwhile.

        Raises:
            StoreError: the store cannot be written.
        """
        self.record_seen()
        if isinstance(outcome, Idle):
            self._writer.flush_when_due()
            return
        video_id = outcome.video_id
        if video_id in self._refused:
            return
        source, content_hash = self._sources[video_id], self._identify.hashes[video_id]
        if isinstance(outcome, FrameBatch):
            if video_id not in self._takes:
                self._takes[video_id] = self._writer.new_take()
            try:
                self._writer.add(self._takes[video_id], outcome)
            except VideoError as error:
                self._refused.add(video_id)
                self._fail(source, content_hash, error.kind, str(error))
                return
            self.rates.add(outcome.worker, len(outcome.frame_index))
            self._long.add(video_id, source.path, int(outcome.source_frame[-1]) + 1)
            note = ", ".join(filter(None, [self.rates.note(self.finished), self._long.note()]))
            self._progress.advance(0, note)
            self._progress.partial(self._long.items())
        elif isinstance(outcome, VideoReset):
            self._long.end(video_id)
            self.leftovers |= self._takes.pop(video_id, None) is not None
        elif isinstance(outcome, VideoDone):
            self._commit(source, content_hash, outcome)
        elif isinstance(outcome, VideoFailed):
            self._fail(source, content_hash, outcome.kind, outcome.message, outcome.attempts)

    def _finish(self, video_id: str) -> None:
        self.finished += 1
        self._long.end(video_id)
        self._progress.advance()
        self._progress.partial(self._long.items())

    def _commit(self, source: Source, content_hash: str, done: VideoDone) -> None:
        take, info = self._takes.pop(source.video_id), done.info
        frames = self._writer.frames_in(take)
        self._put(
            self._row(source, content_hash, done.attempts),
            source,
            status="ok",
            take=take,
            codec=info.codec,
            width=info.width,
            height=info.height,
            fps=info.fps,
            time_source=info.time_source,
            repaired_times=info.repaired_times,
            repaired_at=info.repaired_at,
            container_start_s=info.container_start_s,
            first_frame_s=info.first_frame_s,
            levels=info.levels,
            frames=frames,
            decoded_frames=info.decoded_frames,
            duration_s=info.duration_s,
            fingerprint=self._identify.fingerprint,
            reduced_batch=done.reduced_batch,
            error_kind=info.broken,
            error="the frames before the damage were kept" if info.broken else None,
        )
        self.report.ingested += 1
        self.report.frames += frames
        self._finish(source.video_id)
        self._act_on_copies(source.video_id)

    def _fail(self, source: Source, content_hash: str, kind: str, message: str, attempts: int = 1) -> None:
        self.leftovers |= self._takes.pop(source.video_id, None) is not None
        before = self._writer.videos.get(source.video_id)
        if before is not None and before.status == "ok":
            # The file changed and its new content is broken: what was extracted from the old content is kept.
            self._put(before, source, error_kind=kind, error=message, attempts=before.attempts + attempts)
        else:
            failed = self._row(source, content_hash, attempts)
            self._put(failed, source, status="failed", error_kind=kind, error=message)
        self.report.failed.append((source.video_id, kind, message))
        self._finish(source.video_id)
        self._progress.message(f"failed ({kind}): {source.video_id}")
        self._act_on_copies(source.video_id)

    def _row(self, source: Source, content_hash: str, attempts: int) -> Video:
        """A fresh row without a take. It keeps the video's split and metadata, unless its content is replaced."""
        before = self._writer.videos.get(source.video_id)
        self.leftovers |= before is not None and before.take is not None
        attempts += before.attempts if before else 0
        if before is not None and self._replaces(before, content_hash):
            before = None
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
            attempts=attempts,
        )

    def _put(self, row: Video, source: Source, **changes: Any) -> None:
        place: dict[str, Any] = {
            "path": source.path,
            "root": source.root,
            "bytes": source.bytes,
            "mtime_ns": source.mtime_ns,
        }
        self._writer.put(replace(row, **(place | changes)))

    def record_seen(self) -> None:
        """Record the sources that needed no embedding."""
        with contextlib.suppress(Empty):
            while True:
                self._act(self._identify.seen.get_nowait())

    def _act(self, seen: Seen) -> None:
        source = seen.source
        if seen.kind == "unreadable":
            self._fail(source, seen.content_hash, "unreadable", f"The file cannot be read: {seen.error}.")
            return
        if seen.kind == "touched":
            self._put(self._writer.videos[seen.of], source)
            self.report.known += 1
        elif seen.kind == "duplicate":
            if seen.of in self._identify.hashes and seen.of not in self._embedded:
                # Until that video is stored, readers would see a copy of nothing, or of what is about to be replaced.
                self._copies.setdefault(seen.of, []).append(seen)
                return
            of = self._writer.videos[seen.of]
            if of.content_hash != seen.content_hash or of.status == "failed":
                self._fail(source, seen.content_hash, of.error_kind or "unreadable", of.error or "", attempts=0)
                return
            copy = self._row(source, seen.content_hash, 0)
            self._put(copy, source, status="duplicate", duplicate_of=seen.of, attempts=0)
            self.report.duplicates += 1
        else:
            before = self._writer.videos.get(source.video_id)
            if before is not None:
                self._replaces(before, seen.content_hash)
            old = self._writer.videos[seen.of]
            place = replace(old, video_id=source.video_id, path=source.path, root=source.root)
            self._writer.move(old, replace(place, bytes=source.bytes, mtime_ns=source.mtime_ns))
            self.report.moved += 1
            self.leftovers = True
        self._finish(source.video_id)

    def _act_on_copies(self, video_id: str) -> None:
        """Record the copies of a video that was still being embedded when they were seen."""
        self._embedded.add(video_id)
        for seen in self._copies.pop(video_id, []):
            self._act(seen)

    def _replaces(self, before: Video, content_hash: str) -> bool:
        """Report an id that is about to stand for other content, and drop its labels; whether they are dropped.

        What a copy or a file that failed was said to show is of the file that is to come, not of what was there.
        """
        if before.status != "ok" or before.content_hash == content_hash:
            return False
        self.report.replaced.append(before.video_id)
        if before.video_id in self._labelled or before.split is not None or before.metadata != "{}":
            self.report.relabel.append(before.video_id)
        if self._keep_labels:
            return False
        self._writer.drop_labels(before.video_id)
        return True
