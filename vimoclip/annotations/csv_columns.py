"""What the columns of our own label file are, by their names and by what their cells look like.

Times are known by an edge (start, begin, onset; end, stop, offset), with or without `time`, a noun such as `event`, and
a unit: `Start (s)`, `time_start`, `event_begin_ms`, `endFrame`. Columns that look like times and are not understood are
refused: a label whose times are lost would become one of the whole video.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from vimoclip.annotations.record import present

FILEPATH = ("filepath", "path", "file", "video", "video_id", "filename")
SUBJECT = ("subject", "individual")
_USUAL = ("start_s", "start", "end_s", "stop_s", "end", "stop")

_STARTS = {"start", "starts", "begin", "begins", "beginning", "onset", "st", "from", "debut", "inicio", "anfang"}
_ENDS = {"end", "ends", "stop", "stops", "ed", "et", "to", "until", "finish", "fin", "ende"}
_SHORT = {"st", "ed", "et", "fin", "until"}  # edges only beside another word
_FUSED = re.compile(r"(start|begin|end|stop|onset|offset)(time|frame|s|sec|ms)|(time|frame)(start|begin|end|stop)")
_TIMES = {"time", "t", "at"}
_NOUNS = {"event", "bout", "behavior", "behaviour", "label", "segment", "action", "annotation", "interval"}
_SECONDS = {"s", "sec", "secs", "second", "seconds", "hh", "mm", "ss", "hms", "hhmmss"}
_MS = {"ms", "msec", "msecs", "millis", "millisecond", "milliseconds"}
_FRAMES = {"frame", "frames", "f", "fr"}
_COUNTERS = {"no", "nr", "number", "num", "idx", "index", "id"}

_FPS = {"fps", "frame_rate", "framerate", "frames_per_second", "frame_s", "fps_frame_s"}
_OTHER_FPS = {"annotation_fps", "label_fps", "sampling_fps", "sampling_rate"}
_DURATIONS = {"duration", "length", "dur"}
_OF_VIDEO = {"video", "media", "clip", "file", "movie", "total"}

_EDGES = {"start", "started", "begin", "beginning", "onset", "end", "ended", "stop", "stopped", "offset", "starting"}
_ANOTHER = {  # words of columns that begin or end something else than a span of the video, or measure something else
    "date", "day", "year", "month", "hour", "zone", "timezone", "of", "local", "utc", "gmt", "temp", "temperature",
    "lat", "lon", "lng", "latitude", "longitude", "depth", "altitude", "elevation", "weight", "age", "size", "width",
    "height", "count", "total", "n", "nb", "rate", "fps", "x", "y", "z", "recording", "season", "distance", "speed",
    "score", "odometer", "battery", "humidity",
}  # fmt: skip
_MOMENTS = {
    "time",
    "times",
    "timecode",
    "tc",
    "timestamp",
    "moment",
    "frame",
    "frames",
    "t",
    "span",
    "timespan",
    "bout",
}
_MOMENTS |= {"interval", "segment", "segments", "window", "range", "timerange", "code", "stamp", "in", "out", "point"}
_MOMENTS |= _SECONDS | _MS | _NOUNS | _COUNTERS | {"video", "clip", "from", "to"}
_NUMBERED = {"segment", "segments", "window", "bout", "interval", "span", "event", *_COUNTERS}
_ROW_NUMBER = re.compile(r"unnamed: ?\d+(_level_\d+)?|unnamed|\.\.\.\d+|row\.?names?")
_MAY_NUMBER_ROWS = re.compile(r"x|x\.?1|v1|index|level_0|row|rowid|row_?(number|no|id)")

_NUMBER = r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?"
_CLOCK = r"-?\d+(:\d{1,2}){1,3}([.,]\d+)?"
_TIME = re.compile(rf"({_NUMBER}|{_CLOCK})\s*(s|secs?|seconds?|ms|m?sec|frames?)?", re.IGNORECASE)
_RANGE = re.compile(rf"[\[(]?\s*({_CLOCK}|{_NUMBER})\s*(-|–|,|;|\bto\b|\.\.)\s*({_CLOCK}|{_NUMBER})\s*[\])]?")

Unit = Literal["s", "ms", "frame"]


@dataclass(frozen=True)
class Edge:
    """A column that says where spans start or end.

    Attributes:
        at: its place in the row.
        unit: of its numbers; cells such as 0:01:05 are times whatever it is.
        included: whether the moment named is the last of the span rather than the first after it.
    """

    at: int
    unit: Unit
    included: bool = False


@dataclass(frozen=True)
class Columns:
    """Where everything is in a row; None where there is no such column.

    Attributes:
        video: the filepath.
        label: the labels.
        split: the split.
        subject: the animal.
        starts: columns of starts, the preferred first.
        ends: columns of ends.
        duration: how long a bout, or a video, lasts.
        video_duration: how long the video lasts.
        fps: the video's rate.
        frame_fps: the rate by which frames are counted.
        metadata: by lower-case name.
    """

    video: int
    label: int
    split: int | None
    subject: int | None
    starts: tuple[Edge, ...]
    ends: tuple[Edge, ...]
    duration: Edge | None
    video_duration: Edge | None
    fps: int | None
    frame_fps: int | None
    metadata: dict[str, int]


def recognise(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[Columns, list[str]]:
    """Say what each column is.

    Args:
        header: the names, as written; they hold a filepath and a label.
        rows: all cells below it.

    Returns:
        The columns, and the names of those that look like times and are not understood.
    """
    names = [name.strip().lower() for name in header]

    def first(options: Iterable[str]) -> int | None:
        return next((names.index(each) for each in options if each in names), None)

    video, label, split, subject = first(FILEPATH), first(["label"]), first(["split"]), first(SUBJECT)
    columns = [[row[at] for row in rows] for at in range(len(names))]
    free = [
        at
        for at, name in enumerate(names)
        if name and at not in (video, label, split, subject) and not _numbers_rows(name, columns[at])
    ]
    filled = {at for at in free if _filled(columns[at])}

    def edges(which: Literal["start", "end"]) -> tuple[Edge, ...]:
        onset = any("onset" in _words(header[at]) for at in free)
        found = [edge for at in free if (edge := _edge(at, header[at], which, onset))]
        # A column without times in it is none, whatever its name: a start_time of 2024-05-01T10:00:00 is a date.
        found = [e for e in found if names[e.at] in _USUAL or e.at not in filled or _timelike(columns[e.at])]
        usual = {name: n for n, name in enumerate(_USUAL)}
        return tuple(
            sorted(found, key=lambda e: (usual.get(names[e.at], len(usual)), ("s", "ms", "frame").index(e.unit)))
        )

    starts, ends = edges("start"), edges("end")
    fps = next((at for at in free if _underscored(header[at]) in _FPS), None)
    other = next((at for at in free if _underscored(header[at]) in _OTHER_FPS), None)
    # Of several columns of one edge in one unit, the first is it and the others are metadata; other units repeat it.
    edge_columns = {e.at for some in (starts, ends) for e in some if e is some[0] or e.unit != some[0].unit}
    found = Columns(
        video=0 if video is None else video,
        label=0 if label is None else label,
        split=split,
        subject=subject,
        starts=starts,
        ends=ends,
        duration=next((edge for at in free if (edge := _duration(at, header[at]))), None),
        video_duration=next((edge for at in free if (edge := _duration(at, header[at], of_video=True))), None),
        fps=fps,
        frame_fps=fps if other is None else other,
        metadata={names[at]: at for at in free if at not in edge_columns},
    )
    if filled & {edge.at for edge in (*starts, *ends)}:
        return found, []
    dated = any({"date", "day"} & set(_words(each)) for each in header)
    return found, [header[at].strip() for at in free if at != fps and _looks_like_time(header[at], columns[at], dated)]


def seconds(cell: str, unit: Unit = "s", fps: float | None = None, comma: bool = False) -> float:
    """Parse a time.

    Args:
        cell: a number, `h:m:s` or `m:s`, with or without a fraction, or `1.5 s`.
        unit: of a number.
        fps: frames per second, for frames.
        comma: whether the fraction may be written with a comma.

    Returns:
        Seconds; negative or not finite where the cell says so.

    Raises:
        ValueError: the cell is none of these, or frames have no rate; says so.
    """
    text = cell.strip()
    if written := re.fullmatch(r"(.*[\d.,])\s*(s|sec|secs|seconds?|ms|msec)", text, re.IGNORECASE):
        text, unit = written[1], "ms" if written[2].lower().startswith("ms") else "s"
    if comma and re.fullmatch(r"[^.,]*,\d+", text):
        text = text.replace(",", ".")
    parts = text.removeprefix("-").split(":")
    try:
        if len(parts) == 1:
            number = float(text)
            if unit == "frame":
                if not fps:
                    raise ValueError("frames without a rate")
                return number / fps
            return number / 1000 if unit == "ms" else number
        if len(parts) > 3 or not all(re.fullmatch(r"\d+", part) for part in parts[:-1]):
            raise ValueError
        *whole, last = (float(part) for part in parts)
        if not re.fullmatch(r"\d{1,2}(\.\d*)?", parts[-1]) or last >= 60 or any(each >= 60 for each in whole[1:]):
            raise ValueError
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith("frames") else f"{cell!r} is not a time") from None
    total = 0.0
    for each in (*whole, last):
        total = total * 60 + each
    return -total if text.startswith("-") else total


def _words(name: str) -> list[str]:
    """The words of a column's name, in lower case and without accents: startTime and start_time are start and time."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip())
    apart = apart.lower().replace("é", "e").replace("í", "i")
    words = re.findall(r"[a-z]+|\d+", apart)
    split = []
    for word in words:
        fused = _FUSED.fullmatch(word)
        split += [part for part in fused.groups() if part] if fused else [word]
    return split


