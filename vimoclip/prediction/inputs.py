"""Which videos are meant by paths, ids and patterns, and which of them the store holds already.

A name is, in this order: a file or folder of the disk; an id of the store, or the path of a stored video's file, which
need not be there any more; a pattern of ids (`site/*.MP4`; `*` is any text, slashes too). A file whose content the
store holds, under whatever name, is the stored video.
"""

import difflib
import fnmatch
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from schemas.features import Feature
from schemas.videos import Video
from vimoclip.config.store import RunConfig
from vimoclip.embedding.events import EmbeddedFrames, Idle, Job, VideoDone, VideoFailed, VideoReset
from vimoclip.errors import SourceError, StoreDamagedError
from vimoclip.frames import FrameRows, FrameVectors, columns_of
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import videos_missing_feature
from vimoclip.store.frame_reader import FrameReader
from vimoclip.video.files import content_hash, videos_under


@dataclass(frozen=True)
class VideoInput:
    """video: the id of a stored one, else the file's path as it was named. path: absolute. row: of a stored one."""

    video: str
    path: str
    row: Video | None


def resolve_videos(store: FeatureStore, names: Iterable[str | Path]) -> tuple[list[VideoInput], list[VideoFailed]]:
    """The videos that are meant, each once, in the order of the names; and those that are there and cannot be used.

    Raises:
        SourceError: a name of nothing.
    """
    return _Resolver(store).resolve(names)


class _Resolver:
    def __init__(self, store: FeatureStore) -> None:
        self._place = store.place
        rows = store.rows()
        self._rows = {row.video_id: row for row in rows}
        self._ok = {row.video_id: row for row in rows if row.status == "ok"}
        self._by_path = {row.path: row for row in self._ok.values()}
        self._sizes = {row.bytes for row in self._ok.values()}
        self._by_hash = {row.content_hash: row for row in self._ok.values()}
        self._found: dict[tuple[str, str], VideoInput] = {}
        self._failed: dict[str, VideoFailed] = {}

    def resolve(self, names: Iterable[str | Path]) -> tuple[list[VideoInput], list[VideoFailed]]:
        for name in map(str, names):
            if os.path.isdir(name):
                self._folder(name)
            elif os.path.exists(name):
                self._file(name)
            else:
                self._stored(name)
        return list(self._found.values()), list(self._failed.values())

    def _folder(self, name: str) -> None:
        problems: list[tuple[str, str]] = []
        files = list(videos_under(Path(name), problems))
        for path, why in problems:
            self._fail(path, "unreadable", why)
        if not files and not problems:
            raise SourceError("No videos were found.", received=name, expected="a folder of videos, at any depth")
        for file in files:
            self._file(str(file))

    def _file(self, name: str) -> None:
        path = os.path.abspath(name)
        try:
            name.encode()
            stat = os.stat(path)
            row = self._by_path.get(path)
            if row is None or (row.bytes, row.mtime_ns) != (stat.st_size, stat.st_mtime_ns):
                row = self._by_hash.get(content_hash(path)) if stat.st_size in self._sizes else None
        except UnicodeEncodeError:
            shown = os.fsencode(name).decode(errors="replace")
            self._fail(shown, "unreadable", "Its name is not valid unicode. Rename it.")
            return
        except OSError as error:
            self._fail(name, "unreadable", f"The file cannot be read: {error.strerror}.")
            return
        if row is None:
            self._found.setdefault(("file", path), VideoInput(name, path, None))
        else:
            self._take(row)

    def _take(self, row: Video) -> None:
        self._found.setdefault(("stored", row.video_id), VideoInput(row.video_id, row.path, row))

    def _stored(self, name: str) -> None:
        row = self._rows.get(name) or self._by_path.get(os.path.abspath(name) if "\0" not in name else name)
        if row is not None and row.status == "duplicate":
            row = self._ok.get(row.duplicate_of or "", row)
        if row is not None and row.status == "ok":
            self._take(row)
        elif row is not None:
            why = f"It has no frames in the store: it is {row.status}. {row.error or ''}"
            self._fail(name, row.error_kind or row.status, why.strip())
        elif matching := sorted(video_id for video_id in self._ok if fnmatch.fnmatchcase(video_id, name)):
            for video_id in matching:
                self._take(self._ok[video_id])
        else:
            near = difflib.get_close_matches(name, list(self._ok), n=3, cutoff=0.4)
            raise SourceError(
                "There is no such file, and no such video in the store.",
                received=name,
                expected=" or ".join(near) or f"a path, or an id or pattern of videos in {self._place}",
                hint="`vimoclip status --videos` lists what the store holds.",
            )

    def _fail(self, name: str, kind: str, why: str) -> None:
        self._failed.setdefault(name, VideoFailed(name, kind, why))


