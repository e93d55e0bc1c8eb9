"""Which labels a stretch of a video has.

It has a label when the two share at least half of the shorter one, a label of the whole video always, and one of a
moment when the moment lies in it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vimoclip.store.feature_store import FeatureStore


@dataclass(frozen=True)
class LabelSpan:
    """A label of a video, in [start_s, end_s); of the whole video from -inf to +inf."""

    label: str
    start_s: float
    end_s: float

    def held_by(self, start_s: NDArray[np.float64], end_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of n stretches of its video have it, (n,)."""
        if self.end_s <= self.start_s:
            return np.asarray((start_s <= self.start_s) & (self.start_s < end_s))
        shared = np.minimum(end_s, self.end_s) - np.maximum(start_s, self.start_s)
        return np.asarray((shared > 0) & (2 * shared >= np.minimum(end_s - start_s, self.end_s - self.start_s)))


def label_spans(store: FeatureStore) -> dict[str, list[LabelSpan]]:
    """The labels of the videos that are in, by video_id."""
    found: dict[str, list[LabelSpan]] = {}
    for video_id, label, start_s, end_s in store.labels().select("video_id", "label", "start_s", "end_s").iter_rows():
        span = LabelSpan(label, -math.inf if start_s is None else start_s, math.inf if end_s is None else end_s)
        found.setdefault(video_id, []).append(span)
    return found


def labels_at(spans: Mapping[str, Iterable[LabelSpan]], video_id: str, start_s: float, end_s: float) -> tuple[str, ...]:
    """The labels of one stretch of a video, each once, by name."""
    start, end = np.array([start_s]), np.array([end_s])
    return tuple(sorted({span.label for span in spans.get(video_id, ()) if span.held_by(start, end)[0]}))
