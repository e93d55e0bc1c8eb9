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
    """Read the labels of the videos that are in the store, by video_id; a label of the whole video ends at ±inf.

    What several sources say in the same words counts once.
    """
    found: dict[str, list[Span]] = {}
    labels = store.labels().select("video_id", "label", "start_s", "end_s", "subject").unique(maintain_order=True)
    for video_id, label, start_s, end_s, subject in labels.iter_rows():
        span = Span(label, -math.inf if start_s is None else start_s, math.inf if end_s is None else end_s, subject)
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
    """Make `labels` everything that one source says of some videos; what other sources say stays as it is.

    Args:
        rows: the labels so far, of every video and source.
        labels: of these videos and this source.
        video_ids: the videos; other labels of theirs from this source end.
        source: who says so, such as a file.

    Returns:
        All labels after it, one a key; and how many rows changed.
    """
    old = {label.key: label for label in rows}
    named = set(video_ids)
    kept = {key: label for key, label in old.items() if label.source != source or label.video_id not in named}
    after = kept | {label.key: label for label in labels}
    return list(after.values()), sum(after.get(key) != old.get(key) for key in after.keys() | old.keys())


def disagreements(rows: Iterable[Label], labels: Iterable[Label]) -> list[tuple[Label, Label]]:
    """Find spans that two sources end or begin at different moments.

    Args:
        rows: labels of other sources, and of the same one, which are passed over.
        labels: the labels to compare with them, of one source.

    Returns:
        (label, another source's) of each label of a span that another source gives to the same video and subject at
        overlapping but other times; the first such of each source. A subject that is not named is any.
    """
    others: dict[tuple[str, str], list[Label]] = {}
    for row in rows:
        if not row.whole_video:
            others.setdefault((row.video_id, row.label), []).append(row)
    found = []
    for label in labels:
        near: dict[str, Label] = {}
        same = set()
        for other in others.get((label.video_id, label.label), ()):
            if other.source == label.source or (label.subject and other.subject not in (None, label.subject)):
                continue
            if (other.start_s, other.end_s) == (label.start_s, label.end_s):
                same.add(other.source)
            elif other.start_s < label.end_s and label.start_s < other.end_s:
                near.setdefault(other.source, other)
        if not label.whole_video:
            found += [(label, other) for source, other in near.items() if source not in same]
    return found


def write_labels(table: Table, labels: Iterable[Label]) -> None:
    """Replace the `labels` table by these rows, in one commit. Call it with the write lock held."""
    ordered = sorted(labels, key=lambda x: (x.video_id, x.start_s, x.label, x.source, x.subject or ""))
    table.replace(pa.Table.from_pylist([asdict(label) for label in ordered], schema=LABELS), LABELS)
