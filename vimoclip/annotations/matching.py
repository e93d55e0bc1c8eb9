"""`match`: which stored video each written name means. Nothing here opens a video or a store."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from schemas.labels import Clock, Label
from vimoclip.annotations.record import Annotations, Draft, Sightings, VideoAnnotations, refuse
from vimoclip.annotations.recordings import differ, place_events

_SEVERAL = "/"  # instead of a video_id where several are meant; never a video_id, since those are relative
_COMPARED = 8  # candidates, at most, whose folders are compared: a thousand folders may each hold a 0001.mp4

_RATE_SHARE = 0.1
"""How far two rates of one video may differ, as a share: 29.97 is 30, and a phone's varying rate has a lower mean."""

_CONTAINERS = re.compile(
    r"(.*[_ -])?(videos?|movies?|clips?|footage|films?|recordings?|media|data|dataset|raw|camera ?traps?)"
)
"""Folders that say that they hold videos, and not which."""
_HOMES = ("users", "home", "documents and settings")
_OF_HOMES = (
    "desktop",
    "documents",
    "my documents",
    "downloads",
    "videos",
    "my videos",
    "movies",
    "onedrive",
    "dropbox",
)


@dataclass(frozen=True)
class KnownVideo:
    """A video that a name may mean.

    Attributes:
        path: the absolute path of its file.
        duration_s: how long it is; None where that is not known, as of a file that is not decoded yet.
        fps: its mean frames per second; None where it is not known.
        clock_offset_s: what a player's clock shows at the first frame (`schemas.videos.Video`).
    """

    path: str
    duration_s: float | None = None
    fps: float | None = None
    clock_offset_s: float = 0.0

    def length_s(self, clock: Clock) -> float | None:
        """How long it is on a clock, in s: a player counts from where sound begins, be it before the first frame."""
        if self.duration_s is None:
            return None
        return self.duration_s + (self.clock_offset_s if clock == "player" else 0.0)


