"""Video files on a disk: finding them below a folder, and identifying their content."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

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
