"""Events exported from BORIS, as CSV, TSV or XLSX. These are the columns; older and newer exports have different ones:

    behaviour   Behavior
    video       Media file name, Media file path, Media file: where there are several, with `;` between them
    videos      Source: all those of the observation, one after the other: `player #1:a.mp4;b.mp4|player #2:c.mp4`
    durations   Media duration (s), in the form of Source; Total length: of all of the observation's videos
    rates       FPS, FPS (frame/s), in the form of Source
    tabular     Time and, in Behavior type or Status: START, STOP or POINT
    aggregated  Start (s), Stop (s)
    also        Observation id, Subject, Modifiers or `Modifier #1` …, Time offset (s)

Tabular exports of BORIS 7 begin with lines about the observation: its id, a line a video (`Player #1`), its time
offset, its variables. Source came with BORIS 8, Media duration (s) with 8.9.11, which dropped Total length.

Times are seconds, or h:m:s, from the beginning of the observation's first video, plus the time offset. Where an
observation has several videos in a row, durations say in which of them a time lies: those of the file, or those of the
stored videos (`recordings.place`). Videos of further players show the same from elsewhere and get no labels. A start
belongs to the next stop of the same observation, subject, behaviour and modifiers.

`boris_project` reads the projects themselves, with what is here.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.labels import Span
from vimoclip.annotations.record import Annotations, Sightings, refuse
from vimoclip.annotations.recordings import Recording, TimedEvent, place_events
from vimoclip.annotations.tables import LabelFile
from vimoclip.errors import LabelError

_BEFORE = 100  # rows, at most, up to the header and with it

_MEDIA = ("media file path", "media file name", "media file")
_RATES = ("fps (frame/s)", "fps")
_NOTHING = ("", "na", "n/a", "nan", "none", "not found", "live observation", "live")
_EXPECTED = "a behaviour on every line, times in seconds, no stop before its start, and START, STOP or POINT"
_PLAYER = re.compile(r"\|?\s*player\s*#\s*\d+\s*:", re.IGNORECASE)
_LINE_OF_PLAYER = re.compile(r"player #(\d+)", re.IGNORECASE)


def sniff(file: LabelFile) -> bool:
    """Whether the file has a header of an export in its first rows, or is a workbook with several sheets of events."""
    return file.header_delimiter(_is_header, _BEFORE) is not None or len(_event_sheets(file)) > 1


def _event_sheets(file: LabelFile) -> list[str]:
    sheets = (file.sheets or {}).items()
    return [name for name, rows in sheets if any(_is_header(cells) for _, cells in rows[:_BEFORE])]


def _is_header(cells: list[str]) -> bool:
    """Whether this is the header of an export, tabular or aggregated."""
    names = {cell.strip().lower() for cell in cells}
    tabular = "time" in names and bool({"behavior type", "status"} & names)
    return "behavior" in names and bool({*_MEDIA, "source"} & names) and (tabular or {"start (s)", "stop (s)"} <= names)


@dataclass(frozen=True)
class Event:
    """One event of an observation.

    Attributes:
        line: its place in the file.
        key: observation, subject, behaviour and modifiers.
        kind: START, STOP or POINT; empty where it has a start and an end.
        start_s: in s from the beginning of the first video.
        end_s: the same.
        videos: those of the observation's first player; without names where there is none. Its events do not count.
        first: the video in which it begins; None where that is not known.
        last: the video in which it ends; None where that is not known.
        unit: what `line` counts.
    """

    line: int
    key: tuple[str, str, str, str]
    kind: str
    start_s: float
    end_s: float
    videos: Recording
    first: str | None = None
    last: str | None = None
    unit: str = "line"

    @property
    def behaviour(self) -> str:
        return self.key[2]

    def __str__(self) -> str:
        of = "".join(f" of {each}" for each in dict.fromkeys((self.key[1], self.key[0])) if each)
        return (
            f"{self.unit} {self.line}: {self.kind.lower() or 'event'} of {self.behaviour!r}{of} at {self.start_s:g} s"
        )


def read(file: LabelFile) -> Annotations:
    """Read an export.

    Starts without a stop, and stops without a start, are listed in `unpaired`; events in no video in `unplaced`. Those
    of several videos whose durations are missing are in `recordings`.

    Raises:
        LabelError: a line has no behaviour or no time, or several sheets have events.
    """
    path = file.path
    if len(sheets := _event_sheets(file)) > 1:
        hint = "Export the observations grouped in one file, or each sheet as CSV."
        raise LabelError(f"{path} has events on several sheets.", received=sheets, expected="one sheet", hint=hint)
    rows = file.rows(file.header_delimiter(_is_header, _BEFORE) or ",")
    about: dict[str, str] = {}
    players: dict[str, list[str]] = {}
    for _, header in rows:
        if _is_header(header):
            break
        if len(header) > 1:
            about[header[0].strip().lower()] = header[1].strip()
            if player := _LINE_OF_PLAYER.fullmatch(header[0].strip()):
                players.setdefault(player[1], []).append(header[1].strip())
    preamble = {name: about[name] for name in ("observation id", "time offset (s)") if name in about}
    columns = [cell.strip().lower() for cell in header]
    events: list[Event] = []
    totals: dict[str, float] = {}  # by observation
    problems: list[str] = []
    for line, row in rows:
        cells = preamble | dict(zip(columns, [*map(str.strip, row), *[""] * len(columns)], strict=False))
        try:
            event = _event(line, cells, players)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        events.append(event)
        if (total := _number(cells.get("total length", ""))) > 0 and len(players) < 2:
            last = max(event.end_s, event.start_s) + _offset(cells)
            # BORIS takes the last event where that comes after the end: then it is not the videos' length.
            totals[event.key[0]] = min(totals.get(event.key[0], total), math.nan if total <= last + 0.002 else total)
    refuse(str(path), problems, _EXPECTED)
    return annotations_of(path, _with_totals(events, totals))


def annotations_of(
    path: Path, events: Iterable[Event], unplaced: Iterable[str] = (), notes: Iterable[str] = ()
) -> Annotations:
    """Pair and place events.

    Args:
        path: of the file.
        events: in its order.
        unplaced: events without a place that are known already, in words.
        notes: see `Annotations`.
    """
    unpaired: list[Event] = []
    nowhere = [*unplaced]
    seen: dict[str, Sightings] = {}
    told: dict[str, tuple[float | None, float | None]] = {}
    later: dict[Recording, list[TimedEvent]] = {}
    for event in _paired(events, unpaired):
        videos = event.videos
        if not videos.names:
            nowhere.append(f"{event} (no video)")
            continue
        told |= dict(zip(videos.names, zip(videos.durations_s, _rates(videos), strict=True), strict=True))
        if len(videos.names) > 1 and None in videos.durations_s:
            later.setdefault(videos, []).append(_in_recording(event, event.first, event.last))
            continue
        spans, left = place_events(replace(videos, events=(_in_recording(event),)), videos.durations_s)
        nowhere += left
        for name, parts in spans.items():
            seen.setdefault(name, Sightings()).see(parts)
    for event in unpaired:  # name their videos too: a label made from one before its stop was lost has to go
        videos = event.videos
        if videos.names and (len(videos.names) == 1 or None not in videos.durations_s):
            told |= dict(zip(videos.names, zip(videos.durations_s, _rates(videos), strict=True), strict=True))
            for name in place_events(replace(videos, events=(_in_recording(event),)), videos.durations_s)[0]:
                seen.setdefault(name, Sightings())
    return Annotations.of_file(
        path,
        (each.done(name, *told[name]) for name, each in seen.items()),
        elsewhere=True,
        unpaired=map(str, sorted(unpaired, key=lambda each: each.line)),
        unplaced=nowhere,
        clock="player",
        notes=notes,
        recordings=(replace(videos, events=tuple(each)) for videos, each in later.items()),
    )


def _rates(videos: Recording) -> tuple[float | None, ...]:
    return videos.fps or (None,) * len(videos.names)


def _in_recording(event: Event, first: str | None = None, last: str | None = None) -> TimedEvent:
    _, subject, behaviour, _ = event.key
    return TimedEvent(Span(behaviour, event.start_s, event.end_s, subject or None), str(event), first, last)


def _event(line: int, cells: dict[str, str], players: dict[str, list[str]]) -> Event:
    """Parse one line. Raises ValueError that says what is wrong with it.

    players: the videos of each player, where lines above the header name them.
    """
    behaviour = cells["behavior"]
    if not behaviour:
        raise ValueError("no behaviour")
    subject = "" if cells.get("subject", "").lower() == "no focal subject" else cells.get("subject", "")
    modifiers = "|".join(value for name, value in cells.items() if name.startswith("modifier"))
    kinds = {cells.get(name, "").upper() for name in ("behavior type", "status")}
    offset = _offset(cells)
    if "start (s)" in cells:
        first = _seconds(cells["start (s)"])
        stop = cells["stop (s)"]
        last = first if stop.lower() in _NOTHING else _seconds(stop)
        kind = "START" if stop.lower() in _NOTHING and "POINT" not in kinds else ""
    else:
        kind = next((each for each in ("START", "STOP", "POINT") if each in kinds), "")
        if not kind:
            raise ValueError(f"{' and '.join(sorted(map(repr, kinds)))} is not START, STOP or POINT")
        first = last = _seconds(cells["time"])
    if last < first:
        raise ValueError(f"it stops at {last:g} s, before it starts at {first:g} s")
    media = next((each for name in _MEDIA if (each := cells.get(name, "")).lower() not in _NOTHING), "")
    videos = _videos(media, cells, players)
    named = [each for each in videos.names if media in (each, re.split(r"[/\\]", each)[-1])]
    begins = named[0] if len(set(named)) == 1 else None
    key = (cells.get("observation id") or media, subject, behaviour, modifiers)
    ends = begins if last == first else None
    return Event(line, key, kind, first - offset, last - offset, videos, begins, ends)


def _offset(cells: dict[str, str]) -> float:
    text = cells.get("time offset (s)", "")
    return 0.0 if text.lower() in _NOTHING else _seconds(text)


def _videos(media: str, cells: dict[str, str], players: dict[str, list[str]]) -> Recording:
    """The videos of the first player, as far as one line and the lines above the header say.

    They are not `complete` where only the video of the event is known.
    """
    source = cells.get("source", "")
    durations = cells.get("media duration (s)", "")
    rates = next((cells[name] for name in _RATES if name in cells), "")
    if media and _PLAYER.sub("", source, count=1).strip() == media:
        return Recording((media,), (_positive(durations),), (_positive(rates),))  # whatever characters its name has
    if names := _first_player(source):
        return Recording(tuple(names), _each(durations, len(names)), _each(rates, len(names)))
    own = next((names for _, names in sorted(players.items()) if names), [])
    if own and (not media or media in own):
        return Recording(tuple(own), (None,) * len(own), (_positive(rates),) if len(own) == 1 else ())
    names = _first_player(media)
    lengths = _each(durations, len(names)) if len(names) == 1 else (None,) * len(names)
    return Recording(tuple(names), lengths, _each(rates, len(names)), complete=len(names) != 1)


def _with_totals(events: list[Event], totals: dict[str, float]) -> list[Event]:
    """The events with the length of their observations, and with all videos that the lines of an observation name."""
    lines: dict[str, dict[str, Event]] = {}  # the first event in each video, where a line says no more than that
    for event in sorted(events, key=lambda each: each.start_s):
        if not event.videos.complete:
            lines.setdefault(event.key[0], {}).setdefault(event.videos.names[0], event)
    done = []
    for event in events:
        videos, total = event.videos, totals.get(event.key[0], math.nan)
        total_s = None if math.isnan(total) else total
        alone = lines.get(event.key[0], {})
        if not videos.complete and len(alone) > 1:
            rates = tuple(_rates(each.videos)[0] for each in alone.values())
            videos = Recording(tuple(alone), (None,) * len(alone), rates, complete=False)
        if len(videos.names) == 1:
            videos = replace(videos, durations_s=(videos.durations_s[0] or total_s,), complete=True)
        elif None in videos.durations_s:
            videos = replace(videos, total_s=total_s)
        done.append(replace(event, videos=videos))
    return done


def _paired(events: Iterable[Event], unpaired: list[Event]) -> Iterator[Event]:
    """Points, aggregated events, and starts with the time of their stop; those left alone go to `unpaired`."""
    open_: dict[tuple[str, ...], Event] = {}
    for event in sorted(events, key=lambda each: each.start_s):  # stable: at one time, the order of the file
        if event.kind == "START":
            if event.key in open_:
                unpaired.append(open_[event.key])
            open_[event.key] = event
        elif event.kind != "STOP":
            yield event
        elif begun := open_.pop(event.key, None):
            yield replace(begun, end_s=event.start_s, last=event.first)
        else:
            unpaired.append(event)
    unpaired += open_.values()


def _first_player(cell: str) -> list[str]:
    """What is written for the first or only player, as one entry a video."""
    parts = [part for part in _PLAYER.split(cell) if part.strip()]
    first = parts[0].split("|")[0] if parts else ""
    return [each.strip() for each in first.split(";") if each.strip().lower() not in _NOTHING]


def _each(cell: str, count: int) -> tuple[float | None, ...]:
    """The numbers of the first player's videos; None for each where there are not as many."""
    parts = [part for part in _PLAYER.split(cell) if part.strip()]
    numbers = tuple(map(_positive, parts[0].split("|")[0].split(";"))) if parts else ()
    return numbers if len(numbers) == count else (None,) * count


def _positive(cell: str) -> float | None:
    return number if 0 < (number := _number(cell)) < math.inf else None


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _seconds(cell: str) -> float:
    """Parse seconds, h:m:s or m:s into seconds; a minus sign applies to all. Raises ValueError that shows the cell."""
    parts = cell.removeprefix("-").split(":")
    total = 0.0
    for part in parts:
        number = _number(part)
        if not 0 <= number < math.inf or len(parts) > 3:
            raise ValueError(f"{cell!r} is not a time in seconds")
        total = total * 60 + number
    return 0.0 - total if cell.startswith("-") and total else total