@dataclass(frozen=True)
class Matched:
    """What `match` found: `unknown` and `ambiguous` hold names as written, everything else video_ids.

    Attributes:
        labels: of the stored videos; their times count from what `Annotations.clock` says.
        splits: by video_id, where there is one.
        metadata: by video_id, where there is any.
        unknown: names of no stored video.
        ambiguous: names that may mean several videos.
        videos: every id matched, labelled or not, in order of first mention.
        names: the video_id that each name means, by the name as written.
        nearest: by unknown name, in words, the stored video that is nearest and why it is not meant.
        unplaced: events, in words, that lie in no stored video or in nobody knows which: those of `Annotations`, and
            those of its recordings that the stored videos' durations do not place either.
        notes: what whoever applies it should know: those of `Annotations`, and names that were taken for a video
            though one of them has a folder that the other lacks.
    """

    labels: list[Label]
    splits: dict[str, str]
    metadata: dict[str, dict[str, str]]
    unknown: list[str]
    ambiguous: list[str]
    videos: list[str]
    names: dict[str, str] = field(default_factory=dict)
    nearest: dict[str, str] = field(default_factory=dict)
    unplaced: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def match(annotations: Annotations, known: Mapping[str, KnownVideo]) -> Matched:
    """Find the stored video behind every written name.

    These rules apply in order:

    (a) the name, joined to the label file's folder unless it is absolute, is the path of a video (`..` and `.`
        resolved, symlinks not followed, the disk not touched);
    (b) the name is a video_id;
    (c) either of them, with `/` for every backslash, and without `.` and `..`;
    (d) one video_id ends with `/` + the name;
    (e) where names are paths of elsewhere, (b) or (d) holds without the first folder of the name, then without the
        second, and so on, as long as no other name has the same ending (of d1/0001.mp4 and d2/0001.mp4, 0001.mp4 says
        too little) and no folder of the name contradicts one of the video_id: siteB/0001.mp4 is not siteA/0001.mp4.
        Drives, homes and folders such as `videos` say nothing, and so contradict nothing.

    Where none holds, all are tried again with names and ids in Unicode NFC (macOS writes NFD) and without blanks around
    folder and file names; then the aliases. Where the rule that finds something finds several videos, the name is
    ambiguous. A video whose duration or rate is clearly not the one that the source gives is not meant, whatever rule
    finds it. Names of one video merge.

    Args:
        annotations: what was written.
        known: the videos, by video_id.

    Raises:
        LabelError: what several names of one video say contradicts.
    """
    finder = _Finder(annotations, known)
    drafts: dict[str, Draft] = {}
    problems: list[str] = []
    unplaced = [*annotations.unplaced]
    placed_by_store = 0

    def add(video: VideoAnnotations) -> None:
        if (video_id := finder.find(video)) is not None:
            facts = video.metadata | {"split": video.split or ""}
            conflicts = drafts.setdefault(video_id, Draft()).add(repr(video.name), video.labels, facts)
            problems.extend(f"{conflict} (both are video {video_id!r})" for conflict in conflicts)

    for video in annotations.videos:
        finder.find(video)  # first: these say how long they are
    seen: dict[str, Sightings] = {}
    for recording in annotations.recordings:
        rates = recording.fps or (None,) * len(recording.names)
        parts = [
            VideoAnnotations(name, duration_s=duration, fps=fps)
            for name, duration, fps in zip(recording.names, recording.durations_s, rates, strict=True)
        ]
        ids = [finder.find(each) for each in parts]
        spans, left = place_events(
            recording, [known[each].length_s(annotations.clock) if each else None for each in ids]
        )
        unplaced += left
        placed_by_store += len(recording.events) - len(left)
        for name, several in spans.items():
            seen.setdefault(name, Sightings()).see(several)
    for video in annotations.videos:
        if video.name in seen:
            seen[video.name].see(video.labels)
            video = replace(video, labels=())
        add(video)
    for name, each in seen.items():
        add(each.done(name))
    refuse(annotations.source, problems, "one split, one value and one end, however a video is named")
    notes = [*annotations.notes, *finder.notes()]
    if placed_by_store:
        notes.append(f"events of videos in a row, placed by the durations of the stored videos: {placed_by_store}")
    source, videos = annotations.source, [draft.done(video_id) for video_id, draft in drafts.items()]
    return Matched(
        labels=[
            Label(
                video_id=video.name,
                label=each.label,
                source=source,
                start_s=each.start_s,
                end_s=each.end_s,
                subject=each.subject,
            )
            for video in videos
            for each in video.labels
        ],
        splits={video.name: video.split for video in videos if video.split is not None},
        metadata={video.name: video.metadata for video in videos if video.metadata},
        unknown=list(finder.unknown),
        ambiguous=list(finder.ambiguous),
        videos=list(drafts),
        names=finder.found(),
        nearest={name: why for name, why in finder.unknown.items() if why},
        unplaced=unplaced,
        notes=notes,
    )


