"""Planning an ingest: which files there are, which of them the store knows, and what to do with each of the others.

A file is known by its size and modification time, without being opened; else by its content. The same content under
another id is a duplicate while the first file exists, and a move once it is gone: features and labels follow it.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from schemas.videos import Video
from vimoclip.errors import SourceError
from vimoclip.frames import VideoJob
from vimoclip.progress import count
from vimoclip.store.writer import MOVED
from vimoclip.video.files import StoredFile, content_hash, videos_under

# Which files to ingest, and their ids.
#
# A video's id is its POSIX path relative to the given folder, unchanged. With several folders their names are put
# before it, with `--as PREFIX` that prefix. A file that is given itself belongs to the folder it lies in.


BAD_NAME = "bad-name"
"""The error_kind of a file whose name is not valid Unicode."""
NOT_UNICODE = "Its name is not valid unicode, so it cannot be an id. Rename it."


@dataclass(frozen=True)
class Source:
    """One file to ingest.

    Attributes:
        video_id: its id.
        path: absolute.
        root: the folder it was found under, absolute.
        bytes: its size now.
        mtime_ns: its modification time now, in ns since 1970.
    """

    video_id: str
    path: str
    root: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Sources:
    """What was found.

    Attributes:
        videos: the files to ingest.
        roots: the folders they were found under.
        problems: (path, why) of each file that cannot be ingested.
        misnamed: those of them whose names are not valid Unicode, under names made up for them: what is not is written
            as `\\xe9`.
        left_out: how many system folders and hidden files were left out, by name; see `videos_under`.
        unread: files in the folders that look like videos, and whose suffixes do not say so.
    """

    videos: list[Source]
    roots: list[Path]
    problems: list[tuple[str, str]]
    misnamed: list[Source] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def discover(paths: Iterable[str | Path], prefix: str | None = None) -> Sources:
    """Find every video below the given folders, by suffix in any case, and every file that is given itself.

    Hidden files and folders, and those of the system, are left out: `._IMG_0001.MP4` is a Mac's note about a video, and
    `@eaDir` holds a NAS's small copies of them.

    Args:
        paths: folders, and files.
        prefix: put before every id, as `PREFIX/`.

    Raises:
        SourceError: a path does not exist, there are no videos, or two files would get one id.
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
    left_out: dict[str, int] = {}
    others: list[Path] = []
    misnamed: list[tuple[str, Source]] = []
    for path in named:
        root = path if path.is_dir() else path.parent
        for file in videos_under(path, problems, left_out, others) if path.is_dir() else [path]:
            if str(file) in seen:
                continue
            try:
                status = file.stat()
            except OSError as error:
                problems.append((_printable(file), f"It cannot be read: {error.strerror}."))
                continue
            if not stat.S_ISREG(status.st_mode):
                problems.append((str(file), "It is not a regular file."))
                continue
            video_id = "/".join(filter(None, [prefixes[root], file.relative_to(root).as_posix()]))
            source = Source(video_id, str(file), str(root), status.st_size, status.st_mtime_ns)
            if (path_now := _printable(file)) != str(file):
                problems.append((path_now, NOT_UNICODE))
                named_anew = replace(source, video_id=_printable(video_id), path=path_now, root=_printable(root))
                misnamed.append((str(file), named_anew))
                continue
            if video_id in found:
                raise SourceError(
                    "Two files would get the same id.",
                    received=f"{found[video_id].path} and {file}",
                    expected="folders with different names",
                    hint="Ingest them one after the other, each with --as PREFIX.",
                )
            found[video_id] = seen[str(file)] = source
    unread = _videos_among(file for file in others if str(file) not in seen)
    if not found and not problems:
        raise SourceError(
            "No videos were found.",
            received=", ".join(str(path) for path in named)
            + (f"; {len(unread)} files look like videos, such as {unread[0]}" if unread else ""),
            expected="files with a suffix such as .mp4 .mov .avi .mkv .webm, in any case",
            hint="A video with another suffix is ingested when it is named itself.",
        )
    made_up: dict[str, Source] = {}
    for _, source in sorted(dict(misnamed).items()):
        video_id = source.video_id
        while video_id in found or video_id in made_up:  # a file that really has that name, backslashes and all
            video_id += "~"
        made_up[video_id] = replace(source, video_id=video_id)
    return Sources(list(found.values()), roots, problems, list(made_up.values()), left_out, unread)


def _videos_among(files: Iterable[Path]) -> list[str]:
    """Those that look like videos, each once."""
    regular = [file for file in dict.fromkeys(files) if file.is_file()]  # a pipe would be waited for
    if not regular:
        return []
    from vimoclip.video.probe import looks_like_video  # loads a decoder, which few folders need here

    return [_printable(file) for file in regular if looks_like_video(file)]


def _printable(name: str | Path) -> str:
    """The path or name itself, but for bytes that are not valid Unicode, which become `\\xe9`."""
    return os.fsencode(name).decode(errors="backslashreplace")


