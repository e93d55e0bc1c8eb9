"""An ethogram: what is seen in a video when, as a picture. A row a label, seconds from left to right."""

import io
import warnings
from typing import Any

from vimoclip.prediction.predictions import Prediction

MOST_ROWS = 40
_BOUT, _CURVE, _RULE = "#3d7a5c", "#123", "#c2571a"


def png(prediction: Prediction, threshold: float) -> bytes:
    """Of each label that has a bout, its bouts, and over them the probability in each window, with the threshold; where
    none has, of the five most probable ones. Labels are in the order of their first bouts, at most 40 of them."""
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(bout.label for bout in prediction.bouts))[:MOST_ROWS]
    labels = labels or [label for label, _ in prediction.labels(5)]
    picture = Figure(figsize=(9.6, 1.1 + 0.42 * len(labels)), layout="constrained")
    axes = picture.add_subplot()
    for row, label in enumerate(labels):
        _row(axes, prediction, row, label, threshold)
    axes.set_yticks(range(len(labels)), [_plain(label, 30) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, prediction.duration_s)
    axes.set_xlabel("seconds")
    axes.set_title(_plain(prediction.video, 80), loc="left", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # it is drawn as a box
        picture.savefig(data, format="png", dpi=144)
    return data.getvalue()


def _row(axes: Any, prediction: Prediction, row: int, label: str, threshold: float) -> None:
    """Probabilities of 0 and 1 are the lower and the upper edge of the row."""
    bottom, height = row + 0.4, 0.8
    bouts = [(bout.start_s, bout.end_s - bout.start_s) for bout in prediction.bouts if bout.label == label]
    axes.broken_barh(bouts, (bottom - height, height), facecolor=_BOUT, alpha=0.45)
    axes.axhline(bottom - height * threshold, color=_RULE, lw=0.5, ls=":")
    found = prediction.window_probabilities[:, prediction.classes.index(label)]
    middles = (prediction.starts_s + prediction.ends_s) / 2
    axes.plot(middles, bottom - height * found, color=_CURVE, lw=0.9, marker="." if len(found) == 1 else None)


def _plain(text: str, most: int) -> str:
    """The end of a text, on one line in which nothing is a formula."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return (shown if len(shown) <= most else f"…{shown[1 - most :]}").replace("$", r"\$")
