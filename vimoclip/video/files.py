"""Video files on a disk: finding them below a folder, identifying their content, and whether it is still the same."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from schemas.videos import Video
from vimoclip.errors import VideoError

_SUFFIXES = """
    264 265 3g2 3gp 3gp2 3gpp 3gpp2 amv asf av1 avc avi bik braw cavs dav divx dv dvr-ms evo f4v flv gif gxf
    h261 h263 h264 h265 h266 hevc insv ismv ivf k3g lrv m1v m2p m2t m2ts m2v m4s m4v mj2 mjp mjpeg mjpg mk3d mkv
    mod mov mp2v mp4 mp4v mpe mpeg mpg mpv mts mxf nsv nut obu ogm ogv qt r3d rm rmvb smk tod tp trp ts vc1
    vob vro vvc webm wmv wtv xvid y4m
"""
EXTENSIONS = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes, lower case, of the files in a folder that are taken for videos."""

_OF_SYSTEMS = """
    @eaDir @Recycle @Recently-Snapshot @tmp #recycle #snapshot #trash $RECYCLE.BIN RECYCLER RECYCLED lost+found
    __MACOSX System,Volume,Information Network,Trash,Folder Temporary,Items FOUND.000
"""
SYSTEM_FOLDERS = frozenset(name.replace(",", " ").lower() for name in _OF_SYSTEMS.split())
"""Folders of Synology, QNAP, Windows and macOS, in lower case: previews and deleted files, never a user's videos. Those
whose names begin with a dot (.Trashes, .@__thumb, .Spotlight-V100) are hidden, and left out with all hidden ones."""


def videos_under(
    folder: Path,
    problems: list[tuple[str, str]],
    left_out: dict[str, int] | None = None,
    others: list[Path] | None = None,
) -> Iterator[Path]:
    """Find every video below a folder, by suffix in any case, except in hidden files and folders and SYSTEM_FOLDERS.

    Args:
        folder: where to look; links are followed.
        problems: receives (path, why) of each folder that cannot be listed.
        left_out: receives how many folders, or videos by their suffix, were left out for their name, by that name:
            `@eaDir`, `.Trashes`; `._*` for the notes that macOS leaves beside files, `.*` for what else is hidden.
        others: receives the files that are not hidden and have another suffix.

    Yields:
        Paths of videos: files before subfolders, each sorted by name.
    """
    counts = {} if left_out is None else left_out

    def leave_out(name: str) -> None:
        counts[name] = counts.get(name, 0) + 1

    def unlisted(error: OSError) -> None:
        problems.append((str(error.filename), f"The folder cannot be listed: {error.strerror}."))

    visited = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=unlisted):
        real = os.path.realpath(place)
        if real in visited:  # a link that leads back up
            folders.clear()
            continue
        visited.add(real)
        for name in [name for name in folders if name.startswith(".") or name.lower() in SYSTEM_FOLDERS]:
            folders.remove(name)
            leave_out(".*" if name.startswith(".") and not name.lower().startswith(".trash") else name)
        folders.sort()
        for name in sorted(files):
            file = Path(place, name)
            if os.path.islink(file) and not os.path.exists(file):
                continue
            if file.suffix.lower() not in EXTENSIONS:
                if others is not None and not name.startswith("."):
                    others.append(file)
            elif name.startswith("."):
                leave_out("._*" if name.startswith("._") else ".*")
            else:
                yield file


def content_hash(path: str) -> str:
    """`blake2b-128:<hex>` of the whole file; raises OSError."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return f"blake2b-128:{digest.hexdigest()}"


@dataclass(frozen=True)
class StoredFile:
    """A file as it was when its content was stored. A path is not an identity: ask `check` before decoding it again.

    Attributes:
        path: absolute.
        bytes: its size.
        mtime_ns: its modification time, ns since 1970.
        content_hash: as the function of that name gives it.
        error_kind: of the video. Where there is one, size and date may be those of newer content that could not take
            the place of what is stored, and the hash alone tells.
    """

    path: str
    bytes: int
    mtime_ns: int
    content_hash: str
    error_kind: str | None = None

    @classmethod
    def of(cls, row: Video) -> Self:
        """The file of a stored video."""
        return cls(row.path, row.bytes, row.mtime_ns, row.content_hash, row.error_kind)

    def unchanged(self) -> bool:
        """Whether the file still has the stored content: by size and date, else by its hash; raises OSError."""
        stat = os.stat(self.path)
        if self.error_kind is None:
            if stat.st_size != self.bytes:
                return False
            if stat.st_mtime_ns == self.mtime_ns:
                return True
        return content_hash(self.path) == self.content_hash

    def check(self) -> None:
        """Make sure that the file still has the stored content.

        Raises:
            VideoError: `changed`: it has other content. `unreadable`: it is gone, or cannot be read.
        """
        try:
            unchanged = self.unchanged()
        except OSError as error:
            raise VideoError("unreadable", f"The file cannot be read: {error.strerror}.", received=self.path) from error
        if not unchanged:
            raise VideoError(
                "changed", "The file has changed since it was stored; ingest its folder first.", received=self.path
            )
