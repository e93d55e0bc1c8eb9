"""Adding labels, splits and metadata to a store, at ingest or any time after it; frames stay as they are."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.ingest_plan import Source
from schemas.labels import PAST_END_S, Label
from schemas.videos import Video
from vimoclip.annotations import Annotations, KnownVideo, from_folders, match, read
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter


@dataclass(frozen=True)
class LabelReport:
    """What applying labels did.

    Attributes:
        source: the file's name.
        videos: how many were matched.
        labels: how many of its rows are in the store now.
        changed: how many rows were added, altered or dropped.
        unknown: names as written that match no video, and ids that an ingest has not reached yet.
        ambiguous: names as written that match several videos.
        past_end: labels, in words, that end more than PAST_END_S after their video; they are cut at its end, or left
            out where they begin there or later.
        unpaired: starts without a stop and stops without a start, in words; they are left out.
        unplaced: events, in words, for which the file does not say which video or when; they are left out.
    """

    source: str
    videos: int
    labels: int
    changed: int
    unknown: list[str]
    ambiguous: list[str]
    past_end: list[str]
    unpaired: list[str]
    unplaced: list[str]

    @property
    def complete(self) -> bool:
        """Whether everything in the source went into the store."""
        return not (self.unknown or self.ambiguous or self.past_end or self.unpaired or self.unplaced)


def run(
    store: LocationLike, file: Path | None, wait: bool = True, on_wait: Callable[[str], None] | None = None
) -> LabelReport:
    """Label the videos of a store.

    Args:
        store: the store.
        file: a label file; None labels each video with the name of its folder.
        wait: whether to wait for another writer, rather than fail.
        on_wait: called with a message before waiting.

    Raises:
        LabelError: the file cannot be read, or contradicts itself; nothing is changed.
        StoreError: see `FeatureStore.open` and `writer_lock`.
    """
    annotations = read(file) if file is not None else None
    at = FeatureStore.open(store).place
    with writer_lock(at, wait, on_wait) as lock:
        return apply(StoreWriter(FeatureStore.open(at), lock.check), annotations)


def apply(writer: StoreWriter, annotations: Annotations | None, sources: Iterable[Source] | None = None) -> LabelReport:
    """Apply annotations. Labels of a video replace those that the same source gave it before.

    Labels of a duplicate go to the video that it duplicates. Labels of videos that failed are kept until these are
    retried.

    Args:
        writer: writes the store.
        annotations: what a label file says; None labels each video with the name of its folder.
        sources: the files of the ingest that this belongs to. Names are matched against these too, so that a name of
            several files is not taken for the only one stored so far. Folders label these, or every video where
            `sources` is None.

    Raises:
        LabelError: two rows of one video contradict each other.
    """
    rows = {video_id: row for video_id, row in writer.videos.items() if row.status != "removed"}
    found = with_sources(rows, sources or ())
    if annotations is None:
        ids = {each.path: video_id for video_id, each in found.items()}
        annotations = from_folders(sorted(rows if sources is None else {ids[each.path] for each in sources}))
    matched = match(annotations, found)
    waiting = [video_id for video_id in matched.videos if video_id not in rows]
    originals = {video_id: row.duplicate_of for video_id, row in rows.items() if row.duplicate_of in rows}
    labels = [
        replace(label, video_id=originals.get(label.video_id) or label.video_id)
        for label in matched.labels
        if label.video_id in rows
    ]
    labels, past_end = _within(labels, {video_id: row.duration_s for video_id, row in rows.items()})
    # Copies first: where a copy and its original are both named, the original has the last word.
    named = sorted(rows.keys() & matched.videos, key=lambda video_id: (video_id not in originals, video_id))
    for video_id in named:
        row = writer.videos[originals.get(video_id) or video_id]
        split = matched.splits.get(video_id, row.split)
        metadata = json.dumps(json.loads(row.metadata) | matched.metadata.get(video_id, {}), sort_keys=True)
        if (split, metadata) != (row.split, row.metadata):
            writer.put(replace(row, split=split, metadata=metadata))
    targets = {originals.get(video_id) or video_id for video_id in named}
    writer.flush()
    changed = writer.set_labels(labels, targets, annotations.source)
    unknown = [*matched.unknown, *waiting]
    return LabelReport(
        source=annotations.source,
        videos=len(targets),
        labels=len(labels),
        changed=changed,
        unknown=unknown,
        ambiguous=list(matched.ambiguous),
        past_end=past_end,
        unpaired=list(annotations.unpaired),
        unplaced=list(annotations.unplaced),
    )


def _within(labels: Iterable[Label], durations: Mapping[str, float | None]) -> tuple[list[Label], list[str]]:
    """Cut labels where their videos end; the labels, and in words those that were cut or left out.

    durations: in s, by id; None where it is unknown, as for a video that failed.
    """
    kept, past = [], []
    for label in labels:
        end = durations.get(label.video_id)
        if not label.whole_video and end is not None and label.end_s > end + PAST_END_S:
            span = f"{label.label!r} from {label.start_s:g} s to {label.end_s:g} s"
            past.append(f"{label.video_id}: {span}, and the video ends at {end:g} s")
            if label.start_s >= end:
                continue
            label = replace(label, end_s=end)
        kept.append(label)
    return kept, past


def with_sources(rows: Mapping[str, Video], sources: Iterable[Source]) -> dict[str, KnownVideo]:
    """What names may mean, by id: the stored videos, and the files of an ingest that are not at a stored path.

    Args:
        rows: stored videos, by id.
        sources: the files of the ingest.
    """
    stored = {video_id: KnownVideo(row.path, row.duration_s, row.fps) for video_id, row in rows.items()}
    paths = {each.path for each in stored.values()}
    return stored | {each.video_id: KnownVideo(each.path) for each in sources if each.path not in paths}
