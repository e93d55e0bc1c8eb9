"""Events exported from BORIS, as CSV, TSV or XLSX. These are the columns; older and newer exports have different ones:

    behaviour   Behavior
    video       Media file name, Media file path, Media file: where there are several, with `;` between them
    videos      Source: all those of the observation, one after the other: `player #1:a.mp4;b.mp4|player #2:c.mp4`
    durations   Media duration (s), in the form of Source
    tabular     Time and, in Behavior type or Status: START, STOP or POINT
    aggregated  Start (s), Stop (s)
    also        Observation id, Subject, Modifiers or `Modifier #1` …, Time offset (s)

Older tabular exports begin with lines about the observation: its id, its videos, its time offset, its variables.

Times are seconds, or h:m:s, from the beginning of the observation's first video, plus the time offset. Where an
observation has several videos in a row, the durations say in which of them a time lies. Videos of further players show
the same from elsewhere and get no labels. A start belongs to the next stop of the same observation, subject, behaviour
and modifiers.
"""

import contextlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.labels import Span
from vimoclip.annotations.record import Annotations, Sightings, refuse
from vimoclip.annotations.tables import LabelFile
from vimoclip.errors import LabelError

_BEFORE = 100  # rows, at most, up to the header and with it

_MEDIA = ("media file path", "media file name", "media file")
_NOTHING = ("", "na", "n/a", "nan", "none", "not found", "live observation")
_EXPECTED = "a behaviour on every line, times in seconds, no stop before its start, and START, STOP or POINT"
_PLAYER = re.compile(r"\|?\s*player\s*#\s*\d+\s*:", re.IGNORECASE)


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
class _Event:
    """One line. kind: START, STOP or POINT, empty for aggregated events. media: as written; see `_spans`."""

    line: int
    key: tuple[str, ...]  # observation, subject, behaviour, modifiers
    kind: str
    start_s: float
    end_s: float
    media: tuple[str, str, str]

    @property
    def behaviour(self) -> str:
        return self.key[2]

    def __str__(self) -> str:
        of = "".join(f" of {each}" for each in dict.fromkeys((self.key[1], self.key[0])) if each)
        return f"line {self.line}: {self.kind.lower() or 'event'} of {self.behaviour!r}{of} at {self.start_s:g} s"


def read(file: LabelFile) -> Annotations:
    """Read an export.

    Starts without a stop, and stops without a start, are listed in `unpaired`; events in no video, or in one of several
    videos whose durations are missing, in `unplaced`. Subjects become the metadata `subject`.

    Raises:
        LabelError: a line has no behaviour or no time, or several sheets have events.
    """
    path = file.path
    if len(sheets := _event_sheets(file)) > 1:
        hint = "Export the observations grouped in one file, or each sheet as CSV."
        raise LabelError(f"{path} has events on several sheets.", received=sheets, expected="one sheet", hint=hint)
    rows = file.rows(file.header_delimiter(_is_header, _BEFORE) or ",")
    about: dict[str, str] = {}
    for _, header in rows:
        if _is_header(header):
            break
        if len(header) > 1:
            about[header[0].strip().lower()] = header[1].strip()
    preamble = {name: about[name] for name in ("observation id", "time offset (s)") if name in about}
    columns = [cell.strip().lower() for cell in header]
    events: list[_Event] = []
    problems: list[str] = []
    for line, row in rows:
        cells = preamble | dict(zip(columns, [*map(str.strip, row), *[""] * len(columns)], strict=False))
        try:
            events.append(_event(line, cells))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    refuse(str(path), problems, _EXPECTED)
    unpaired: list[_Event] = []
    unplaced: list[str] = []
    seen: dict[str, Sightings] = {}
    media = {(event.key[0], event.media[0]) for event in events}
    several = {each for each, count in Counter(each for each, _ in media).items() if count > 1}
    for event in _paired(events, unpaired):
        try:
            spans = list(_spans(event, event.key[0] in several))
        except ValueError as error:
            unplaced.append(f"{event} ({error})")
            continue
        for name, first, last in spans:
            seen.setdefault(name, Sightings()).see([Span(event.behaviour, first, last)], subject=event.key[1])
    for event in unpaired:  # name their videos too: a label made from one before its stop was lost has to go
        with contextlib.suppress(ValueError):
            for name, _, _ in _spans(event, event.key[0] in several):
                seen.setdefault(name, Sightings())
    return Annotations.of_file(
        path,
        (each.done(name) for name, each in seen.items()),
        elsewhere=True,
        unpaired=map(str, sorted(unpaired, key=lambda each: each.line)),
        unplaced=unplaced,
    )