def _underscored(name: str) -> str:
    return "_".join(re.findall(r"[a-z0-9]+", name.lower()))


def _edge(at: int, name: str, which: Literal["start", "end"], onset: bool = False) -> Edge | None:
    """The edge that a column is by its name, or None."""
    words = _words(name)
    frames = bool(_FRAMES & set(words))
    inside = {"first"} if which == "start" else {"last"}
    edges = _STARTS if which == "start" else _ENDS | ({"offset"} if onset else set())
    edges = edges | (inside if frames else set())
    found = [word for word in words if word in edges]
    rest = {word for word in words if word not in edges}
    allowed = _TIMES | _NOUNS | _SECONDS | _MS | _FRAMES | (_COUNTERS if frames else set())
    if len(found) != 1 or not rest <= allowed or (found[0] in _SHORT and not rest):
        return None
    unit: Unit = "frame" if frames else "ms" if rest & _MS and not rest & {"ss", "hh", "s"} else "s"
    return Edge(at, unit, included=found[0] == "last")


def _duration(at: int, name: str, of_video: bool = False) -> Edge | None:
    """The duration that a column is by its name, of a bout or of a video, or None."""
    words = set(_words(name))
    of = words & _OF_VIDEO
    if (
        not words & _DURATIONS
        or bool(of) != of_video
        or not words <= _DURATIONS | _SECONDS | _MS | _FRAMES | of | _NOUNS
    ):
        return None
    if "length" in words and not (of - {"total"} or words & (_SECONDS | _MS)):
        return None  # of an animal, for all that is known
    frames = bool(words & _FRAMES)
    return Edge(at, "frame" if frames else "ms" if words & _MS and not words & {"ss", "s"} else "s")


