"""Which videos are meant by paths, ids and patterns, and which of them the store holds already.

A name is, in this order: a file or folder of the disk; an id of the store, or the path of a stored video's file, which
need not be there any more; a pattern of ids (`site/*.MP4`; `*` is any text, slashes too). A file whose content the
store holds, under whatever name, is the stored video.
"""

import difflib
import fnmatch
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from schemas.videos import Video
from vimoclip.embedding.events import Failed
from vimoclip.errors import SourceError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.video.files import content_hash, videos_under


@dataclass(frozen=True)
class Target:
    """video: the id of a stored one, else the file's path as it was named. path: absolute. row: of a stored one."""

    video: str
    path: str
    row: Video | None


def resolve(store: FeatureStore, names: Iterable[str | Path]) -> tuple[list[Target], list[Failed]]:
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
        self._found: dict[tuple[str, str], Target] = {}
        self._failed: dict[str, Failed] = {}

    def resolve(self, names: Iterable[str | Path]) -> tuple[list[Target], list[Failed]]:
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
            self._found.setdefault(("file", path), Target(name, path, None))
        else:
            self._take(row)

    def _take(self, row: Video) -> None:
        self._found.setdefault(("stored", row.video_id), Target(row.video_id, row.path, row))

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
        self._failed.setdefault(name, Failed(name, kind, why))
