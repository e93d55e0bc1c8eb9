"""`match`: which stored video each written name means. Nothing here opens a video or a store."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.labels import Label
from vimoclip.annotations.record import Annotations, Draft, refuse

_SEVERAL = "/"  # instead of a video_id where several are meant; never a video_id, since those are relative


@dataclass(frozen=True)
class KnownVideo:
    """A video that a name may mean.

    Attributes:
        path: the absolute path of its file.
        duration_s: how long it is; None where that is not known, as of a file that is not decoded yet.
        fps: its mean frames per second; None where it is not known.
    """

    path: str
    duration_s: float | None = None
    fps: float | None = None


@dataclass(frozen=True)
class Matched:
    """What `match` found: `unknown` and `ambiguous` hold names as written, everything else video_ids.

    Attributes:
        labels: of the stored videos.
        splits: by video_id, where there is one.
        metadata: by video_id, where there is any.
        unknown: names of no stored video.
        ambiguous: names that may mean several videos.
        videos: every id matched, labelled or not, in order of first mention.
    """

    labels: list[Label]
    splits: dict[str, str]
    metadata: dict[str, dict[str, str]]
    unknown: list[str]
    ambiguous: list[str]
    videos: list[str]


def match(annotations: Annotations, known: Mapping[str, KnownVideo]) -> Matched:
    """Find the stored video behind every written name.

    These rules apply in order:

    (a) the name, joined to the label file's folder unless it is absolute, is the path of a video (`..` and `.`
        resolved, symlinks not followed, the disk not touched);
    (b) the name is a video_id;
    (c) either of them, with `/` for every backslash, and without `.` and `..`;
    (d) one video_id ends with `/` + the name;
    (e) where names are paths of elsewhere, (b) or (d) holds without the first folder of the name, then without the
        second, and so on, as long as no other name has the same ending: of d1/0001.mp4 and d2/0001.mp4, 0001.mp4 says
        too little.

    Where none holds, all are tried again with names and ids in Unicode NFC (macOS writes NFD) and without blanks around
    folder and file names. Where the rule that finds something finds several videos, the name is ambiguous. Names of one
    video merge.

    Args:
        annotations: what was written.
        known: the videos, by video_id.

    Raises:
        LabelError: what several names of one video say contradicts.
    """
    names = [video.name for video in annotations.videos]
    found = _find(names, annotations, known, str)
    if rest := [name for name in names if name not in found]:
        found |= _find(rest, annotations, known, _loosely)
    drafts: dict[str, Draft] = {}
    problems: list[str] = []
    for video in annotations.videos:
        if (video_id := found.get(video.name, _SEVERAL)) != _SEVERAL:
            facts = video.metadata | {"split": video.split or ""}
            conflicts = drafts.setdefault(video_id, Draft()).add(repr(video.name), video.labels, facts)
            problems += [f"{conflict} (both are video {video_id!r})" for conflict in conflicts]
    refuse(annotations.source, problems, "one split, one value and one end, however a video is named")
    source, videos = annotations.source, [draft.done(video_id) for video_id, draft in drafts.items()]
    labels = [(video.name, each) for video in videos for each in video.labels]
    return Matched(
        labels=[Label(video_id=v, label=a.label, start_s=a.start_s, end_s=a.end_s, source=source) for v, a in labels],
        splits={video.name: video.split for video in videos if video.split is not None},
        metadata={video.name: video.metadata for video in videos if video.metadata},
        unknown=[name for name in names if name not in found],
        ambiguous=[name for name in names if found.get(name) == _SEVERAL],
        videos=list(drafts),
    )


def _find(
    names: list[str], annotations: Annotations, known: Mapping[str, KnownVideo], form: Callable[[str], str]
) -> dict[str, str]:
    """Map each name to the video_id it means, or to _SEVERAL; names of no video are left out.

    form: how names are written before they are compared.
    """
    index: dict[tuple[str, str], str] = {}
    for video_id, video in known.items():
        # Every end of an id, not only its basename: thousands of folders may each hold a 0001.mp4.
        ends = [("end", video_id[at + 1 :]) for at, letter in enumerate(video_id) if letter == "/"]
        for kind, key in [("id", video_id), ("path", os.path.normpath(video.path)), *ends]:
            if index.setdefault((kind, form(key)), video_id) != video_id:
                index[kind, form(key)] = _SEVERAL
    named = Counter(form(end) for video in annotations.videos for end in _ends(video.name) if annotations.elsewhere)
    found = {}
    for name in names:
        keys = [*_keys(name, annotations.folder)]
        keys += [(kind, end) for end in _ends(name)[1:] if named[form(end)] == 1 for kind in ("id", "end")]
        if hit := next(filter(None, (index.get((kind, form(key))) for kind, key in keys)), None):
            found[name] = hit
    return found


def _keys(name: str, folder: Path | None) -> Iterator[tuple[str, str]]:
    """What a name may be, in the order of the rules (a) to (d) of `match`."""
    slashed = name.replace("\\", "/")
    forms = list(dict.fromkeys((name, slashed, os.path.normpath(slashed))))
    for each in forms:
        # Without a folder a relative name stays relative, and so is not the path of a video.
        yield "path", os.path.normpath(os.path.join(folder or "", each))
        yield "id", each
    for each in forms:
        yield "end", each


def _ends(name: str) -> list[str]:
    """The name with `/` for every backslash, then without its first folder, and so on to the file's own name."""
    parts = name.replace("\\", "/").split("/")
    return ["/".join(parts[first:]) for first in range(len(parts))]


def _loosely(name: str) -> str:
    return unicodedata.normalize("NFC", "/".join(part.strip() for part in name.split("/")))
