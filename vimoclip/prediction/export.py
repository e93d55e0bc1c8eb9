"""Predictions as files: CSV and JSON for programs, the two forms of BORIS's events, and an ethogram for each video.

BORIS events are written for whatever reads BORIS's exports, such as vimoclip/annotations/boris.py. Columns are those,
in that order, which BORIS 8.27.4 writes (boris/export_events.py and boris/export_observation.py of the package
`boris-behav-obs`), without the optional `Modifier #n`:

    aggregated   a line a bout, from Start (s) to Stop (s), a state
    tabular      a line a START and a line a STOP, in the order of their times

Each video is an observation of its own, with one player and an offset of 0. Its times are those of the clock of BORIS's
player, which begins with the file, sound and all; everything else here counts from the first frame. No subject is
named. The score is in the comment of the start. BORIS writes times to the millisecond; these are to the microsecond, so
that reading gives the exact spans. Given the events of such a file as a project, that version of BORIS finds every
state paired, and exports the same columns and cells but for these times and for the date, which is left empty here.
BORIS itself reads neither form: it imports projects, and sheets with the columns time, subject, code, modifier and
comment.
"""

import csv
import io
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from vimoclip.atomic import atomic_write
from vimoclip.errors import UsageError
from vimoclip.prediction.predictions import Prediction, Predictions, ScoredSpan

Form = Literal["aggregated", "tabular"]

AGGREGATED = (
    "Observation id",
    "Observation date",
    "Description",
    "Observation type",
    "Source",
    "Time offset (s)",
    "Coding duration",
    "Media duration (s)",
    "FPS (frame/s)",
    "Subject",
    "Observation duration by subject by observation",
    "Behavior",
    "Behavioral category",
    "Behavior type",
    "Start (s)",
    "Stop (s)",
    "Duration (s)",
    "Media file name",
    "Image index start",
    "Image index stop",
    "Image file path start",
    "Image file path stop",
    "Comment start",
    "Comment stop",
)
TABULAR = (
    "Observation id",
    "Observation date",
    "Description",
    "Observation duration",
    "Observation type",
    "Source",
    "Time offset (s)",
    "Media duration (s)",
    "FPS",
    "Subject",
    "Behavior",
    "Behavioral category",
    "Behavior type",
    "Time",
    "Media file name",
    "Image index",
    "Image file path",
    "Comment",
)


def boris_rows(predictions: Predictions, form: Form, delimiter: str = ",") -> str:
    """Write all bouts of all videos as the text of a BORIS events file.

    Args:
        predictions: what to write.
        form: `aggregated` or `tabular`.
        delimiter: between cells.
    """
    file = io.StringIO()
    columns = AGGREGATED if form == "aggregated" else TABULAR
    writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    for prediction in predictions:
        writer.writerows((_aggregated if form == "aggregated" else _tabular)(prediction))
    return file.getvalue()


def _aggregated(prediction: Prediction) -> Iterator[dict[str, str]]:
    covered = sum(bout.end_s - bout.start_s for bout in prediction.bouts)
    for bout in sorted(prediction.bouts, key=lambda bout: (bout.label, bout.start_s)):
        yield _observation(prediction, bout) | {
            "Observation type": "Media file",
            "Subject": "No focal subject",
            "Behavioral category": "Not defined",
            "Coding duration": _time(_length_s(prediction)),
            "FPS (frame/s)": f"{prediction.fps:.3f}",
            "Observation duration by subject by observation": f"{covered:.3f}",
            "Behavior type": "STATE",
            "Start (s)": _time(bout.start_s + prediction.clock_offset_s),
            "Stop (s)": _time(bout.end_s + prediction.clock_offset_s),
            "Duration (s)": _time(bout.end_s - bout.start_s),
            "Image index start": "NA",
            "Image index stop": "NA",
            "Image file path start": "",
            "Image file path stop": "",
            "Comment start": _score(bout),
            "Comment stop": "",
        }


def _tabular(prediction: Prediction) -> Iterator[dict[str, str]]:
    moments = [
        (time_s, kind, bout)
        for bout in prediction.bouts
        for time_s, kind in ((bout.start_s, "START"), (bout.end_s, "STOP"))
    ]
    for time_s, kind, bout in sorted(moments, key=lambda each: each[0]):  # stable, so no bout stops before its start
        yield _observation(prediction, bout) | {
            "Observation duration": _time(_length_s(prediction)),
            "Observation type": "Media file(s)",
            "Subject": "",
            "Behavioral category": "",
            "FPS": f"{prediction.fps:.3f}",
            "Behavior type": kind,
            "Time": _time(time_s + prediction.clock_offset_s),
            "Image index": "NA",
            "Image file path": "NA",
            "Comment": _score(bout) if kind == "START" else "",
        }