class _Finder:
    """Finds names, and remembers what it did not find or found by less than was written.

    Attributes:
        unknown: in words, the nearest video by name; empty where none is near.
        ambiguous: names; the values mean nothing.
    """

    def __init__(self, annotations: Annotations, known: Mapping[str, KnownVideo]) -> None:
        self.unknown: dict[str, str] = {}
        self.ambiguous: dict[str, None] = {}
        self._known = known
        self._annotations = annotations
        self._found: dict[str, str | None] = {}
        self._tables: dict[Callable[[str], str], _Table] = {}
        self._unconfirmed: list[str] = []

    def find(self, video: VideoAnnotations) -> str | None:
        """Return the video_id that a name means, or None and remember why."""
        if video.name not in self._found:
            self._found[video.name] = self._find(video)
        return self._found[video.name]

    def found(self) -> dict[str, str]:
        """The video_id of every name that means one."""
        return {name: video_id for name, video_id in self._found.items() if video_id is not None}

    def notes(self) -> Iterator[str]:
        """Yield a note for the names that were taken for a video although a folder of one is not in the other."""
        if self._unconfirmed:
            more = f", and {count} more" if (count := len(self._unconfirmed) - 1) else ""
            yield f"{self._unconfirmed[0]}: no folder confirms it, and none speaks against it{more}"

    def _find(self, video: VideoAnnotations) -> str | None:
        contradicting: list[str] = []
        for form in (str, _loosely):
            table = self._table(form)
            used, hit = video.name, table.find(video.name, contradicting)
            for alias in () if hit else video.aliases:
                if hit := table.find_alias(alias):
                    used = alias
                    break
            if hit == _SEVERAL:
                self.ambiguous[video.name] = None
                return None
            if hit:
                if wrong := _other_video(video, self._known[hit]):
                    self.unknown[video.name] = f"{hit} {wrong}"
                    return None
                bare = used != video.name and "/" not in used and len(video.aliases) > 1
                path = os.path.normpath(self._known[hit].path)
                by_path = os.path.normpath(os.path.join(self._annotations.folder or "", used)) == path
                if self._annotations.elsewhere and not by_path and _unconfirmed(used, hit, path, bare):
                    self._unconfirmed.append(f"{used!r} is taken for {hit}")
                return hit
        base = _ends(video.aliases[-1] if video.aliases else video.name)[-1]
        if video.aliases and not contradicting and self._table(_loosely).same_name(base):
            self.ambiguous[video.name] = None
            return None
        near = contradicting[0] if contradicting else self._table(_alike).same_name(base)
        more = "" if len(contradicting) < 2 else f", and {len(contradicting) - 1} more"
        self.unknown[video.name] = f"{near} is of another folder{more}" if contradicting else near and f"{near} is near"
        return None

    def _table(self, form: Callable[[str], str]) -> "_Table":
        if form not in self._tables:
            self._tables[form] = _Table(self._annotations, self._known, form)
        return self._tables[form]


class _Table:
    """Ids, paths and the ends of ids, in one way of writing them.

    form: how names are written before they are compared.
    """

    def __init__(self, annotations: Annotations, known: Mapping[str, KnownVideo], form: Callable[[str], str]) -> None:
        self._folder = annotations.folder
        self._elsewhere = annotations.elsewhere
        self._form = form
        self._index: dict[tuple[str, str], str | list[str]] = {}
        for video_id, video in known.items():
            # Every end of an id, not only its basename: thousands of folders may each hold a 0001.mp4.
            ends = [("end", video_id[at + 1 :]) for at, letter in enumerate(video_id) if letter == "/"]
            for kind, key in [("id", video_id), ("path", os.path.normpath(video.path)), *ends]:
                self._put((kind, form(key)), video_id)
        written = dict.fromkeys(video.name for video in annotations.videos)
        written |= dict.fromkeys(name for each in annotations.recordings for name in each.names)
        self._named = Counter(form(end) for name in written for end in _ends(name) if annotations.elsewhere)

    def _put(self, key: tuple[str, str], video_id: str) -> None:
        present = self._index.setdefault(key, video_id)
        if isinstance(present, str):
            if present != video_id:
                self._index[key] = [present, video_id]
        elif len(present) <= _COMPARED and video_id not in present:
            present.append(video_id)

    def find(self, name: str, contradicting: list[str]) -> str | None:
        """Return the video_id of a name, _SEVERAL or None; videos of other folders go to `contradicting`."""
        for kind, key in _keys(name, self._folder):
            if hit := self._index.get((kind, self._form(key))):
                return hit if isinstance(hit, str) else _SEVERAL
        for end in _ends(name)[1:]:
            for kind in ("id", "end"):
                hit = self._index.get((kind, self._form(end)))
                if hit is None or self._named[self._form(end)] != 1:
                    continue
                candidates = [hit] if isinstance(hit, str) else hit
                if kind == "id":
                    return hit if isinstance(hit, str) else _SEVERAL
                if fitting := [each for each in candidates if not _contradict(name, each, self._form)]:
                    return fitting[0] if len(fitting) == 1 and len(candidates) <= _COMPARED else _SEVERAL
                contradicting += [each for each in candidates if each not in contradicting]
        return None

    def find_alias(self, alias: str) -> str | None:
        """Return the video_id that an alias is or ends; _SEVERAL or None as for names."""
        hit = self._index.get(("id", self._form(alias))) or self._index.get(("end", self._form(alias)))
        return hit if hit is None or isinstance(hit, str) else _SEVERAL

    def same_name(self, base: str) -> str:
        """Return a video_id whose file has this name, or empty."""
        hit = self._index.get(("id", self._form(base))) or self._index.get(("end", self._form(base)), "")
        return hit if isinstance(hit, str) else hit[0]