def _event(line: int, cells: dict[str, str]) -> _Event:
    """Parse one line. Raises ValueError that says what is wrong with it."""
    behaviour = cells["behavior"]
    if not behaviour:
        raise ValueError("no behaviour")
    subject = "" if cells.get("subject", "").lower() == "no focal subject" else cells.get("subject", "")
    modifiers = "|".join(value for name, value in cells.items() if name.startswith("modifier"))
    kinds = {cells.get(name, "").upper() for name in ("behavior type", "status")}
    offset = 0.0 if (text := cells.get("time offset (s)", "")).lower() in _NOTHING else _seconds(text)
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
    key = (cells.get("observation id") or media, subject, behaviour, modifiers)
    durations = cells.get("media duration (s)", "")
    return _Event(line, key, kind, first - offset, last - offset, (media, cells.get("source", ""), durations))


def _paired(events: list[_Event], unpaired: list[_Event]) -> Iterator[_Event]:
    """Points, aggregated events, and starts with the time of their stop; those left alone go to `unpaired`."""
    open_: dict[tuple[str, ...], _Event] = {}
    for event in sorted(events, key=lambda each: each.start_s):  # stable: at one time, the order of the file
        if event.kind == "START":
            if event.key in open_:
                unpaired.append(open_[event.key])
            open_[event.key] = event
        elif event.kind != "STOP":
            yield event
        elif begun := open_.pop(event.key, None):
            yield _Event(begun.line, begun.key, begun.kind, begun.start_s, event.start_s, begun.media)
        else:
            unpaired.append(event)
    unpaired += open_.values()


def _spans(event: _Event, several: bool) -> Iterator[tuple[str, float, float]]:
    """Video as written, start and end in it, of every video that an event lies in; ValueError where none is known.

    several: whether other events of its observation are in other videos.
    """
    media, source, durations = event.media
    if event.start_s < 0:
        raise ValueError("it is before the first video begins")
    if media and _PLAYER.sub("", source, count=1) == media and _number(durations) > 0:
        videos = [media]  # one duration, so one video, whatever characters its name has
    else:
        videos = _first_player(source) or _first_player(media)
    if not videos:
        raise ValueError("no video")
    if len(videos) == 1 and (not several or _first_player(source)):
        yield videos[0], event.start_s, event.end_s
        return
    lengths = [_number(each) for each in _first_player(durations)]
    if len(lengths) != len(videos) or not all(length > 0 for length in lengths):
        raise ValueError("its observation has several videos, and their durations are not given")
    begin = 0.0
    for at, (name, length) in enumerate(zip(videos, lengths, strict=True)):
        end = math.inf if at == len(videos) - 1 else begin + length
        # Half-open; what begins where a video ends is in the next one, and a point is in one video only.
        if event.start_s < end and (event.end_s > begin or event.start_s >= begin):
            yield name, max(event.start_s, begin) - begin, min(event.end_s, end) - begin
        begin += length


def _first_player(cell: str) -> list[str]:
    """What is written for the first or only player, as one entry a video."""
    parts = [part for part in _PLAYER.split(cell) if part.strip()]
    first = parts[0].split("|")[0] if parts else ""
    return [each.strip() for each in first.split(";") if each.strip().lower() not in _NOTHING]


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