def _observation(prediction: Prediction, bout: ScoredSpan) -> dict[str, str]:
    """The columns that both forms have."""
    return {
        "Observation id": prediction.video,
        "Observation date": "",
        "Description": "",
        "Source": f"player #1:{prediction.path}",
        "Time offset (s)": "0",
        "Media duration (s)": _time(_length_s(prediction)),
        "Behavior": bout.label,
        "Media file name": prediction.path,
    }


def _length_s(prediction: Prediction) -> float:
    """The length of a video on the clock of the player, which may begin before the first frame."""
    return prediction.duration_s + prediction.clock_offset_s


def _score(bout: ScoredSpan) -> str:
    return f"score {bout.score:.4f}"


def _time(seconds: float) -> str:
    """Seconds with three decimals as BORIS has them, and with more where those are not 0."""
    whole, _, decimals = f"{seconds:.6f}".partition(".")
    return f"{whole}.{decimals[:3]}{decimals[3:].rstrip('0')}"


MOST_ROWS = 40
_BOUT, _CURVE, _RULE = "#3d7a5c", "#123", "#c2571a"

_DPI = 144
_WIDTH = 9.6  # inches, of a picture whose bouts need no more
_BESIDE = 2.4  # inches: the names of labels, and what is around the rows
_LEAST_PIXELS = 3.0  # of a bout
_MOST_PIXELS = 32_000_000  # of a picture: 128 MB while it is drawn
_MOST_WIDTH = 30_000  # pixels; matplotlib draws 65,535, and some viewers fewer


def timeline_note(prediction: Prediction) -> str | None:
    """Say so where an ethogram is too long to show its shortest bouts as long as they are; None where it shows them.

    Args:
        prediction: of the video.
    """
    _, pixel_s = _width(prediction)
    shortest = _shortest_s(prediction)
    if shortest is None or shortest >= _LEAST_PIXELS * pixel_s * 0.999:
        return None
    return f"binned: a pixel is {pixel_s:.2g} s, and bouts of less than {_LEAST_PIXELS * pixel_s:.2g} s are drawn wider"


def _shortest_s(prediction: Prediction) -> float | None:
    return min((bout.end_s - bout.start_s for bout in prediction.bouts), default=None)


def _labels(prediction: Prediction) -> list[str]:
    """The labels that have a row: those with bouts, or else the most probable ones."""
    labels = list(dict.fromkeys(bout.label for bout in prediction.bouts))[:MOST_ROWS]
    return labels or [label for label, _ in prediction.labels(5)]


def _height(prediction: Prediction) -> float:
    return 1.1 + 0.42 * len(_labels(prediction))


def _width(prediction: Prediction) -> tuple[float, float]:
    """The width of an ethogram in inches: as wide as its shortest bout needs, up to a limit; and seconds a pixel."""
    duration_s, shortest = max(prediction.duration_s, 1e-9), _shortest_s(prediction)
    rows = _WIDTH - _BESIDE
    if shortest is not None and shortest > 0:
        rows = max(rows, _LEAST_PIXELS * duration_s / shortest / _DPI)
    most = min(_MOST_WIDTH, _MOST_PIXELS / (_height(prediction) * _DPI)) / _DPI
    rows = min(rows, most - _BESIDE)
    return rows + _BESIDE, duration_s / (rows * _DPI)


