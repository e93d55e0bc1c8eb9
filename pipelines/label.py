"""Adding labels, splits and metadata to a store, at ingest or any time after it; frames stay as they are."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.ingest_plan import Source
from schemas.labels import PAST_END_S, Clock, Label
from schemas.videos import Video
from vimoclip.annotations import Annotations, KnownVideo, from_folders, match, read
from vimoclip.errors import LabelError, nearest
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.labels import disagreements
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
        changed: how many label rows were added, altered or dropped.
        taken_back: how many of these the source gave before and no longer gives.
        splits: how many videos it gives a split.
        videos_changed: how many videos have another split or other metadata than before.
        unknown: names as written that match no video, and ids that an ingest has not reached yet.
        nearest: for some of the unknown names, why they are unknown, or which video comes nearest.
        ambiguous: names as written that match several videos.
        past_end: labels, in words, that end more than PAST_END_S after their video, or lie before its first frame;
            they are cut, or left out where nothing of them is left.
        unpaired: starts without a stop and stops without a start, in words; they are left out.
        unplaced: events, in words, for which the file does not say which video or when; they are left out.
        disagreeing: labels, in words, for which another source gives other times.
        copies: copies of a video, in words, whose labels or split are not those of the video.
        notes: what else to know of the file, in words.
    """

    source: str
    videos: int
    labels: int
    changed: int
    taken_back: int
    splits: int
    videos_changed: int
    unknown: list[str]
    nearest: dict[str, str]
    ambiguous: list[str]
    past_end: list[str]
    unpaired: list[str]
    unplaced: list[str]
    disagreeing: list[str]
    copies: list[str]
    notes: list[str]

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


@dataclass(frozen=True)
class SourceCount:
    """What one source says in a store.

    Attributes:
        source: its name.
        labels: how many label rows are its own.
        videos: of how many videos.
        classes: how many different labels.
        subjects: how many animals it names.
    """

    source: str
    labels: int
    videos: int
    classes: int
    subjects: int


def sources(store: LocationLike) -> list[SourceCount]:
    """Count what each source says, in the order of their names; labels of failed videos and of copies count too."""
    rows: dict[str, list[Label]] = {}
    for row in FeatureStore.open(store).label_rows():
        rows.setdefault(row.source, []).append(row)
    return [
        SourceCount(
            source,
            labels=len(own),
            videos=len({row.video_id for row in own}),
            classes=len({row.label for row in own}),
            subjects=len({row.subject for row in own} - {None}),
        )
        for source, own in sorted(rows.items())
    ]


def remove_source(
    store: LocationLike, source: str, wait: bool = True, on_wait: Callable[[str], None] | None = None
) -> int:
    """Take out everything that one source says; splits and metadata stay.

    Args:
        store: the store.
        source: its name, as `sources` lists it.
        wait: whether to wait for another writer, rather than fail.
        on_wait: called with a message before waiting.

    Returns:
        How many labels were dropped.

    Raises:
        LabelError: no label has that source.
        StoreError: see `FeatureStore.open` and `writer_lock`.
    """
    at = FeatureStore.open(store).place
    with writer_lock(at, wait, on_wait) as lock:
        opened = FeatureStore.open(at)
        known = sorted({row.source for row in opened.label_rows()})
        if source not in known:
            raise LabelError(
                "No label of the store has that source.",
                received=source,
                expected=nearest(source, known) or ", ".join(known) or "a store with labels",
                hint="`vimoclip label --sources` lists them.",
            )
        return StoreWriter(opened, lock.check).remove_source(source)


def apply(
    writer: StoreWriter, annotations: Annotations | None, found_here: Iterable[Source] | None = None
) -> LabelReport:
    """Apply annotations. Labels of a video replace those that the same source gave it before, and no others.

    A copy of a video keeps labels, split and metadata of its own; readers see them as the video's. Labels of videos
    that failed are kept until these are retried.

    Args:
        writer: writes the store.
        annotations: what a label file says; None labels each video with the name of its folder.
        found_here: the files of the ingest that this belongs to. Names are matched against these too, so that a name of
            several files is not taken for the only one stored so far. Folders label these, or every video where it is
            None.

    Raises:
        LabelError: two rows of one video contradict each other.
    """
    rows = {video_id: row for video_id, row in writer.videos.items() if row.status != "removed"}
    known = with_sources(rows, found_here or ())
    if annotations is None:
        ids = {each.path: video_id for video_id, each in known.items()}
        annotations = from_folders(sorted(rows if found_here is None else {ids[each.path] for each in found_here}))
    matched = match(annotations, known)
    waiting = [video_id for video_id in matched.videos if video_id not in rows]
    content = {video_id: rows.get(row.duplicate_of or "", row) for video_id, row in rows.items()}
    labels, past_end = _placed((x for x in matched.labels if x.video_id in rows), annotations.clock, content)
    named = sorted(rows.keys() & matched.videos)
    before = writer.label_rows()
    videos_changed = 0
    for video_id in named:
        row = writer.videos[video_id]
        split = matched.splits.get(video_id, row.split)
        metadata = json.dumps(json.loads(row.metadata) | matched.metadata.get(video_id, {}), sort_keys=True)
        if (split, metadata) != (row.split, row.metadata):
            writer.put(replace(row, split=split, metadata=metadata))
            videos_changed += 1
    writer.flush()
    changed = writer.set_labels(labels, named, annotations.source)
    given, of_them = {each.key for each in labels}, set(named)
    return LabelReport(
        source=annotations.source,
        videos=len(named),
        labels=len(labels),
        changed=changed,
        taken_back=sum(
            row.source == annotations.source and row.video_id in of_them and row.key not in given for row in before
        ),
        splits=sum(video_id in matched.splits for video_id in named),
        videos_changed=videos_changed,
        unknown=[*matched.unknown, *waiting],
        nearest=dict(matched.nearest),
        ambiguous=list(matched.ambiguous),
        past_end=past_end,
        unpaired=list(annotations.unpaired),
        unplaced=list(matched.unplaced),
        disagreeing=[
            f"{mine.video_id}: {mine.label!r} {_times(mine)}, and {other.source} has {_times(other)}"
            for mine, other in disagreements(before, labels)
        ],
        copies=_contradicting(named, writer.videos, [*before, *labels], annotations.source),
        notes=[*matched.notes, *_other_spellings(labels, before)],
    )