def _filled(column: Iterable[str]) -> list[str]:
    return [cell for each in column if (cell := present(each))]


def _timelike(column: Sequence[str]) -> bool:
    """Whether a column has cells, and half of them or more are numbers or times such as 0:01:05."""
    cells = _filled(column)
    return bool(cells) and 2 * sum(bool(_TIME.fullmatch(cell)) for cell in cells) >= len(cells)


def _looks_like_time(name: str, column: Sequence[str], dated: bool) -> bool:
    """Whether a column that is not understood may hold times in the video.

    dated: whether another column holds a date, which a time is part of.
    """
    words, cells = {word for word in _words(name) if not word.isdigit()}, _filled(column)  # t0 and t1 are like t
    edge = bool(words & _EDGES) and not words & _ANOTHER
    if not cells or not words or not (edge or words <= _MOMENTS):
        return False
    if 2 * sum(bool(_RANGE.fullmatch(cell)) for cell in cells) >= len(cells):
        return True
    if not edge and (words <= {"frames"} | _NOUNS | _NUMBERED or (dated and "time" in words)):
        return False  # how many there are, a number, or a time of the day
    if words & {"time", "timestamp"} and any(_number(cell) > 1e8 for cell in cells):
        return False  # seconds since 1970
    return _timelike(column)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _numbers_rows(name: str, cells: Sequence[str]) -> bool:
    """Whether a column counts the rows: R and pandas write it without a name, or with one of these."""
    if _ROW_NUMBER.fullmatch(name):
        return True
    if not _MAY_NUMBER_ROWS.fullmatch(name) or len(cells) < 2:
        return False
    numbers = [_number(cell) for cell in cells]
    return numbers[0] in (0, 1) and all(later - each == 1 for each, later in pairwise(numbers))