def ethogram(prediction: Prediction, threshold: float) -> bytes:
    """Draw what is seen in a video and when: a row for each label, seconds from left to right.

    A row shows the bouts of a label that has any and, over them, its probability in each window, with the threshold.
    Where no label has bouts, the five most probable labels are shown. Labels are in the order of their first bouts, at
    most 40. The picture is as wide as the shortest bout needs to be seen; a very long video is binned, which its title
    says (`timeline_note`).

    Args:
        prediction: of the video.
        threshold: that of the bouts.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure

    labels = _labels(prediction)
    width, pixel_s = _width(prediction)
    picture = Figure(figsize=(width, _height(prediction)), layout="constrained")
    axes = picture.add_subplot()
    for row, label in enumerate(labels):
        _row(axes, prediction, row, label, threshold, _LEAST_PIXELS * pixel_s)
    axes.set_yticks(range(len(labels)), [_plain(label, 30) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, prediction.duration_s)
    axes.set_xlabel("seconds")
    axes.locator_params(axis="x", nbins=max(9, round(width)))
    title = _plain(prediction.video, 80)
    if (note := timeline_note(prediction)) is not None:
        title += f"   {note}"
    axes.set_title(title, loc="left", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # it is drawn as a box
        picture.savefig(data, format="png", dpi=_DPI)
    return data.getvalue()


def _row(axes: Any, prediction: Prediction, row: int, label: str, threshold: float, least_s: float) -> None:
    """Draw one label, each bout at least `least_s` wide. 0 and 1 are the lower and the upper edge of the row."""
    bottom, height = row + 0.4, 0.8
    own = [bout for bout in prediction.bouts if bout.label == label]
    widths = [max(bout.end_s - bout.start_s, least_s) for bout in own]
    starts = [min(bout.start_s, prediction.duration_s - width) for bout, width in zip(own, widths, strict=True)]
    bouts = list(zip(starts, widths, strict=True))
    axes.broken_barh(bouts, (bottom - height, height), facecolor=_BOUT, alpha=0.45)
    axes.axhline(bottom - height * threshold, color=_RULE, lw=0.5, ls=":")
    found = prediction.window_probabilities[:, prediction.classes.index(label)]
    middles = (prediction.starts_s + prediction.ends_s) / 2
    axes.plot(middles, bottom - height * found, color=_CURVE, lw=0.9, marker="." if len(found) == 1 else None)


def _plain(text: str, most: int) -> str:
    """The end of a text, on one line, in which matplotlib reads nothing as a formula."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return (shown if len(shown) <= most else f"…{shown[1 - most :]}").replace("$", r"\$")


COLUMNS = ("video", "level", "label", "start_s", "end_s", "score", "stored", "path")

_SAFE = re.compile(r"[^\w.-]+")


def check_table(path: Path) -> None:
    """Refuse a file of predictions whose suffix names no format.

    Raises:
        UsageError: the suffix is not .csv or .json.
    """
    _check(path, (".csv", ".json"), "predictions")


def check_events(path: Path) -> None:
    """Refuse a file of events whose suffix names no format.

    Raises:
        UsageError: the suffix is not .csv or .tsv.
    """
    _check(path, (".csv", ".tsv"), "events")


def write_table(predictions: Predictions, path: Path, top: int = 0) -> Path:
    """Write a CSV or JSON file.

    CSV has a row for each video and label, with the level `video` and no times, then a row for each bout, with the
    level `bout`. JSON is `Predictions.to_dict`.

    Args:
        predictions: what to write.
        path: of the file; its suffix names the format.
        top: how many labels of each video; 0 is all.

    Returns:
        The path.

    Raises:
        UsageError: another suffix.
        RunError: the file cannot be written.
    """
    check_table(path)
    if path.suffix.lower() == ".json":
        text = json.dumps(predictions.to_dict(top), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    else:
        text = _csv(predictions, top)
    return _write(path, text.encode())


def write_events(predictions: Predictions, path: Path, form: Form = "aggregated") -> Path:
    """Write the bouts as BORIS exports events, with commas or, in a .tsv file, tabs.

    Args:
        predictions: what to write.
        path: of the file.
        form: `aggregated` or `tabular`.

    Returns:
        The path.

    Raises:
        UsageError: another suffix.
        RunError: the file cannot be written.
    """
    check_events(path)
    return _write(path, boris_rows(predictions, form, "\t" if path.suffix.lower() == ".tsv" else ",").encode())


def write_timelines(predictions: Predictions, path: Path) -> list[Path]:
    """Draw the ethogram of each video into a folder, or of one video into a .png file.

    Returns:
        The paths of the pictures.

    Raises:
        UsageError: a .png file for several videos.
        RunError: a picture cannot be written.
    """
    if path.suffix.lower() == ".png":
        check_timeline(path, len(predictions))
        return [_write(path, ethogram(each, predictions.threshold)) for each in predictions]
    digits = len(str(len(predictions)))
    return [
        _write(path / f"{n:0{digits}}-{_name(each.video)}.png", ethogram(each, predictions.threshold))
        for n, each in enumerate(predictions, start=1)
    ]


def check_timeline(path: Path, videos: int) -> None:
    """Refuse one picture for several videos.

    Raises:
        UsageError: `path` is a .png file, and there are several videos.
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
    with atomic_write(path) as beside:
        beside.write_bytes(data)
    return path
