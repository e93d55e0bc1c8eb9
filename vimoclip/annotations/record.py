"""`Annotations`: the form that every source of labels becomes: videos as named there, labels, split, metadata.

`Draft` and `Sightings` gather what a file says of one video; `refuse` raises all its problems as one error.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.labels import Clock, Span
from vimoclip.errors import LabelError


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
    """

    name: str
    labels: tuple[Span, ...] = ()
    split: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    duration_s: float | None = None
    fps: float | None = None


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
    """

    source: str
    folder: Path | None
    videos: tuple[VideoAnnotations, ...]
    elsewhere: bool = False
    unpaired: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    clock: Clock = "first-frame"
    notes: tuple[str, ...] = ()

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
    ) -> "Annotations":
        """Make the annotations of the file at `path`."""
        folder = Path(os.path.abspath(path)).parent
        return cls(path.name, folder, tuple(videos), elsewhere, tuple(unpaired), tuple(unplaced), clock, tuple(notes))


class Draft:
    """What is known so far about one video, and where each part of it was written.

    Attributes:
        labels: end and place by label and start.
        facts: value and place by name of the split or metadata.
    """

    def __init__(self) -> None:
        self.labels: dict[tuple[str, float], tuple[float, str]] = {}
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
        """Return the video, under this name."""
        facts = {fact: value for fact, (value, _) in self.facts.items()}
        labels = tuple(Span(label, start, end) for (label, start), (end, _) in self.labels.items())
        return VideoAnnotations(name, labels, facts.pop("split", None), facts)


class Sightings:
    """What several animals do in one video, for which the store has one label and one metadata value each.

    Where labels have the same name and start, the longest counts; the values of one metadata name are joined by `; `.

    Attributes:
        any: whether anything was seen.
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
        """Return the video, under this name."""
        labels = tuple(Span(label, start, end) for (label, start), end in self._ends.items())
        return VideoAnnotations(name, labels, split, {fact: "; ".join(each) for fact, each in self._values.items()})


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
