"""Which videos are meant by paths, ids and patterns, which of them the store holds already, and their frames.

A name is, in this order: a file or folder on the disk; an id of the store, or the path of a stored video's file, which
need not exist any more; a pattern of ids (see vimoclip/store/video_names.py). A file whose content the store holds,
under whatever name, is the stored video.

`stream_stored` reads the frames of stored videos; `stream_files` computes those of other files.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.features import Feature
from schemas.videos import Video
from vimoclip.config.store import RunConfig
from vimoclip.errors import SourceError
from vimoclip.frames import FrameBatch, FrameEvent, VideoDone, VideoFailed, VideoJob
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import videos_missing_feature
from vimoclip.store.frame_reader import FrameReader
from vimoclip.store.video_names import known_id, match_ids, suggestion
from vimoclip.video.files import StoredFile, content_hash, videos_under


@dataclass(frozen=True)
class VideoInput:
    """A video that is meant.

    Attributes:
        video: its id if it is stored, else the file's path as it was named.
        path: absolute.
        row: of a stored video; None for a file.
    """

    video: str
    path: str
    row: Video | None


def resolve_videos(store: FeatureStore, names: Iterable[str | Path]) -> tuple[list[VideoInput], list[VideoFailed]]:
    """Find the videos that are meant.

    Args:
        store: the snapshot.
        names: paths, ids and patterns.

    Returns:
        The videos, each once, in the order of the names; and those that exist but cannot be used.

    Raises:
        SourceError: a name matches nothing.
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
            size = os.stat(path).st_size
            row = self._by_path.get(path)
            if row is None or not StoredFile.of(row).unchanged():
                row = self._by_hash.get(content_hash(path)) if size in self._sizes else None
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
        row = row or self._rows.get(known_id(name, self._rows, SourceError) or "")
        if row is not None and row.status == "duplicate":
            row = self._ok.get(row.duplicate_of or "", row)
        if row is not None and row.status == "ok":
            self._take(row)
        elif row is not None:
            why = f"It has no frames in the store: it is {row.status}. {row.error or ''}"
            self._fail(name, row.error_kind or row.status, why.strip())
        elif matching := match_ids(name, self._ok, SourceError):
            for video_id in matching:
                self._take(self._ok[video_id])
        else:
            otherwise = f"a path, or an id or pattern of videos in {self._place}"
            what = "There is no such file, and no such video in the store."
            raise SourceError(
                what, **suggestion(name, self._ok, otherwise, "`vimoclip status --videos` lists what the store holds.")
            )

    def _fail(self, name: str, kind: str, why: str) -> None:
        self._failed.setdefault(name, VideoFailed(name, kind, why))


ROWS = 2048
"""Rows of `frames` read at once."""


def stream_stored(
    store: FeatureStore, features: Sequence[Feature], rows: Sequence[Video]
) -> Iterator[FrameBatch | VideoDone | VideoFailed]:
    """Read the frames of stored videos, one video after another, a few thousand frames at a time.

    Args:
        store: the snapshot.
        features: the features whose vectors are read.
        rows: the videos, in the order in which to read them.

    Yields:
        The frames of a video in order, then a VideoDone; a VideoFailed for a video that lacks one of the features.

    Raises:
        StoreDamagedError: a video's frames are not whole.
    """
    without = {
        row.video_id: feature.name
        for feature in features
        if feature.added
        for row in videos_missing_feature(store, store.tables["frames"], feature.name)
    }
    for row in rows:
        if (name := without.get(row.video_id)) is not None:
            hint = f"`vimoclip embed --as {name}` adds them."
            yield VideoFailed(row.video_id, "not-embedded", f"The store has no vectors of {name} of it. {hint}")
    whole = [row for row in rows if row.video_id not in without]
    if whole:
        yield from FrameReader(store, whole).iter_videos(whole, (feature.name for feature in features), ROWS)


def stream_files(
    store: FeatureStore, features: Sequence[Feature], jobs: Iterable[VideoJob], run: RunConfig
) -> Iterator[FrameEvent]:
    """Decode and embed files that the store does not hold, with its settings.

    A video gives the same as `stream_stored` would if it were stored.

    Args:
        store: the snapshot.
        features: the features to compute.
        jobs: the files.
        run: where to compute.

    Raises:
        SettingsError: see `vimoclip.embedding.worker.worker_for`, as for the others.
        ModelError: see there.
        SearchError: see there.
    """
    from vimoclip.embedding.worker import worker_for  # loads open_clip, which reading a store does not need

    yield from worker_for(store, list(features), run).embed(jobs)