# The frames of videos, one video after another, as rows of vectors: read from the store, or decoded and embedded.
#
# Both give the same for the same video: FrameRows in order, and then Ended, or Failed at any point. Again takes back
# the rows before it. In memory are a few thousand frames.


ROWS = 2048
"""Rows read at once."""


@dataclass(frozen=True)
class StreamDone:
    """The video is complete. fps: mean decoded frames a second."""

    duration_s: float
    fps: float


@dataclass(frozen=True)
class StreamReset:
    """Forget this video's rows so far: it begins again, with other times."""


PredictionEvent = FrameRows | StreamDone | StreamReset | VideoFailed


def stream_stored(
    store: FeatureStore, features: Sequence[Feature], targets: Sequence[VideoInput]
) -> Iterator[tuple[VideoInput, PredictionEvent]]:
    """The videos that the store holds.

    Raises:
        StoreDamagedError: a video's frames are not whole.
    """
    without = {
        row.video_id: feature.name
        for feature in features
        if feature.added
        for row in videos_missing_feature(store, store.tables["frames"], feature.name)
    }
    whole: dict[int, VideoInput] = {}
    for target in targets:
        assert target.row is not None and target.row.take is not None
        if (name := without.get(target.row.video_id)) is not None:
            hint = f"`vimoclip embed --as {name}` adds them."
            yield target, VideoFailed(target.video, "not-embedded", f"The store has no vectors of {name} of it. {hint}")
        else:
            whole[target.row.take] = target
    if not whole:
        return
    names = [target.row.video_id for target in whole.values() if target.row is not None]
    ordered = FrameReader(store, store.videos().filter(pl.col("video_id").is_in(names)))
    read = [feature.name for feature in features]
    columns = ["take", "time_s", *columns_of(read)]
    came = dict.fromkeys(whole, 0)
    for table in ordered.chunks(names, columns, ROWS):
        table = table.combine_chunks()
        takes = table["take"].to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(takes)) + 1).tolist(), len(takes)]
        for first, last in itertools.pairwise(cuts):
            take = int(takes[first])
            target, row = whole[take], whole[take].row
            assert row is not None
            rows = table.slice(first, last - first)
            yield target, FrameRows(rows["time_s"].to_numpy(), FrameVectors.stored(rows, read))
            came[take] += last - first
            if came[take] == row.frames:
                if row.duration_s is None or row.fps is None:
                    raise StoreDamagedError(
                        f"The row of {row.video_id} does not say how long it is.",
                        hint="Run `vimoclip verify` to see what is damaged.",
                    )
                yield target, StreamDone(row.duration_s, row.fps)


def stream_files(
    store: FeatureStore, features: Sequence[Feature], targets: Sequence[VideoInput], run: RunConfig
) -> Iterator[tuple[VideoInput, PredictionEvent]]:
    """Files that the store does not hold, decoded and embedded with its settings.

    Raises:
        SettingsError, ModelError, SearchError: see `vimoclip.embedding.worker.worker_for`.
    """
    if not targets:
        return
    from vimoclip.embedding.worker import worker_for  # loads open_clip, for which who reads a store need not wait

    worker = worker_for(store, list(features), run)
    jobs = {str(n): target for n, target in enumerate(targets)}  # two may have one name in two spellings
    for outcome in worker.embed(Job(n, target.path) for n, target in jobs.items()):
        if isinstance(outcome, Idle):
            continue
        target = jobs[outcome.video_id]
        if isinstance(outcome, EmbeddedFrames):
            vectors = FrameVectors.made(outcome.features, (feature.name for feature in features))
            yield target, FrameRows(outcome.time_s, vectors)
        elif isinstance(outcome, VideoReset):
            yield target, StreamReset()
        elif isinstance(outcome, VideoDone):
            yield target, StreamDone(outcome.info.duration_s, outcome.info.fps)
        else:
            yield target, VideoFailed(target.video, outcome.kind, outcome.message)