def _other_spellings(labels: Iterable[Label], before: Iterable[Label]) -> Iterator[str]:
    """Labels that other sources write with other capitals, in words: a training takes them for two behaviours."""
    counts = Counter(label.label for label in labels)
    others = Counter((row.label, row.source) for row in before)
    for name, number in sorted(counts.items()):
        for (other, source), there in sorted(others.items()):
            if other != name and other not in counts and other.casefold() == name.casefold():
                yield f"labels {name!r} ({number}) and {other!r} ({there}, from {source}) differ by case alone"


def _times(label: Label) -> str:
    return f"from {label.start_s:g} s to {label.end_s:g} s"


def _contradicting(
    named: Iterable[str], videos: Mapping[str, Video], labels: Iterable[Label], source: str
) -> list[str]:
    """Copies, of those named, whose split or labels from a source are not those of the video that they duplicate."""
    said: dict[str, set[str]] = {}
    for label in labels:
        if label.source == source:
            said.setdefault(label.video_id, set()).add(label.label)
    found = []
    for video_id in named:
        row, original = videos[video_id], videos.get(videos[video_id].duplicate_of or "")
        if original is None:
            continue
        what = f"{video_id} is a copy of {original.video_id}"
        if None not in (row.split, original.split) and row.split != original.split:
            found.append(f"{what}, whose split is {original.split!r}, and has {row.split!r}")
        own, others = said.get(video_id, set()), said.get(original.video_id, set())
        if own and others and own != others:
            found.append(
                f"{what}, which shows {', '.join(sorted(others))}, and is said to show {', '.join(sorted(own))}"
            )
    return found


def _placed(labels: Iterable[Label], clock: Clock, content: Mapping[str, Video]) -> tuple[list[Label], list[str]]:
    """Count times from the first frame, and cut labels where their videos begin and end.

    Args:
        labels: as a source gives them.
        clock: what its times count from.
        content: the row that holds the frames, by video_id. Where it has none, as for a video that failed, times stay
            on the source's clock, and the label says so.

    Returns:
        The labels, and in words those that were cut or left out.
    """
    kept, past = [], []
    for label in labels:
        row = content[label.video_id]
        if clock == "player" and not label.whole_video:
            if row.duration_s is None:
                kept.append(replace(label, clock="player"))
                continue
            placed = replace(label, clock="player").from_first_frame(row.clock_offset_s)
            if placed is None or label.start_s < row.clock_offset_s - PAST_END_S:
                where = f"its first frame comes at {row.clock_offset_s:g} s of the player's clock"
                past.append(f"{label.video_id}: {label.label!r} {_times(label)}, and {where}")
            if placed is None:
                continue
            label = placed
        end = row.duration_s
        if not label.whole_video and end is not None and label.end_s > end + PAST_END_S:
            past.append(f"{label.video_id}: {label.label!r} {_times(label)}, and the video ends at {end:g} s")
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
    stored = {video_id: _known(row, rows.get(row.duplicate_of or "", row)) for video_id, row in rows.items()}
    paths = {each.path for each in stored.values()}
    return stored | {each.video_id: KnownVideo(each.path) for each in sources if each.path not in paths}


def _known(row: Video, content: Video) -> KnownVideo:
    """What can be held against a label file: not the length of a file that broke off, nor a rate that was assumed."""
    whole = content.status == "ok" and content.error_kind is None
    return KnownVideo(
        row.path,
        duration_s=content.duration_s if whole else None,
        fps=content.fps if content.time_source != "assumed" else None,
        clock_offset_s=content.clock_offset_s,
    )
