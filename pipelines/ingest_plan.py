"""What an ingest has to do: which sources are known, and what to do with each of the others.

Known is known by size and modification time, without opening the file; else by content. The same content under
another id is a duplicate while the first file is there, and a move when it is gone: features and labels follow it.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from schemas.videos import Video
from vimoclip.errors import SourceError
from vimoclip.frames import VideoJob
from vimoclip.store.writer import MOVED
from vimoclip.video.files import content_hash, videos_under

# Which files to ingest, and the id of each.
#
# A video's id is its POSIX path relative to the folder that was named, unchanged. Several folders prefix it by
# their name, `--as PREFIX` by a chosen one. A file named itself belongs to the folder it lies in.


@dataclass(frozen=True)
class Source:
    """One file to ingest. path, root: absolute. bytes, mtime_ns: as found now."""

    video_id: str
    path: str
    root: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Sources:
    """The files found, the folders they were found under, and what could not be looked at: (path, why)."""

    videos: list[Source]
    roots: list[Path]
    problems: list[tuple[str, str]]


def discover(paths: Iterable[str | Path], prefix: str | None = None) -> Sources:
    """Every video below the folders named, whatever the case of its suffix, and every file named itself.

    Hidden files and folders are left out: `._IMG_0001.MP4` is a Mac's note about a video, not a video.

    Raises:
        SourceError: a path that is not there, no video at all, or two files that would get one id.
    """
    named = [Path(os.path.abspath(path)) for path in paths]
    for path in named:
        if not path.exists():
            raise SourceError(
                "There is no such file or folder.", received=path, expected="a folder of videos, or a video"
            )
    roots = list(dict.fromkeys(path if path.is_dir() else path.parent for path in named))
    chosen = [prefix.strip("/")] if prefix and prefix.strip("/") else []
    prefixes = {root: "/".join([*chosen, *([root.name] if len(roots) > 1 else [])]) for root in roots}
    found: dict[str, Source] = {}
    seen: dict[str, Source] = {}
    problems: list[tuple[str, str]] = []
    for path in named:
        root = path if path.is_dir() else path.parent
        for file in videos_under(path, problems) if path.is_dir() else [path]:
            if str(file) in seen:
                continue
            try:
                str(file).encode()
                status = file.stat()
            except UnicodeEncodeError:
                why = "Its name is not valid unicode, so it cannot be an id. Rename it."
                problems.append((os.fsencode(file).decode(errors="replace"), why))
                continue
            except OSError as error:
                problems.append((str(file), f"It cannot be read: {error.strerror}."))
                continue
            if not stat.S_ISREG(status.st_mode):
                problems.append((str(file), "It is not a regular file."))
                continue
            video_id = "/".join(filter(None, [prefixes[root], file.relative_to(root).as_posix()]))
            source = Source(video_id, str(file), str(root), status.st_size, status.st_mtime_ns)
            if video_id in found:
                raise SourceError(
                    "Two files would get the same id.",
                    received=f"{found[video_id].path} and {file}",
                    expected="folders with different names",
                    hint="Ingest them one after the other, each with --as PREFIX.",
                )
            found[video_id] = seen[str(file)] = source
    if not found and not problems:
        raise SourceError(
            "No videos were found.",
            received=", ".join(str(path) for path in named),
            expected="files with a suffix such as .mp4 .mov .avi .mkv .webm, in any case",
            hint="A video with another suffix is taken when it is named itself.",
        )
    return Sources(list(found.values()), roots, problems)


@dataclass
class Plan:
    """Sources by what is known of them. todo: those to look into, in order. failed_before: skipped because they failed
    and have not changed. removed: skipped because they were removed.

    relocated: those among all of these that were known under the same id, elsewhere.
    """

    known: int = 0
    todo: list[Source] = field(default_factory=list)
    relocated: list[tuple[Video, Source]] = field(default_factory=list)
    failed_before: list[Video] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """A source that needs no embedding after all: it has the content of the video `of`, or is unreadable (`error`).

    kind: `touched`, the same video under the same id; `duplicate`, of one that is there; `moved`, from an id whose
    file is gone; `unreadable`.
    """

    source: Source
    content_hash: str
    kind: Literal["touched", "duplicate", "moved", "unreadable"]
    of: str = ""
    error: str = ""


def make_plan(sources: list[Source], rows: Mapping[str, Video], fingerprint: str | None, retry_failed: bool) -> Plan:
    """Sort the sources by what the store's rows say of them. fingerprint: of the store's features; None for a new
    store.

    Raises:
        SourceError: an id that another root's video has.
    """
    plan = Plan()
    by_path = {row.path: row for row in rows.values() if row.error_kind != MOVED}
    copies: list[tuple[Source, Video]] = []
    strangers: list[tuple[Source, Video]] = []
    for source in sources:
        row = by_path.get(source.path) or rows.get(source.video_id)
        if row is None or row.error_kind == MOVED:
            plan.todo.append(source)
            continue
        unchanged = (row.bytes, row.mtime_ns) == (source.bytes, source.mtime_ns)
        if row.path != source.path:
            if os.path.exists(row.path) or not (unchanged or _content(source.path) == row.content_hash):
                strangers.append((source, row))
                continue
            plan.relocated.append((row, source))
            unchanged = True
        if row.status == "removed":
            plan.removed.append(row.video_id)
        elif not unchanged or (row.status == "ok" and row.fingerprint != fingerprint):
            plan.todo.append(_as(source, row))
        elif row.status == "failed":
            if retry_failed:
                plan.todo.append(_as(source, row))
            else:
                plan.failed_before.append(row)
        elif row.status == "duplicate":
            copies.append((source, row))
        elif retry_failed and row.error_kind is not None:
            plan.todo.append(_as(source, row))  # its damage was kept, and it shall be decoded again
        else:
            plan.known += 1
    # The folder was renamed if another of its videos was found again where this id was; then this file has changed.
    renamed = {(row.root, source.root) for row, source in plan.relocated if not os.path.isdir(row.root)}
    clashes = [(source, row) for source, row in strangers if (row.root, source.root) not in renamed]
    plan.todo += [_as(source, row) for source, row in strangers if (row.root, source.root) in renamed]
    changing = {source.video_id for source in plan.todo}
    for source, row in copies:
        if _is_copy(row, rows.get(row.duplicate_of or "")) and row.duplicate_of not in changing:
            plan.known += 1
        else:
            plan.todo.append(_as(source, row))  # what it is a duplicate of has changed, or is about to
    if clashes:
        source, row = clashes[0]
        raise SourceError(
            f"{len(clashes)} ids are taken by videos from another folder.",
            received=f"{source.video_id} from {source.root}",
            expected=f"the one from {row.root}",
            hint="Ingest this folder under a name of its own: --as PREFIX.",
        )
    return plan


def _as(source: Source, row: Video) -> Source:
    """The source under the id the store knows its path by."""
    return Source(row.video_id, source.path, source.root, source.bytes, source.mtime_ns)


class Identify:
    """Hashes the sources to look into, one by one, as the decoder asks for the next job.

    It runs in the decoder's thread: what needs no decoding is put on `seen`, for the writer's thread to act on.
    Attributes: `hashes`, the content hash by id of every job handed out.
    """

    def __init__(self, todo: list[Source], rows: Mapping[str, Video], fingerprint: str | None) -> None:
        self._todo = todo
        self._rows = dict(rows)
        self.fingerprint = fingerprint
        settled = [row for row in rows.values() if row.status in ("ok", "removed") and row.error_kind != MOVED]
        settled.sort(key=lambda row: row.status, reverse=True)  # `ok` last: it counts where both have the content
        self._by_hash = {row.content_hash: row for row in settled}
        self._embedding: dict[str, Source] = {}
        self.hashes: dict[str, str] = {}
        self.seen: SimpleQueue[Seen] = SimpleQueue()

    def jobs(self) -> Iterator[VideoJob]:
        """The sources that must be embedded."""
        for source in self._todo:
            try:
                digest = content_hash(source.path)
            except OSError as error:
                if not os.path.isdir(source.root):
                    raise SourceError(
                        "The folder of the videos is gone; no video was blamed for it.",
                        received=source.root,
                        hint="Is the drive still connected? The same command goes on from here.",
                    ) from error
                self.seen.put(Seen(source, "", "unreadable", error=error.strerror or str(error)))
                continue
            row = self._rows.get(source.video_id)
            twin = self._by_hash.get(digest)
            first = self._embedding.get(digest)
            if row is not None and twin is not None and twin.video_id == row.video_id:
                if row.fingerprint == self.fingerprint and row.error_kind is None:
                    self.seen.put(Seen(source, digest, "touched", row.video_id))
                    continue
            elif first is not None:
                self.seen.put(Seen(source, digest, "duplicate", first.video_id))
                continue
            elif twin is not None and (twin.status == "removed" or not _gone(twin)):
                if twin.status == "removed" or _still_holds(twin):
                    self.seen.put(Seen(source, digest, "duplicate", twin.video_id))
                    continue
            elif twin is not None:
                self.seen.put(Seen(source, digest, "moved", twin.video_id))
                self._embedding[digest] = source  # a second copy is a duplicate of where it moved to
                continue
            self._embedding[digest] = source
            self.hashes[source.video_id] = digest
            yield VideoJob(source.video_id, source.path)


def _is_copy(row: Video, other: Video | None) -> bool:
    """Whether a duplicate still is one. Of a removed video it is: who removed its content does not want it back."""
    return other is not None and other.content_hash == row.content_hash and other.status in ("ok", "removed")


def _gone(row: Video) -> bool:
    """Whether the file was taken from a folder that is still there; a drive that is off is no move."""
    return os.path.isdir(row.root) and not os.path.lexists(row.path)


def _still_holds(row: Video) -> bool:
    """Whether the file at the row's path has the row's content; two files may have swapped their names."""
    try:
        stat = os.stat(row.path)
    except OSError:
        return not os.path.isdir(row.root)  # out of reach, and nothing says that it changed
    unchanged = (stat.st_size, stat.st_mtime_ns) == (row.bytes, row.mtime_ns) and row.error_kind is None
    return unchanged or _content(row.path) == row.content_hash


def _content(path: str) -> str:
    """The content hash; of a file that cannot be read, one that no file has."""
    try:
        return content_hash(path)
    except OSError:
        return ""
