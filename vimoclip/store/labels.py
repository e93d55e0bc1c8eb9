"""Labels in a store: reading them as spans, merging what a source says into them, and writing them.

A part of a video has a label when the two share at least half of the shorter one. A label of the whole video always
holds; a label of a single moment holds where the moment lies in the part.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.labels import LABELS, Label, Span
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table


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


def read_labels(table: Table) -> list[Label]:
    """Read every row of the `labels` table."""
    return [Label(**row) for row in table.read().to_pylist()]


def merge_labels(
    rows: Sequence[Label], labels: Iterable[Label], video_ids: Iterable[str], source: str
) -> tuple[list[Label], int]:
    """Make `labels` everything that one source says of some videos.

    A label that another source has given already stays that source's: it still holds when this source withdraws it.

    Args:
        rows: the labels so far, of every video and source.
        labels: of these videos.
        video_ids: the videos; other labels of theirs from this source end.
        source: who says so, such as a file.

    Returns:
        All labels after it, one per video, label and start; and how many rows changed.
    """
    old = {(label.video_id, label.label, label.start_s): label for label in rows}
    new = {}
    for label in labels:
        known = old.get(key := (label.video_id, label.label, label.start_s))
        new[key] = label if known is None or known.end_s != label.end_s else known
    named = set(video_ids)
    kept = {
        key: label for key, label in old.items() if key not in new and (label.source != source or key[0] not in named)
    }
    after = kept | new
    return list(after.values()), sum(after.get(key) != old.get(key) for key in after.keys() | old.keys())


def write_labels(table: Table, labels: Iterable[Label]) -> None:
    """Replace the `labels` table by these rows, in one commit. Call it with the write lock held."""
    rows = [asdict(label) for label in sorted(labels, key=lambda x: (x.video_id, x.start_s, x.label))]
    table.replace(pa.Table.from_pylist(rows, schema=LABELS))
