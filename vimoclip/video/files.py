"""Video files on a disk: finding them below a folder, identifying their content, and whether it is still the same."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from schemas.videos import Video
from vimoclip.errors import VideoError
from vimoclip.video.decode import EXTENSIONS


def videos_under(folder: Path, problems: list[tuple[str, str]]) -> Iterator[Path]:
    """Find every video below a folder, by suffix in any case, except in hidden files and folders.

    Args:
        folder: where to look; links are followed.
        problems: receives (path, why) of each folder that cannot be listed.

    Yields:
        Paths of videos: files before subfolders, each sorted by name.
    """

    def unlisted(error: OSError) -> None:
        problems.append((str(error.filename), f"The folder cannot be listed: {error.strerror}."))

    visited = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=unlisted):
        real = os.path.realpath(place)
        if real in visited:  # a link that leads back up
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(place, name)
            dangling = os.path.islink(file) and not os.path.exists(file)
            if not name.startswith(".") and file.suffix.lower() in EXTENSIONS and not dangling:
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
    """

    path: str
    bytes: int
    mtime_ns: int
    content_hash: str

    @classmethod
    def of(cls, row: Video) -> Self:
        """The file of a stored video."""
        return cls(row.path, row.bytes, row.mtime_ns, row.content_hash)

    def check(self) -> None:
        """Make sure that the file still has the stored content: by size and date, else by its hash.

        Raises:
            VideoError: `changed`: it has other content. `unreadable`: it is gone, or cannot be read.
        """
        try:
            stat = os.stat(self.path)
            same = (stat.st_size, stat.st_mtime_ns) == (self.bytes, self.mtime_ns)
            if same or (stat.st_size == self.bytes and content_hash(self.path) == self.content_hash):
                return
        except OSError as error:
            raise VideoError("unreadable", f"The file cannot be read: {error.strerror}.", received=self.path) from error
        raise VideoError(
            "changed", "The file has changed since it was stored; ingest its folder first.", received=self.path
        )
