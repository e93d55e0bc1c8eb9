"""Which labels a part of a video has.

A part has a label when the two share at least half of the shorter one. A label of the whole video always holds; a label
of a single moment holds where the moment lies in the part.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.labels import Span
from vimoclip.store.feature_store import FeatureStore


def held_by(span: Span, start_s: NDArray[np.float64], end_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find which parts of a video have the label of a span.

    Args:
        span: a label of the same video.
        start_s: where n parts start, in seconds, fp64 (n,).
        end_s: where they end, fp64 (n,).

    Returns:
        bool (n,).
    """
    if span.end_s <= span.start_s:
        return np.asarray((start_s <= span.start_s) & (span.start_s < end_s))
    shared = np.minimum(end_s, span.end_s) - np.maximum(start_s, span.start_s)
    return np.asarray((shared > 0) & (2 * shared >= np.minimum(end_s - start_s, span.end_s - span.start_s)))


def label_spans(store: FeatureStore) -> dict[str, list[Span]]:
    """Read the labels of the videos that are in the store, by video_id; a label of the whole video ends at ±inf."""
    found: dict[str, list[Span]] = {}
    for video_id, label, start_s, end_s in store.labels().select("video_id", "label", "start_s", "end_s").iter_rows():
        span = Span(label, -math.inf if start_s is None else start_s, math.inf if end_s is None else end_s)
        found.setdefault(video_id, []).append(span)
    return found


def labels_at(spans: Mapping[str, Iterable[Span]], video_id: str, start_s: float, end_s: float) -> tuple[str, ...]:
    """List the labels of one part of a video, each once, sorted by name.

    Args:
        spans: labels by video_id, as `label_spans` reads them.
        video_id: the video.
        start_s: where the part starts, in seconds.
        end_s: where it ends.
    """
    start, end = np.array([start_s]), np.array([end_s])
    return tuple(sorted({span.label for span in spans.get(video_id, ()) if held_by(span, start, end)[0]}))
