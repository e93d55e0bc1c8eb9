"""`Annotations`: the form that every source of labels becomes: videos as named there, labels, split, metadata.

`Draft` and `Sightings` gather what a file says of one video; `refuse` raises all its problems as one error. Labels and
splits of every format are written alike: see `normalised`, `split_name` and `Annotations.of_file`.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from schemas.labels import Clock, Span
from vimoclip.annotations.recordings import Recording
from vimoclip.errors import LabelError

MISSING = frozenset({"", "na", "n/a", "nan", "#n/a", "#na", "<na>", "none", "null", "-"})
"""Cells, in lower case, that say that there is no value: as people, R, pandas and Excel write them."""

SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {"valid": "val", "validation": "val"}


def present(cell: str) -> str:
    """Return a cell without the blanks around it; empty where it is one of MISSING."""
    cell = cell.strip()
    return "" if cell.lower() in MISSING else cell


def normalised(label: str) -> str:
    """Return a label as it is stored: without blanks around it, in Unicode NFC."""
    return unicodedata.normalize("NFC", label).strip()


def split_name(split: str) -> str:
    """Return a split as it is stored: without blanks around it, in lower case, `val` for valid and validation."""
    split = unicodedata.normalize("NFC", split).strip().lower()
    return _SPLIT_NAMES.get(split, split)


@dataclass(frozen=True)
class VideoAnnotations:
    """Everything written about one video.

    Attributes:
        name: its filepath exactly as written.
        labels: with their spans.
        split: None where none was written.
        metadata: values by name.
        duration_s: how long the video is, where the source says so.
        fps: its frames per second, where the source says so.
        aliases: what else it may be called, looked for in this order where the name is of no video.
    """

    name: str
    labels: tuple[Span, ...] = ()
    split: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    duration_s: float | None = None
    fps: float | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Annotations:
    """What one source of labels says.

    Attributes:
        source: the file's name, or FOLDERS.
        folder: the file's absolute folder; None where there is no file.
        videos: in order of first mention.
        elsewhere: whether names are paths on the machine, or in the data set, where they were written, whose upper
            folders may differ from those here.
        unpaired: starts without a stop and stops without a start, in words.
        unplaced: events for which the file does not say where in which video they are, in words.
        clock: what its times count from.
        notes: what whoever applies it should know, such as labels that differ by case alone, in words.
        recordings: events of recordings in several files, whose place depends on how long the stored videos are.
    """

    source: str
    folder: Path | None
    videos: tuple[VideoAnnotations, ...]
    elsewhere: bool = False
    unpaired: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    clock: Clock = "first-frame"
    notes: tuple[str, ...] = ()
    recordings: tuple[Recording, ...] = ()

    @classmethod
    def of_file(
        cls,
        path: Path,
        videos: Iterable[VideoAnnotations],
        *,
        elsewhere: bool = False,
        unpaired: Iterable[str] = (),
        unplaced: Iterable[str] = (),
        clock: Clock = "first-frame",
        notes: Iterable[str] = (),
        recordings: Iterable[Recording] = (),
    ) -> "Annotations":
        """Make the annotations of the file at `path`, with labels and splits written as they are stored.

        Labels that differ by case alone, and splits that are none of SPLITS, are added to the notes.
        """
        folder = Path(os.path.abspath(path)).parent
        written = [
            replace(
                video,
                labels=tuple(dict.fromkeys(replace(each, label=normalised(each.label)) for each in video.labels)),
                split=split_name(video.split or "") or None,
            )
            for video in videos
        ]
        placed_later = tuple(recordings)
        labels = Counter(each.label for video in written for each in video.labels)
        labels.update(event.span.label for each in placed_later for event in each.events)
        return cls(
            path.name,
            folder,
            tuple(written),
            elsewhere,
            tuple(unpaired),
            tuple(unplaced),
            clock,
            (*notes, *_alike(labels), *_own_splits(written)),
            placed_later,
        )


def _alike(labels: Counter[str]) -> Iterator[str]:
    """A note for the labels that differ by case alone, with the count of each."""
    spellings: dict[str, list[str]] = {}
    for label in labels:
        spellings.setdefault(label.casefold(), []).append(label)
    for several in spellings.values():
        if len(several) > 1:
            counts = " and ".join(f"{label!r} ({labels[label]})" for label in sorted(several))
            yield f"labels {counts} differ by case alone, and are {len(several)} labels"


def _own_splits(videos: list[VideoAnnotations]) -> Iterator[str]:
    """A note for each split that training does not know, with the count of its videos."""
    for split, count in Counter(video.split for video in videos if video.split).items():
        if split not in SPLITS:
            yield f"split {split!r} on {count} video{'s' * (count > 1)} is none of {', '.join(SPLITS)}"


class Draft:
    """What is known so far about one video, and where each part of it was written.

    Attributes:
        labels: end and place by label, start and subject.
        facts: value and place by name of the split or metadata.
    """

    def __init__(self) -> None:
        self.labels: dict[tuple[str, float, str | None], tuple[float, str]] = {}
        self.facts: dict[str, tuple[str, str]] = {}  # `split`, which is never the name of metadata, and metadata

    def add(self, where: str, labels: Iterable[Span], facts: Mapping[str, str]) -> list[str]:
        """Add what is written about the video.

        Args:
            where: the place in the file, in words.
            labels: with their spans.
            facts: split and metadata; an empty value says nothing.

        Returns:
            What contradicts earlier places, in words.
        """
        conflicts = []
        for each in labels:
            key = (normalised(each.label), each.start_s, each.subject)
            end, earlier = self.labels.setdefault(key, (each.end_s, where))
            if end != each.end_s:
                span = f"from {each.start_s} s at {end} and {each.end_s} s"
                conflicts.append(f"{earlier} and {where} end {each.label!r} {span}")
        for name, written in facts.items():
            value = split_name(written) if name == "split" else written
            first, earlier = self.facts.setdefault(name, (value, where)) if value else ("", "")
            if first != value:
                conflicts.append(f"{earlier} and {where} set {name} to {first!r} and {value!r}")
        return conflicts

    def done(self, name: str, duration_s: float | None = None, fps: float | None = None) -> VideoAnnotations:
        """Return the video, under this name."""
        facts = {fact: value for fact, (value, _) in self.facts.items()}
        labels = tuple(Span(label, start, end, subject) for (label, start, subject), (end, _) in self.labels.items())
        return VideoAnnotations(name, labels, facts.pop("split", None), facts, duration_s, fps)


class Sightings:
    """What several animals do in one video, for which the store has one metadata value of each name.

    Where labels have the same name, start and subject, the longest counts; the values of one metadata name are joined
    by `; `.

    Attributes:
        any: whether anything was seen.
    """

    def __init__(self) -> None:
        self.any = False
        self._ends: dict[tuple[str, float, str | None], float] = {}
        self._values: dict[str, dict[str, None]] = {}

    def see(self, labels: Iterable[Span], **facts: str) -> None:
        """Add labels, and values of metadata; an empty value says nothing."""
        self.any = True
        for each in labels:
            key = (normalised(each.label), each.start_s, each.subject)
            self._ends[key] = max(each.end_s, self._ends.get(key, each.end_s))
        for name, value in facts.items():
            if value:
                self._values.setdefault(name, {})[value] = None

    def done(
        self, name: str, duration_s: float | None = None, fps: float | None = None, aliases: tuple[str, ...] = ()
    ) -> VideoAnnotations:
        """Return the video, under this name; the arguments are those of `VideoAnnotations`."""
        labels = tuple(Span(label, start, end, subject) for (label, start, subject), end in self._ends.items())
        facts = {fact: "; ".join(each) for fact, each in self._values.items()}
        return VideoAnnotations(name, labels, None, facts, duration_s, fps, aliases)


def refuse(source: str, problems: list[str], expected: str) -> None:
    """Raise one LabelError for all problems, which shows the first 5; do nothing where there are none.

    Args:
        source: what is wrong, such as a file.
        problems: in words, each with its place.
        expected: what there should be.

    Raises:
        LabelError: there are problems.
    """
    if problems:
        received = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        what = f"{source} cannot be used; problems: {len(problems)}."
        raise LabelError(what, received=received, expected=expected, hint="Correct the file and try again.")
