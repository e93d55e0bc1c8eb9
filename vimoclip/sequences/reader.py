"""`read_sequences`: from a snapshot of a store to `Sequences`.

It decides which videos are read, which of their frames, which labels they have, and where their vectors are kept. A
video is one example of a training, or, with a window, is cut into training clips that have labels of their own
(`TrainingClips`). In memory, vectors are read by one scan over the frames, which copies each row to where it belongs,
whatever the order of rows on disk. Vectors that do not fit are mapped from files (cache.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.features import feature_columns
from schemas.videos import Video
from vimoclip.config.fusion import HEADS, Modality, SequenceConfig
from vimoclip.device import free_bytes
from vimoclip.errors import ConfigError, RunError, StoreDamagedError, UnknownColumnError
from vimoclip.frames import embeddings, runs
from vimoclip.sequences.cache import MappedRows, SequenceCache, default_folder, norms_of
from vimoclip.sequences.sequences import MEMORY_FRACTION, FrameSampling, PackedRows, Rows, SequenceReport, Sequences
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import videos_missing_feature
from vimoclip.store.labels import held_by, label_spans
from vimoclip.windows import CLOCK_S

Ints = NDArray[np.int64]
Seconds = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainingClips:
    """S training clips of V videos, video after video and in order.

    A video that is longer than a window is cut into the fewest clips that are short enough, as evenly as possible, by
    the times of its stored frames; each frame is in one clip. A part without a frame, in a long gap, is not a clip. So
    a label of a span counts where it is seen, and a clip without any label is an example of nothing.

    Attributes:
        video: the number of each clip's video, int64 (S,).
        first: the frame_index of its first frame, int64 (S,).
        frames: how many frames it has, int64 (S,).
        start_s: where it starts, fp64 (S,); -inf for a video that is not cut, which so has all its labels.
        end_s: where it ends, exclusive, fp64 (S,); +inf for a video that is not cut.
    """

    video: Ints
    first: Ints
    frames: Ints
    start_s: Seconds
    end_s: Seconds

    @classmethod
    def whole(cls, rows: Sequence[Video]) -> "TrainingClips":
        """Make one clip of each video."""
        count = len(rows)
        always = np.full(count, np.inf)
        return cls(np.arange(count), np.zeros(count, np.int64), _frames(rows), -always, always)

    @property
    def bounds(self) -> Ints:
        """int64 (V + 1,): video v has the clips bounds[v] to bounds[v + 1]."""
        return np.searchsorted(self.video, np.arange(int(self.video[-1]) + 2))


def read_training_clips(store: FeatureStore, rows: Sequence[Video], window_s: float | None) -> TrainingClips:
    """Cut videos of a snapshot into training clips, one or more each.

    Args:
        store: the snapshot.
        rows: the videos.
        window_s: the longest a clip may be, in seconds; None does not cut.

    Raises:
        StoreDamagedError: a row does not say how long its video is, or frames are missing.
    """
    whole = TrainingClips.whole(rows)
    if window_s is None:
        return whole
    durations = np.array([np.nan if row.duration_s is None else row.duration_s for row in rows], np.float64)
    if not np.isfinite(durations).all():
        raise StoreDamagedError(
            f"The row of {rows[int(np.isfinite(durations).argmin())].video_id} does not say how long it is.",
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    parts = clip_spans(durations, window_s)
    long = np.flatnonzero(parts > 1)
    if not len(long):
        return whole
    video, part, frames = _counted(store, rows, durations, parts, long)
    of = np.concatenate([np.setdiff1d(whole.video, long), video])
    order = np.argsort(of, kind="stable")
    rest = len(of) - len(video)
    first = np.cumsum(frames) - frames
    begins = np.searchsorted(video, video)  # the first clip of each clip's video
    length_s = durations[video] / parts[video]
    own = (first - first[begins], frames, part * length_s, (part + 1) * length_s)
    uncut = (each[of[:rest]] for each in (whole.first, whole.frames, whole.start_s, whole.end_s))
    return TrainingClips(of[order], *(np.concatenate(each)[order] for each in zip(uncut, own, strict=True)))


def clip_spans(duration_s: Seconds, window_s: float) -> Ints:
    """Count the parts into which videos are cut, int64 (V,): the fewest that are no longer than a window.

    Args:
        duration_s: of the videos, fp64 (V,).
        window_s: the longest a part may be.
    """
    return np.maximum(np.ceil((duration_s - CLOCK_S) / window_s), 1).astype(np.int64)


def clip_at(time_s: Seconds, duration_s: Seconds, parts: Ints) -> Ints:
    """Find which part of its video each frame is in, by the parts' starts, less CLOCK_S; the last has the rest.

    Args:
        time_s: of n frames, fp64 (n,).
        duration_s: of their videos, fp64 (n,).
        parts: into how many their videos are cut, int64 (n,).

    Returns:
        int64 (n,), from 0.
    """
    return np.clip(np.floor((time_s + CLOCK_S) * parts / duration_s), 0, parts - 1).astype(np.int64)


def clip_labels(
    store: FeatureStore, rows: Sequence[Video], stretches: TrainingClips, classes: Sequence[str]
) -> NDArray[np.uint8]:
    """Find which classes each clip shows, by the rule of vimoclip/store/labels.py.

    Args:
        store: the snapshot.
        rows: the V videos.
        stretches: their S clips.
        classes: C names.

    Returns:
        0 or 1, uint8 (S, C).
    """
    number = {label: n for n, label in enumerate(classes)}
    found = np.zeros((len(stretches.video), len(classes)), np.uint8)
    spans, bounds = label_spans(store), stretches.bounds.tolist()
    for row, first, last in zip(rows, bounds, bounds[1:], strict=False):
        start_s, end_s = stretches.start_s[first:last], stretches.end_s[first:last]
        for span in spans.get(row.video_id, ()):
            if span.label in number:
                found[first:last, number[span.label]] |= held_by(span, start_s, end_s)
    return found


def _counted(
    store: FeatureStore, rows: Sequence[Video], durations: Seconds, parts: Ints, long: Ints
) -> tuple[Ints, Ints, Ints]:
    """Scan the times of frames: the parts of `long` videos that have frames, as video, number in it, and frames."""
    takes = np.array([rows[video].take for video in long], np.int64)
    order = np.argsort(takes)
    known, videos = takes[order], long[order]
    before = np.cumsum(parts) - parts  # parts are counted over all videos, so that one number says which it is
    numbers, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in store.tables["frames"].batches(["take", "time_s"], rows=1 << 16):
        take = batch["take"].to_numpy()
        at = np.minimum(np.searchsorted(known, take), len(known) - 1)
        own = known[at] == take
        video, time_s = videos[at[own]], batch["time_s"].to_numpy()[own]
        number, count = np.unique(before[video] + clip_at(time_s, durations[video], parts[video]), return_counts=True)
        numbers.append(number)
        counts.append(count)
    found, where = np.unique(np.concatenate(numbers), return_inverse=True)
    frames = np.zeros(len(found), np.int64)
    np.add.at(frames, where, np.concatenate(counts))
    video = np.searchsorted(before, found, side="right") - 1
    there = np.bincount(video, frames, len(rows)).astype(np.int64)
    if lost := [n for n in long.tolist() if there[n] != rows[n].frames]:
        raise StoreDamagedError(
            f"The table frames of {store.place} lacks frames.",
            received=f"{there[lost[0]]} of {rows[lost[0]].video_id}",
            expected=rows[lost[0]].frames,
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    return video, found - before[video], frames


def _frames(rows: Sequence[Video]) -> Ints:
    return np.array([row.frames for row in rows], np.int64)


Unlabelled = Literal["left out", "kept"]
StorageName = Literal["auto", "memory", "files"]


@dataclass(frozen=True)
class SequenceStorage:
    """Where vectors are kept.

    Attributes:
        where: in `memory`, in mapped `files`, or, with `auto`, in memory where they fit.
        folder: of the files; None is the store's own in the user's cache.
    """

    where: StorageName = "auto"
    folder: Path | None = None


def read_sequences(
    store: FeatureStore,
    config: SequenceConfig,
    head: str,
    videos: Sequence[Video],
    classes: Sequence[str],
    unlabelled: Unlabelled = "left out",
    storage: SequenceStorage | None = None,
) -> Sequences:
    """Read the sequences of videos of a snapshot, in the order given; vimoclip/training/splits.py chooses them.

    A label counts for its whole video, even if it has a span; with `window_s`, for the clips that show it. Labels other
    than `classes` do not count. Every clip of a labelled video stays, even one without a label.

    Args:
        store: the snapshot.
        config: features, window and thinning.
        head: a name of HEADS, which decides which features are read.
        videos: rows of live videos.
        classes: C names.
        unlabelled: whether videos without any label of these classes are kept.
        storage: where the vectors are kept.

    Raises:
        UnknownColumnError: the store has no such feature.
        ConfigError: a feature is of the other kind.
        RunError: no video is left, or the files cannot be written.
        StoreDamagedError: frames are missing.
    """
    features = {role: _feature(store, role, getattr(config, role)) for role in HEADS[head].roles}
    shown = _labels(store, classes)
    labelled = [row for row in videos if unlabelled == "kept" or row.video_id in shown]
    without = {
        row.video_id
        for name in features.values()
        if store.features[name].added
        for row in videos_missing_feature(store, store.tables["frames"], name)
    }
    rows = [row for row in labelled if row.video_id not in without]
    if not rows:
        raise RunError(
            "No video can be trained or tested on.",
            received=f"{len(videos)} videos, {len(videos) - len(labelled)} of them without a label",
            expected="videos with labels of the model's classes",
            hint="`vimoclip label FILE` adds labels; `vimoclip status` counts them.",
        )
    cut = read_training_clips(store, rows, config.window_s)
    takes = np.array([row.take for row in rows], np.int64)
    steps = FrameSampling.of(takes[cut.video], cut.frames, config.most_frames, cut.first)
    vectors, norms = _vectors(store, list(features.values()), steps, storage or SequenceStorage())
    if "motion" in features:  # the motion of a single frame runs from one that is not read
        norms[torch.from_numpy(steps.offsets[:-1][steps.frames == 1]), list(features).index("motion")] = 0
    report = SequenceReport(
        videos=len(rows),
        stretches=len(cut.video),
        frames=int(steps.offsets[-1]),
        one_frame=int((steps.frames == 1).sum()),
        motionless=_without(list(features), "motion", steps, norms, fewest=2),
        imageless=_without(list(features), "image", steps, norms),
        thinned=int((steps.counts < np.maximum(steps.frames - 1, 1)).sum()),
        unlabelled=len(videos) - len(labelled),
        unembedded=len(labelled) - len(rows),
    )
    dims = {role: store.features[name].dim for role, name in features.items()}
    ids = [rows[video].video_id for video in cut.video.tolist()]
    targets = _targets(store, rows, cut, shown, classes)
    return Sequences(ids, steps.offsets, vectors, norms, dims, config.lengths, classes, targets, report)


def _feature(store: FeatureStore, role: Modality, name: str) -> str:
    if name not in store.features:
        raise UnknownColumnError(
            f"The store has no feature to take {role} from.",
            received=name,
            expected=", ".join(store.features),
            hint="`vimoclip features` lists them; `vimoclip embed` adds one.",
        )
    if store.features[name].kind != role:
        raise ConfigError(
            f"The feature {name} is not of {role}.",
            received=f"{name}, computed from {'flow' if role == 'image' else 'frames'}",
            expected=", ".join(known for known, feature in store.features.items() if feature.kind == role) or "none",
        )
    return name


def _labels(store: FeatureStore, classes: Sequence[str]) -> dict[str, list[int]]:
    """The numbers of the classes that each labelled video shows, by video_id."""
    number = pl.DataFrame(
        {"label": list(classes), "number": range(len(classes))}, {"label": pl.String, "number": pl.Int64}
    )
    found = store.labels().join(number, on="label")
    return dict(found.group_by("video_id").agg("number").iter_rows())


def _targets(
    store: FeatureStore,
    rows: Sequence[Video],
    cut: TrainingClips,
    shown: Mapping[str, list[int]],
    classes: Sequence[str],
) -> Tensor:
    if len(cut.video) > len(rows):
        return torch.from_numpy(clip_labels(store, rows, cut, classes))
    targets = torch.zeros(len(rows), len(classes), dtype=torch.uint8)
    for video, row in enumerate(rows):
        targets[video, shown.get(row.video_id, [])] = 1
    return targets


def _vectors(
    store: FeatureStore, features: list[str], steps: FrameSampling, storage: SequenceStorage
) -> tuple[Rows, Tensor]:
    count, width = int(steps.offsets[-1]), sum(store.features[name].dim for name in features)
    fits = 2 * count * width <= MEMORY_FRACTION * free_bytes(torch.device("cpu"))
    if storage.where == "memory" or (storage.where == "auto" and fits):
        values, norms = _scan(store, features, steps)
        rows: Rows = PackedRows(values, steps.offsets)
    else:
        cache = SequenceCache(storage.folder or default_folder(store.place))
        files = cache.files(store.tables["frames"], features)
        rows, norms = MappedRows(files, steps), norms_of(files, steps)
    # The norm of an image vector that was made here is positive: where it is 0, there was no row.
    first = store.features[features[0]]
    if first.kind == "image" and not first.elsewhere and (lost := int((norms[:, 0] == 0).sum())):
        raise StoreDamagedError(
            f"The table frames of {store.place} lacks frames.",
            received=f"{count - lost} of {features[0]}",
            expected=count,
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    return rows, norms


def _scan(store: FeatureStore, features: list[str], steps: FrameSampling) -> tuple[list[Tensor], Tensor]:
    """Vectors of each feature, fp16 (N, D), and norms, fp32 (N, features), 0 where there is no vector."""
    count = int(steps.offsets[-1])
    values = [np.zeros((count, store.features[name].dim), np.float16) for name in features]
    norms = np.zeros((count, len(features)), np.float32)
    columns = ["take", "frame_index", *feature_columns(features)]
    for batch in store.tables["frames"].batches(columns):
        rows = steps.rows(batch["take"].to_numpy(), batch["frame_index"].to_numpy().astype(np.int64))
        from_ = np.flatnonzero(rows >= 0)
        to = rows[from_]
        for i, name in enumerate(features):
            own = embeddings(batch, name)
            norms[to, i] = own.norm[from_]
            for run in runs((), (from_, to)):  # consecutive rows here and there
                length, at, into = run.stop - run.start, from_[run.start], to[run.start]
                values[i][into : into + length] = own.values[at : at + length]
    return [torch.from_numpy(each) for each in values], torch.from_numpy(norms)


def _without(roles: list[Modality], role: Modality, steps: FrameSampling, norms: Tensor, fewest: int = 1) -> int:
    """Count the clips of at least `fewest` frames that have no vector of a role."""
    if role not in roles:
        return 0
    there = np.add.reduceat(norms[:, roles.index(role)].numpy() > 0, steps.offsets[:-1], dtype=np.int64)
    return int(((there == 0) & (steps.frames >= fewest)).sum())