@dataclass
class Plan:
    """Sources by what the store knows of them.

    Attributes:
        known: how many are stored and unchanged.
        todo: those to look into, in order.
        relocated: known videos whose files are at another path now, with the source there; each is also counted in
            one of the other fields.
        failed_before: skipped because they failed and have not changed.
        removed: ids that are skipped because they were removed.
    """

    known: int = 0
    todo: list[Source] = field(default_factory=list)
    relocated: list[tuple[Video, Source]] = field(default_factory=list)
    failed_before: list[Video] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """A source that needs no embedding after all.

    Attributes:
        source: the file.
        content_hash: of its content; empty where it is unreadable.
        kind: `touched`, the same video under the same id; `duplicate`, of a video that is there; `moved`, from an id
            whose file is gone; `unreadable`.
        of: the id of the video with the same content.
        error: why it is unreadable.
    """

    source: Source
    content_hash: str
    kind: Literal["touched", "duplicate", "moved", "unreadable"]
    of: str = ""
    error: str = ""


def make_plan(sources: list[Source], rows: Mapping[str, Video], fingerprint: str | None, retry_failed: bool) -> Plan:
    """Sort the sources by what the store knows of them.

    Args:
        sources: the files that were found.
        rows: the store's rows of videos, by id.
        fingerprint: of the store's features; None for a new store.
        retry_failed: whether to look into videos again that failed and have not changed.

    Raises:
        SourceError: an id belongs to a video from another folder.
    """
    plan = Plan()
    by_path = {row.path: row for row in rows.values() if row.error_kind not in (MOVED, BAD_NAME)}
    copies: list[tuple[Source, Video]] = []
    strangers: list[tuple[Source, Video]] = []
    for source in sources:
        row = by_path.get(source.path) or rows.get(source.video_id)
        if row is None or row.error_kind in (MOVED, BAD_NAME):
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
            plan.todo.append(_as(source, row))  # stored as far as it decodes, and to be decoded again
        else:
            plan.known += 1
    # The folder was renamed if another of its videos was found in its new place; then this file has changed.
    renamed = {(row.root, source.root) for row, source in plan.relocated if not os.path.isdir(row.root)}
    clashes = [(source, row) for source, row in strangers if (row.root, source.root) not in renamed]
    plan.todo += [_as(source, row) for source, row in strangers if (row.root, source.root) in renamed]
    changing = {source.video_id for source in plan.todo}
    for source, row in copies:
        if _is_copy(row, rows.get(row.duplicate_of or "")) and row.duplicate_of not in changing:
            plan.known += 1
        else:
            plan.todo.append(_as(source, row))  # the video it duplicates has changed, or is about to
    if clashes:
        source, row = clashes[0]
        raise SourceError(
            f"{count(len(clashes), 'id')} taken by videos from another folder.",
            received=f"{source.video_id} from {source.root}",
            expected=f"the one from {row.root}",
            hint="Ingest this folder under a name of its own: --as PREFIX.",
        )
    return plan


def _as(source: Source, row: Video) -> Source:
    """The source under the id by which the store knows its path."""
    return Source(row.video_id, source.path, source.root, source.bytes, source.mtime_ns)


def replaced(todo: Iterable[Source], rows: Mapping[str, Video]) -> list[str]:
    """The ids of stored videos whose files have other content now. It reads those that changed in size or date."""
    return [
        source.video_id
        for source in todo
        if (row := rows.get(source.video_id)) is not None
        and row.status == "ok"
        and (row.bytes, row.mtime_ns) != (source.bytes, source.mtime_ns)
        and _content(source.path) not in ("", row.content_hash)
    ]


class Identify:
    """Hashes the sources to look into, one by one, whenever the decoder asks for the next job.

    It runs in the decoder's thread, and passes what needs no decoding to the writer's thread.

    Attributes:
        fingerprint: of the store's features.
        hashes: content hashes, by id, of the jobs handed out.
        seen: sources that need no embedding, for the writer's thread.
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
        """Yield the sources that must be embedded.

        Raises:
            SourceError: the folder of the videos is gone.
        """
        for source in self._todo:
            try:
                digest = content_hash(source.path)
            except OSError as error:
                if not os.path.isdir(source.root):
                    raise SourceError(
                        "The folder of the videos is gone; its videos were not marked as failed.",
                        received=source.root,
                        hint="Is the drive still connected? The same command continues from here.",
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
    """Whether a duplicate still is one, be it of a removed video: content that was removed must not come back."""
    return other is not None and other.content_hash == row.content_hash and other.status in ("ok", "removed")


def _gone(row: Video) -> bool:
    """Whether the file is gone from a folder that still exists; a disconnected drive does not count as a move."""
    return os.path.isdir(row.root) and not os.path.lexists(row.path)


def _still_holds(row: Video) -> bool:
    """Whether the file at the row's path still has the row's content; two files may have swapped their names."""
    try:
        return StoredFile.of(row).unchanged()
    except OSError:
        return not os.path.isdir(row.root)  # out of reach, without a sign of change


def _content(path: str) -> str:
    """The content hash; empty, which matches no file, where the file cannot be read."""
    try:
        return content_hash(path)
    except OSError:
        return ""
