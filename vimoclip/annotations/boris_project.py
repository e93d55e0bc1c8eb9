"""A BORIS project: one JSON document, `*.boris` or, compressed, `*.boris.gz`. These are the parts that matter here:

    behaviors_conf   by number: code, and type: `State event…` or `Point event…`
    observations     by id: type: MEDIA, LIVE or IMAGES. file: paths by player. time offset: s. events: a list each of
                     time, subject, code, modifiers, …. media_info: length (s) and fps by path

Times are seconds, as in exports (`boris`). A state has no start and stop here: of the events of one subject, behaviour
and modifiers, the first is a start, the second its stop, and so on.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from vimoclip.annotations.boris import Event, annotations_of
from vimoclip.annotations.record import Annotations, refuse
from vimoclip.annotations.recordings import Recording
from vimoclip.annotations.tables import LabelFile, text
from vimoclip.errors import LabelError

_EXPECTED = "events as BORIS writes them: time, subject, code, modifiers"
_KINDS = {"LIVE": "a live observation", "IMAGES": "an observation of pictures"}


def sniff(file: LabelFile) -> bool:
    """Whether the file is JSON, of a BORIS project or anything else."""
    start = file.start.lstrip()
    return start.startswith(("{", "[{")) or (start.startswith("[") and file.path.suffix.lower() == ".json")


def read(file: LabelFile) -> Annotations:
    """Read a project; the form is at the top of this module.

    Raises:
        LabelError: the file cannot be read, is JSON but not a BORIS project, or has events in another form.
    """
    path = file.path
    try:
        project = json.loads(text(path))
    except (ValueError, RecursionError) as error:
        hint = "Open it in the program that wrote it, and save it again."
        raise LabelError(f"{path} begins as JSON and is not.", received=error, expected="JSON", hint=hint) from error
    observations = project.get("observations") if isinstance(project, dict) else None
    if not isinstance(observations, dict):
        raise LabelError(
            f"{path} is JSON, and not a BORIS project.",
            received=", ".join(map(repr, list(project)[:5])) if isinstance(project, dict) else type(project).__name__,
            expected="a BORIS project; or the events or labels as CSV, TSV or XLSX",
            hint="Export the labels from the program that wrote it; docs/labels.md has all formats.",
        )
    kinds = _kinds(project.get("behaviors_conf"))
    problems: list[str] = []
    unplaced: list[str] = []
    events: list[Event] = []
    for name, observation in observations.items():
        events += _events(str(name), observation, kinds, problems, unplaced)
    refuse(str(path), problems, _EXPECTED)
    return annotations_of(path, events, unplaced)


def _kinds(behaviours: Any) -> dict[str, str]:
    """`state` or `point` by code."""
    rows = behaviours.values() if isinstance(behaviours, dict) else []
    rows = [row for row in rows if isinstance(row, dict)]
    return {str(row.get("code")): str(row.get("type", "")).lower().partition(" ")[0] for row in rows}


def _events(
    name: str, observation: Any, kinds: dict[str, str], problems: list[str], unplaced: list[str]
) -> Iterator[Event]:
    """The events of one observation; those that cannot be in a video go to `unplaced`, malformed ones to `problems`."""
    if not isinstance(observation, dict) or not isinstance(observation.get("events", []), list):
        problems.append(f"observation {name!r} has no list of events")
        return
    videos = _videos(observation)
    kind = str(observation.get("type", "MEDIA")).upper()
    why = f"{_KINDS[kind]} has no video" if kind in _KINDS else "" if videos.names else "no video"
    if not why and observation.get("media_creation_date_as_offset"):
        why = "its times count from the date at which the video was made"
    offset = _number(observation.get("time offset") or 0.0)
    rows = []
    for at, row in enumerate(observation.get("events", []), 1):
        time = _number(row[0]) if isinstance(row, list) and len(row) > 2 else None
        if time is None or offset is None or not isinstance(row[2], str) or not row[2].strip():
            if not why:
                problems.append(f"event {at} of observation {name!r}: {str(row)[:80]}")
                continue
            time = 0.0
        rows.append((time, at, row))
    begun: set[tuple[str, ...]] = set()
    for time, at, row in sorted(rows, key=lambda each: each[0]):  # stable: at one time, the order of the project
        cells = [str(cell or "").strip() for cell in row[1:4]] if isinstance(row, list) else []
        subject, code, modifiers = [*cells, "", "", ""][:3]
        subject = "" if subject.lower() == "no focal subject" else subject
        key = (name, subject, code, modifiers)
        type_of = kinds.get(code, "")
        word = "POINT"
        if type_of == "state":
            word = "STOP" if key in begun else "START"
            begun ^= {key}
        event = Event(at, key, word, time - (offset or 0.0), time - (offset or 0.0), videos, unit="event")
        if why or type_of not in ("state", "point"):
            reason = why or "the project does not say whether this behaviour is a state or a point"
            unplaced.append(f"{event} ({reason})")
        else:
            yield event


def _videos(observation: dict[str, Any]) -> Recording:
    """The videos of the first player that has any."""
    files = observation.get("file")
    players = sorted(files.items()) if isinstance(files, dict) else []
    lists = [paths for _, paths in players if isinstance(paths, list) and paths]
    names = tuple(str(path) for path in lists[0]) if lists else ()
    info = observation.get("media_info")
    info = info if isinstance(info, dict) else {}
    lengths, rates = (
        tuple(_positive(values.get(name)) if isinstance(values, dict) else None for name in names)
        for values in (info.get("length"), info.get("fps"))
    )
    return Recording(names, lengths, rates)


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
