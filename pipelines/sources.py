"""Which files to ingest, and the id of each.

A video's id is its POSIX path relative to the folder that was named, unchanged. Several folders prefix it by
their name, `--as PREFIX` by a chosen one. A file named itself belongs to the folder it lies in.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vimoclip.errors import SourceError
from vimoclip.video.files import videos_under


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
