"""Predictions as files: CSV and JSON for programs, the two forms of BORIS's events, and a timeline a video."""

import csv
import io
import json
import re
from pathlib import Path, PurePosixPath

from vimoclip.atomic import replacing
from vimoclip.errors import UsageError
from vimoclip.prediction.boris_events import Form, events
from vimoclip.prediction.ethogram import png
from vimoclip.prediction.predictions import Predictions

COLUMNS = ("video", "level", "label", "start_s", "end_s", "score", "stored", "path")

_SAFE = re.compile(r"[^\w.-]+")


def check_table(path: Path) -> None:
    """Refuse a file of predictions whose suffix names no form.

    Raises:
        UsageError.
    """
    _check(path, (".csv", ".json"), "predictions")


def check_events(path: Path) -> None:
    """Refuse a file of events whose suffix names no form.

    Raises:
        UsageError.
    """
    _check(path, (".csv", ".tsv"), "events")


def write_table(predictions: Predictions, path: Path, top: int = 0) -> Path:
    """Write a CSV or JSON file. CSV: a row a video and label, with the level `video` and no times, then a row a bout,
    with the level `bout`. JSON: as `Predictions.to_dict`. top: labels a video; 0 is all.

    Raises:
        UsageError: another suffix. RunError: it cannot be written.
    """
    check_table(path)
    if path.suffix.lower() == ".json":
        text = json.dumps(predictions.to_dict(top), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    else:
        text = _csv(predictions, top)
    return _write(path, text.encode())


def write_events(predictions: Predictions, path: Path, form: Form = "aggregated") -> Path:
    """Write the bouts as BORIS exports events, with commas or, in a .tsv file, tabs.

    Raises:
        UsageError: another suffix. RunError: it cannot be written.
    """
    check_events(path)
    return _write(path, events(predictions, form, "\t" if path.suffix.lower() == ".tsv" else ",").encode())


def write_timelines(predictions: Predictions, path: Path) -> list[Path]:
    """Draw the ethogram of each video into a folder, or of one video into a .png file.

    Raises:
        UsageError: a file, and several videos. RunError: it cannot be written.
    """
    if path.suffix.lower() == ".png":
        check_timeline(path, len(predictions))
        return [_write(path, png(each, predictions.threshold)) for each in predictions]
    digits = len(str(len(predictions)))
    return [
        _write(path / f"{n:0{digits}}-{_name(each.video)}.png", png(each, predictions.threshold))
        for n, each in enumerate(predictions, start=1)
    ]


def check_timeline(path: Path, videos: int) -> None:
    """Refuse one picture of several videos.

    Raises:
        UsageError.
    """
    if path.suffix.lower() == ".png" and videos > 1:
        raise UsageError(
            "A timeline is of one video.",
            received=f"{path} for {videos} videos",
            expected="a folder, in which each gets its own",
        )


def _csv(predictions: Predictions, top: int) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in predictions:
        about = ("true" if each.stored else "false", each.path)
        for label, score in each.labels(top):
            writer.writerow((each.video, "video", label, "", "", f"{score:.6f}", *about))
        for bout in each.bouts:
            times = (f"{bout.start_s:.6f}", f"{bout.end_s:.6f}")
            writer.writerow((each.video, "bout", bout.label, *times, f"{bout.score:.6f}", *about))
    return file.getvalue()


def _check(path: Path, suffixes: tuple[str, ...], what: str) -> None:
    if path.suffix.lower() not in suffixes:
        raise UsageError(
            f"The suffix of a file of {what} says what it is.", received=path, expected=" or ".join(suffixes)
        )


def _name(video: str) -> str:
    return _SAFE.sub("_", PurePosixPath(video).stem)[:60]


def _write(path: Path, data: bytes) -> Path:
    with replacing(path) as beside:
        beside.write_bytes(data)
    return path