def _other_video(video: VideoAnnotations, known: KnownVideo) -> str:
    """Why a stored video is not the one that the source describes; empty where it may be."""
    said, stored = video.duration_s, known.duration_s
    # A file of labels may give the length of the pictures, or of the file.
    if said and stored and differ(said, stored) and differ(said, stored + known.clock_offset_s):
        return f"is {said:g} s long in the file and {stored:.6g} s in the store"
    if video.fps and known.fps:
        low, high = sorted((video.fps, known.fps))
        if high > low * (1 + _RATE_SHARE) and abs(high / low - 2) > 0.05:  # twice: fields are counted as frames
            return f"has {video.fps:g} frames/s in the file and {known.fps:.6g} in the store"
    return ""


def _contradict(name: str, video_id: str, form: Callable[[str], str]) -> bool:
    """Whether, from the file upwards, the folders of a name and an id that tell videos apart are not the same."""
    pairs = zip(reversed(_telling(name)), reversed(_telling_of(video_id.split("/")[:-1])), strict=False)
    return any(form(one).lower() != form(other).lower() for one, other in pairs)


def _unconfirmed(name: str, video_id: str, path: str, bare: bool) -> bool:
    """Whether a name was taken for a video that has a telling folder which the name does not confirm.

    bare: whether the name is a file's own name, though the source says more.
    """
    if not (bare or "/" in name.replace("\\", "/")):
        return False
    mine, its = _telling(name), _telling_of(video_id.split("/")[:-1])
    if "/" in video_id:
        return len(its) > len(mine)  # those that both have are the same
    its = _telling_of(path.split("/")[-2:-1])
    return bool(mine and its) and mine[-1].lower() != its[-1].lower()


def _telling(name: str) -> list[str]:
    """The folders of a written path that tell videos apart: without the drive, the home and what `videos` is like."""
    parts = name.replace("\\", "/").split("/")[:-1]
    at = 3 if parts[:2] == ["", ""] else 0  # //server
    while at < len(parts) and (not parts[at] or re.fullmatch(r"[A-Za-z]:|\.|\.\.|~", parts[at])):
        at += 1
    lower = [part.lower() for part in parts]
    if lower[at : at + 1] == ["mnt"] and len(lower) > at + 1 and len(lower[at + 1]) == 1:
        at += 2
    if at < len(lower) and lower[at] in _HOMES:
        at += 2
        while at < len(lower) and lower[at] in _OF_HOMES:
            at += 1
    return _telling_of(parts[at:])


def _telling_of(folders: list[str]) -> list[str]:
    return [each for each in folders if each and not _CONTAINERS.fullmatch(each.strip().lower())]


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


def _alike(name: str) -> str:
    """A name as `_loosely` has it, without case and without its suffix."""
    return os.path.splitext(_loosely(name))[0].casefold()
