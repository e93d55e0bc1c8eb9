"""Recordings in several files, one after the other, with one clock: in which file, and when in it, an event lies.

An annotator plays the files of a recording in a row, and times count from the beginning of the first. Where a file of
labels does not say how long each of them is, the stored videos may.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from schemas.labels import Span

DURATION_S, DURATION_SHARE = 1.0, 0.02
"""How far two durations of one video may differ, in s and as a share: sound outlasts pictures, and people round."""

_BORDER_S = 0.5  # how far an event may lie outside the video that its source names: durations are rounded


@dataclass(frozen=True)
class TimedEvent:
    """Something seen in a recording.

    Attributes:
        span: in seconds from the beginning of the first video.
        where: its place in the source, in words.
        first: the video in which it begins; None where the source does not say.
        last: the video in which it ends; None where the source does not say.
    """

    span: Span
    where: str
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class Recording:
    """The videos of a recording, and what is seen in them.

    Attributes:
        names: of V videos as written, in the order in which they are played.
        durations_s: V durations; None where the source does not say.
        fps: V rates in frames per second; None where the source does not say.
        total_s: how long all of them are; None where the source does not say.
        complete: whether these are all its videos. Where they are not, only `total_s` can tell that none is missing.
        events: what is seen in them.
    """

    names: tuple[str, ...]
    durations_s: tuple[float | None, ...]
    fps: tuple[float | None, ...] = ()
    total_s: float | None = None
    complete: bool = True
    events: tuple[TimedEvent, ...] = ()


def differ(one_s: float, other_s: float) -> bool:
    """Whether two durations, in s, are clearly not of the same video."""
    return abs(one_s - other_s) > max(DURATION_S, DURATION_SHARE * max(one_s, other_s))


def place_events(recording: Recording, stored_s: Sequence[float | None]) -> tuple[dict[str, list[Span]], list[str]]:
    """Find the videos in which the events lie.

    Durations that the source gives are those that the annotator's player counted with, and have precedence.

    Args:
        recording: the recording.
        stored_s: V durations of the stored videos; None where one is not known.

    Returns:
        By name of the video, spans in seconds of that video; and in words, with the reason, events without a place.
    """
    lengths = [said or stored for said, stored in zip(recording.durations_s, stored_s, strict=True)]
    if recording.total_s is not None and recording.complete and lengths.count(None) == 1:
        rest = recording.total_s - sum(each or 0.0 for each in lengths)
        if rest > 0:
            lengths[lengths.index(None)] = rest
    wrong = _contradiction(recording, lengths)
    spans: dict[str, list[Span]] = {}
    unplaced = []
    for event in recording.events:
        try:
            if wrong:
                raise ValueError(wrong)
            for name, span in list(_parts(recording.names, lengths, event)):
                spans.setdefault(name, []).append(span)
        except ValueError as error:
            unplaced.append(f"{event.where} ({error})")
    return spans, unplaced


def _contradiction(recording: Recording, lengths: list[float | None]) -> str:
    """Why no event of a recording can be placed; empty where nothing speaks against it."""
    known = [each for each in lengths if each is not None]
    total = recording.total_s
    if not recording.complete and (total is None or len(known) < len(lengths)):
        return "its observation has several videos, and their order and durations are not given"
    if total is not None and len(known) == len(lengths) and differ(sum(known), total):
        return f"the videos of its observation are {sum(known):g} s long together, and the file says {total:g} s"
    return ""


def _parts(names: tuple[str, ...], lengths: list[float | None], event: TimedEvent) -> Iterator[tuple[str, Span]]:
    """The part of an event in each video that it lies in. Raises ValueError where a duration is missing."""
    start, end = event.span.start_s, event.span.end_s
    if start < 0:
        raise ValueError("it is before the first video begins")
    if event.first is not None and event.first not in names:
        raise ValueError(f"{event.first!r} is not a video of its observation")
    begin = 0.0
    begun = False
    for at, (name, known) in enumerate(zip(names, lengths, strict=True)):
        last = at == len(names) - 1
        if known is None and not last and not (event.first == event.last == name):
            raise ValueError(
                f"its observation has several videos, and their durations are not given: that of {name!r} is not known"
            )
        after = math.inf if last or known is None else begin + known
        # Half-open: what begins where a video ends is in the next one.
        here = start < after if event.first is None else name == event.first and start < after + _BORDER_S
        if begun or here:
            if not begun and start < begin - _BORDER_S:
                break
            ends_here = event.last == name or end <= after
            first = 0.0 if begun else max(start - begin, 0.0)
            stop = end if ends_here else after
            yield name, replace(event.span, start_s=first, end_s=max(stop - begin, first))
            begun = True
            if ends_here:
                return
        begin = after
    if not begun:
        raise ValueError(f"at this time, {event.first!r} is not what is played")
