"""Video files of a disk: those below a folder, and what tells one content from another."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from vimoclip.video.decode import EXTENSIONS


def videos_under(folder: Path, problems: list[tuple[str, str]]) -> Iterator[Path]:
    """Every video below a folder, by suffix in any case; hidden files and folders are left out.

    problems: gets (path, why) of folders that cannot be listed.
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
    """`blake2b-128:<hex>` of the whole file. Raises OSError."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return f"blake2b-128:{digest.hexdigest()}"
