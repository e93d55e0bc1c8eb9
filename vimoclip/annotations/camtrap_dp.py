"""Observations of a Camtrap DP package (Camera Trap Data Package 1.0, or an earlier version): observations.csv.

media.csv must lie beside it; deployments.csv is read where it does. Columns are known by their names without case and
underscores, as they changed from `media_id` to `mediaID`:

    observations   observationType: only an `animal` has labels. behavior: several with `|` between them.
                   scientificName. individualID. mediaID: the file observed; without it, an event in a deployment.
                   deploymentID, eventStart, eventEnd: ISO 8601; before 1.0, timestamp and sequenceID instead
    media          mediaID, deploymentID, timestamp (ISO 8601, when a video begins), filePath, fileName, fileMediatype;
                   before 1.0, sequenceID
    deployments    deploymentID, locationName, locationID

Times become seconds from the beginning of a video. An event is in the videos of its deployment that begin during it or,
where none does, in the last one that began before it. Of those that begin during it, all but the last are in it as a
whole. An event without an end after the beginning of a video covers the whole video. Before 1.0, an observation of a
sequence is of all videos of the sequence, each as a whole.

A video is looked for by its filePath, then by its fileName in a folder that is called like the location or the
deployment, then by its fileName alone where no other of media.csv has it.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from schemas.labels import Span
from vimoclip.annotations.record import Annotations, Sightings, present, refuse
from vimoclip.annotations.tables import LabelFile, Row, delimited
from vimoclip.errors import LabelError

_NAMES = ("filepath", "filename")  # columns whose cells may be any text
_WHOLE = (-math.inf, math.inf)
_EXPECTED = "ISO 8601 times, all of them with a time zone or none, no end before its start, and a mediaID of media.csv"


@dataclass
class _Media:
    """A video of media.csv, and what is seen in it."""

    path: str
    file: str
    deployment: str
    sequence: str
    begin: datetime | None
    seen: Sightings = field(default_factory=Sightings)


def sniff(file: LabelFile) -> bool:
    """Whether the file begins with the header of observations.csv."""
    return file.header_delimiter(_is_header) is not None


def _is_header(cells: list[str]) -> bool:
    return {"observationid", "deploymentid", "observationtype"} <= set(map(_column, cells))


def _column(cell: str) -> str:
    return cell.strip().lower().replace("_", "")


def read(file: LabelFile) -> Annotations:
    """Read observations.csv. Observations of pictures say nothing about a video and are skipped.

    individualID becomes the subject of the labels; scientificName the metadata `species`, deploymentID `deployment`,
    and locationName `site`. Events in no video are listed in `unplaced`.

    Raises:
        LabelError: media.csv is missing, or lines are not as they should be.
    """
    path, rows = file.path, file.rows(file.header_delimiter(_is_header) or ",")
    problems: list[str] = []
    media, pictures = _media(path, problems)
    sites = _sites(path)
    unplaced: list[str] = []
    deployed: dict[str, list[_Media]] = {}
    for each in media.values():
        deployed.setdefault(each.deployment, []).append(each)
    for line, row in _table(rows):
        animal = row.get("observationtype", "").lower() == "animal"
        try:
            start, end = _time(row.get("eventstart", "")), _time(row.get("eventend", ""))
            if start is not None and end is not None and _after(start, end) < 0:
                raise ValueError(f"eventEnd {row['eventend']} is before eventStart {row['eventstart']}")
            own = deployed.get(row.get("deploymentid", ""), [])
            if row.get("mediaid"):
                if row["mediaid"] not in media and row["mediaid"] not in pictures:
                    raise ValueError(f"no mediaID {row['mediaid']!r} in media.csv")
                video = media.get(row["mediaid"])
                spans = [] if video is None else [(video, _span(video, start, end))]
            elif start is None and (sequence := row.get("sequenceid")):
                spans = [(each, _WHOLE) for each in own if each.sequence == sequence]
                if not spans and animal and sequence not in pictures.values():
                    unplaced.append(f"line {line}: sequence {sequence} of {row['deploymentid']} (no video)")
            else:
                start = start or _time(row.get("timestamp", ""))
                spans = _within(own, start, end)
                if not spans and animal and own:
                    at = row.get("eventstart") or row.get("timestamp") or "no time"
                    unplaced.append(f"line {line}: event of {row.get('deploymentid')} at {at} (no video)")
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        behaviours = [present(each) for each in (row.get("behavior") or row.get("behaviour", "")).split("|")]
        subject = row.get("individualid") or None
        for video, span in spans:
            labels = [Span(each, *span, subject) for each in behaviours if each] if animal else []
            species = row.get("scientificname", "") if animal else ""
            site = next(iter(sites.get(video.deployment, [])), "")
            video.seen.see(labels, species=species, deployment=video.deployment, site=site)
    refuse(str(path), problems, _EXPECTED)
    videos = [each for each in media.values() if each.seen.any]
    named = Counter(each.file for each in media.values())
    seen = (each.seen.done(each.path, aliases=tuple(_aliases(each, named, sites))) for each in videos)
    return Annotations.of_file(path, seen, elsewhere=True, unplaced=unplaced, clock="player")


def _aliases(video: _Media, named: Counter[str], sites: dict[str, list[str]]) -> Iterator[str]:
    """The fileName in folders named after the deployment, and alone where it is of one video."""
    if video.file:
        for folder in dict.fromkeys([*filter(None, sites.get(video.deployment, [])), video.deployment]):
            if folder:
                yield f"{folder}/{video.file}"
        # A filePath that ends with fileName has been looked for without its folders, and they may have contradicted.
        address = re.match(r"[a-z]+://", video.path, re.IGNORECASE)
        if named[video.file] == 1 and (address or re.split(r"[/\\]", video.path)[-1] != video.file):
            yield video.file


def _media(path: Path, problems: list[str]) -> tuple[dict[str, _Media], dict[str, str]]:
    """The videos by their mediaID; and by theirs, the sequences of everything else."""
    file = path.parent / "media.csv"
    if not file.is_file():
        what = f"{path} names media by their ids, and media.csv is missing."
        raise LabelError(what, expected="media.csv of the same package", hint=f"Put it at {file}.")
    videos: dict[str, _Media] = {}
    others: dict[str, str] = {}
    for line, row in _table(delimited(file)):
        name = row.get("filepath") or row.get("filename", "")
        if not row.get("mediaid") or not name:
            problems.append(f"media.csv, line {line}: no mediaID or no filePath")
        elif row["mediaid"] in videos or row["mediaid"] in others:
            problems.append(f"media.csv, line {line}: a second mediaID {row['mediaid']!r}")
        elif not (row.get("filemediatype") or "video/").lower().startswith("video/"):
            others[row["mediaid"]] = row.get("sequenceid", "")
        else:
            try:
                begin = _time(row.get("timestamp", ""))
            except ValueError as error:
                problems.append(f"media.csv, line {line}: {error}")
                continue
            file_name = re.split(r"[/\\]", row.get("filename", ""))[-1]
            deployment, sequence = row.get("deploymentid", ""), row.get("sequenceid", "")
            videos[row["mediaid"]] = _Media(name, file_name, deployment, sequence, begin)
    return videos, others


def _sites(path: Path) -> dict[str, list[str]]:
    """The locationName and locationID of each deploymentID, where deployments.csv lies beside the file."""
    file = path.parent / "deployments.csv"
    rows = _table(delimited(file)) if file.is_file() else iter(())
    return {row.get("deploymentid", ""): [row.get("locationname", ""), row.get("locationid", "")] for _, row in rows}


def _within(
    own: list[_Media], start: datetime | None, end: datetime | None
) -> list[tuple[_Media, tuple[float, float]]]:
    """The videos of one deployment that an event is in, and where in each; all of one that another follows."""
    if start is None:
        return []
    timed = [(each, _after(start, each.begin)) for each in own if each.begin is not None]
    length = 0.0 if end is None else _after(start, end)
    timed.sort(key=lambda pair: pair[1])
    if inside := [each for each, after in timed if 0 <= after <= length]:
        return [(each, _WHOLE) for each in inside[:-1]] + [(inside[-1], _span(inside[-1], start, end))]
    before = [each for each, after in timed if after < 0]
    return [(each, _span(each, start, end)) for each in before[-1:]]


def _span(video: _Media, start: datetime | None, end: datetime | None) -> tuple[float, float]:
    """Start and end in a video, in seconds; the whole video where there are no times, or none after its beginning."""
    if video.begin is None or start is None:
        return _WHOLE
    first = max(_after(video.begin, start), 0.0)
    last = first if end is None else _after(video.begin, end)
    return _WHOLE if last <= 0 else (first, last)


def _after(start: datetime, end: datetime) -> float:
    """Seconds from start to end."""
    if (start.tzinfo is None) != (end.tzinfo is None):
        raise ValueError(f"of {start.isoformat()} and {end.isoformat()}, one has a time zone")
    return (end - start).total_seconds()


def _time(cell: str) -> datetime | None:
    if not cell:
        return None
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not an ISO 8601 time") from None


def _table(rows: Iterator[Row]) -> Iterator[tuple[int, dict[str, str]]]:
    """Every row below the header, by the names of the columns as `_column` has them; missing cells are empty."""
    columns = [_column(cell) for cell in next(rows, (0, []))[1]]
    for line, row in rows:
        cells = [each if name in _NAMES else present(each) for name, each in zip(columns, row, strict=False)]
        yield line, dict(zip(columns, [*map(str.strip, cells), *[""] * len(columns)], strict=False))
