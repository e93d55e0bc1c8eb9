"""Labels, splits and metadata into a store, at ingest or any time after; frames are never touched."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vimoclip.annotations import Annotations, from_csv, from_folders, match
from vimoclip.lock import writer_lock
from vimoclip.store import FeatureStore
from vimoclip.writer import StoreWriter


@dataclass(frozen=True)
class LabelReport:
    """What applying labels did.

    source: the file's name. videos: matched. labels: rows of it now in the store. changed: rows added, altered or
    dropped.
    unknown, ambiguous: names as written that match no video, or several.
    """

    source: str
    videos: int
    labels: int
    changed: int
    unknown: list[str]
    ambiguous: list[str]


def run(
    store: str | Path, file: Path | None, wait: bool = True, on_wait: Callable[[str], None] | None = None
) -> LabelReport:
    """Apply a label file, or with no file the names of the folders, to the videos of a store.

    Raises:
        LabelError: the file cannot be read; nothing is changed. StoreError: see `FeatureStore.open`, `writer_lock`.
    """
    annotations = from_csv(file) if file is not None else None
    path = FeatureStore.open(store).path
    with writer_lock(path, wait, on_wait):
        return apply(StoreWriter(FeatureStore.open(path)), annotations, None)


def apply(writer: StoreWriter, annotations: Annotations | None, video_ids: list[str] | None) -> LabelReport:
    """Apply annotations, or with None the names of the folders of `video_ids` (None: of every video). What they say
    of a video replaces what the same source said of it before.

    What is said of a duplicate goes to the video that it is a duplicate of. Labels of videos that failed are kept for
    the day they are retried.

    Raises:
        LabelError: two rows of one video contradict each other.
    """
    rows = {video_id: row for video_id, row in writer.videos.items() if row.status != "removed"}
    annotations = annotations or from_folders(sorted(rows if video_ids is None else rows.keys() & video_ids))
    matched = match(annotations, {video_id: row.path for video_id, row in rows.items()})
    originals = {video_id: row.duplicate_of for video_id, row in rows.items() if row.duplicate_of in rows}
    labels = [replace(label, video_id=originals.get(label.video_id) or label.video_id) for label in matched.labels]
    # Copies first: where a copy and its original are both named, the original has the last word.
    named = sorted(matched.videos, key=lambda video_id: video_id not in originals)
    for video_id in named:
        row = writer.videos[originals.get(video_id) or video_id]
        split = matched.splits.get(video_id, row.split)
        metadata = json.dumps(json.loads(row.metadata) | matched.metadata.get(video_id, {}), sort_keys=True)
        if (split, metadata) != (row.split, row.metadata):
            writer.put(replace(row, split=split, metadata=metadata))
    targets = {originals.get(video_id) or video_id for video_id in matched.videos}
    writer.flush()
    changed = writer.set_labels(labels, targets, annotations.source)
    return LabelReport(
        annotations.source, len(targets), len(labels), changed, list(matched.unknown), list(matched.ambiguous)
    )
