"""Predicted bouts as BORIS exports events, to be read by whatever reads those, boris.py here among it.

Columns are those, in that order, which BORIS 8.27.4 writes (boris/export_events.py and boris/export_observation.py of
the package `boris-behav-obs`), without the optional `Modifier #n`:

    aggregated   a line a bout, from Start (s) to Stop (s), a state
    tabular      a line a START and a line a STOP, in the order of their times

Each video is an observation of its own, with one player and an offset of 0, so that times are those of the video. No
subject is named. The score is in the comment of the start. BORIS writes times to the millisecond, and here they are to
the microsecond, so that reading gives the very spans. Given the events of such a file as a project, the functions of
that version find every state paired, and export the same columns and cells but for that, and for the date, which is
left empty here.

BORIS has no reader of its own for either form: it imports projects, and sheets with the columns time, subject, code,
modifier and comment.
"""

import csv
import io
from collections.abc import Iterator
from typing import Literal

from vimoclip.prediction.predictions import PredictedBout, Prediction, Predictions

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


def events(predictions: Predictions, form: Form, delimiter: str = ",") -> str:
    """All bouts of all videos, as the text of a file."""
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
            "Coding duration": _time(prediction.duration_s),
            "FPS (frame/s)": f"{prediction.fps:.3f}",
            "Observation duration by subject by observation": f"{covered:.3f}",
            "Behavior type": "STATE",
            "Start (s)": _time(bout.start_s),
            "Stop (s)": _time(bout.end_s),
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
    for time_s, kind, bout in sorted(moments, key=lambda each: each[0]):  # stable: no bout stops before its start
        yield _observation(prediction, bout) | {
            "Observation duration": _time(prediction.duration_s),
            "Observation type": "Media file(s)",
            "Subject": "",
            "Behavioral category": "",
            "FPS": f"{prediction.fps:.3f}",
            "Behavior type": kind,
            "Time": _time(time_s),
            "Image index": "NA",
            "Image file path": "NA",
            "Comment": _score(bout) if kind == "START" else "",
        }


def _observation(prediction: Prediction, bout: PredictedBout) -> dict[str, str]:
    """The columns that both forms have."""
    return {
        "Observation id": prediction.video,
        "Observation date": "",
        "Description": "",
        "Source": f"player #1:{prediction.path}",
        "Time offset (s)": "0",
        "Media duration (s)": _time(prediction.duration_s),
        "Behavior": bout.label,
        "Media file name": prediction.path,
    }


def _score(bout: PredictedBout) -> str:
    return f"score {bout.score:.4f}"


def _time(seconds: float) -> str:
    """Three decimals as BORIS has them, and more where they say something."""
    whole, _, decimals = f"{seconds:.6f}".partition(".")
    return f"{whole}.{decimals[:3]}{decimals[3:].rstrip('0')}"
