"""What a source of labels says, in the one form that all become: videos as named there, labels, split, metadata."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.labels import Span
from vimoclip.errors import LabelError


@dataclass(frozen=True)
class VideoAnnotations:
    """Everything written about one video. `name` is its filepath exactly as written."""

    name: str
    labels: tuple[Span, ...] = ()
    split: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Annotations:
    """One source: its file's name or FOLDERS, that file's absolute folder or None, its videos as first mentioned.

    elsewhere: names are paths of the machine or the data set that they were written in, whose upper folders need not be
    those of this one. unpaired, unplaced: in words, starts without a stop and stops without a start, and events of
    which the file does not say where in which video they are.
    """

    source: str
    folder: Path | None
    videos: tuple[VideoAnnotations, ...]
    elsewhere: bool = False
    unpaired: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()

    @classmethod
    def of_file(
        cls,
        path: Path,
        videos: Iterable[VideoAnnotations],
        *,
        elsewhere: bool = False,
        unpaired: Iterable[str] = (),
        unplaced: Iterable[str] = (),
    ) -> "Annotations":
        """What the file at `path` says."""
        folder = Path(os.path.abspath(path)).parent
        return cls(path.name, folder, tuple(videos), elsewhere, tuple(unpaired), tuple(unplaced))


class Draft:
    """What is known so far about one video, and where each part of it was written."""

    def __init__(self) -> None:
        self.labels: dict[tuple[str, float], tuple[float, str]] = {}
        self.facts: dict[str, tuple[str, str]] = {}  # split (never the name of a metadata column) and metadata

    def add(self, where: str, labels: Iterable[Span], facts: Mapping[str, str]) -> list[str]:
        """Add what is written at `where`; empty facts say nothing. Returns what contradicts, in words."""
        conflicts = []
        for each in labels:
            end, earlier = self.labels.setdefault((each.label, each.start_s), (each.end_s, where))
            if end != each.end_s:
                span = f"from {each.start_s} s at {end} and {each.end_s} s"
                conflicts.append(f"{earlier} and {where} end {each.label!r} {span}")
        for name, value in facts.items():
            first, earlier = self.facts.setdefault(name, (value, where)) if value else ("", "")
            if first != value:
                conflicts.append(f"{earlier} and {where} set {name} to {first!r} and {value!r}")
        return conflicts

    def done(self, name: str) -> VideoAnnotations:
        """The video, under this name."""
        facts = {fact: value for fact, (value, _) in self.facts.items()}
        labels = tuple(Span(label, start, end) for (label, start), (end, _) in self.labels.items())
        return VideoAnnotations(name, labels, facts.pop("split", None), facts)


class Sightings:
    """What several animals do in one video, of which a label and a metadata value hold no more than one each.

    Of the same label with the same start the longest counts, and the values of one metadata name are joined by `; `.
    """

    def __init__(self) -> None:
        self.any = False
        self._ends: dict[tuple[str, float], float] = {}
        self._values: dict[str, dict[str, None]] = {}

    def see(self, labels: Iterable[Span], **facts: str) -> None:
        """Add labels, and values of metadata; an empty value says nothing."""
        self.any = True
        for each in labels:
            key = (each.label, each.start_s)
            self._ends[key] = max(each.end_s, self._ends.get(key, each.end_s))
        for name, value in facts.items():
            if value:
                self._values.setdefault(name, {})[value] = None

    def done(self, name: str, split: str | None = None) -> VideoAnnotations:
        """The video, under this name."""
        labels = tuple(Span(label, start, end) for (label, start), end in self._ends.items())
        return VideoAnnotations(name, labels, split, {fact: "; ".join(each) for fact, each in self._values.items()})


def refuse(source: str, problems: list[str], expected: str) -> None:
    """Raise one LabelError that shows the first 5 of all problems; none where there are none."""
    if problems:
        received = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        what = f"{source} cannot be used; problems: {len(problems)}."
        raise LabelError(what, received=received, expected=expected, hint="Correct the file and try again.")
