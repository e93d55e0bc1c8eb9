"""Which stored videos a person means by a name: an id in any spelling, the path of a file or folder, or a pattern."""

import fnmatch
import os
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

from schemas.videos import Video
from vimoclip.errors import UnknownVideoError, VimoclipError, names_it, nearest, spellings


def known_id(name: str, ids: Collection[str], error: type[VimoclipError] = UnknownVideoError) -> str | None:
    """Find the id that a person typed, perhaps in another Unicode form or in another case.

    Args:
        name: what a person typed.
        ids: those that exist.
        error: the type of the error to raise.

    Returns:
        The id as it is stored; None where there is none.

    Raises:
        VimoclipError: of the type `error`; several ids differ from the name in spelling alone.
    """
    found = spellings(name, ids)
    if len(found) > 1:
        raise error(
            "Several videos have this name in other spellings.", received=name, expected=" or ".join(sorted(found))
        )
    return found[0] if found else None


def match_ids(name: str, ids: Collection[str], error: type[VimoclipError] = UnknownVideoError) -> list[str]:
    """Find the ids that an id, as `known_id` reads it, or a pattern means.

    Of a pattern (`site/*.MP4`) `*` matches any text, slashes too; `?` one character, `[seq]` one of several. An id that
    looks like a pattern means itself.

    Args:
        name: what a person typed.
        ids: those that exist.
        error: the type of the error to raise.

    Returns:
        The ids, sorted; empty where there are none.

    Raises:
        VimoclipError: of the type `error`; see `known_id`.
    """
    if (found := known_id(name, ids, error)) is not None:
        return [found]
    pattern = unicodedata.normalize("NFC", name)
    exact = sorted(each for each in ids if fnmatch.fnmatchcase(each, name))
    return exact or sorted(each for each in ids if fnmatch.fnmatchcase(unicodedata.normalize("NFC", each), pattern))


def find_videos(name: str, rows: Iterable[Video]) -> list[Video]:
    """Find the videos that a name means, by `match_ids` or as the path of their file, or of a folder of theirs.

    Args:
        name: what a person typed; the files need not exist any more.
        rows: the videos to look among, of whatever status.

    Returns:
        The rows, by id; empty where there are none.

    Raises:
        UnknownVideoError: several ids differ from the name in spelling alone.
    """
    by_id = {row.video_id: row for row in rows}
    if name in by_id:
        return [by_id[name]]
    path = os.path.abspath(name) if name and "\0" not in name else name
    if by_path := [row for row in by_id.values() if row.path == path]:
        return by_path
    below = os.path.join(path, "")
    if os.path.isdir(path) and (inside := [row for row in by_id.values() if row.path.startswith(below)]):
        return sorted(inside, key=lambda row: row.video_id)
    return [by_id[video_id] for video_id in match_ids(name, by_id)]


def suggestion(name: str, ids: Collection[str], otherwise: str, hint: str = "") -> dict[str, Any]:
    """What the error of an unknown video says besides the name.

    Args:
        name: what a person typed.
        ids: those that exist.
        otherwise: what is expected where no id is like the name.
        hint: what to do next, unless the name is an id but for its folders or suffix: then that id is asked about.

    Returns:
        Keyword arguments of a VimoclipError.
    """
    near = nearest(name, ids)
    if names_it(name, ids):
        return {"received": name, "hint": f"Did you mean {near}?"}
    return {"received": name, "expected": near or otherwise, "hint": hint}
