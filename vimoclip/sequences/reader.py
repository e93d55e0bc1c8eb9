"""From a snapshot of a store to `Sequences`: which videos, whole or in stretches (stretches.py), which of their frames,
and where their vectors are kept.

In memory, vectors are read by one scan over the frames, and each row is copied to where it belongs, whatever order rows
have on disk. Where they do not fit, they are mapped from files (sequence_cache.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from schemas.videos import Video
from vimoclip.config.fusion import ROLES, Fusion, Role, SequenceConfig
from vimoclip.device import free_bytes
from vimoclip.errors import ConfigError, RunError, StoreDamagedError, UnknownColumnError
from vimoclip.frames import stored_values
from vimoclip.sequences.cache import MappedRows, SequenceCache, default_folder, norms_of
from vimoclip.sequences.sequences import SHARE, PackedRows, Rows, SequenceReport, Sequences
from vimoclip.sequences.steps import Steps
from vimoclip.sequences.stretches import Stretches, held_labels, read_stretches
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import lacking

Unlabelled = Literal["left out", "kept"]
Keep = Literal["auto", "memory", "files"]


@dataclass(frozen=True)
class Kept:
    """Where vectors are kept: in `memory`, in mapped `files`, or, `auto`, in memory where they fit.

    folder: of the files; None is the store's own in the user's cache.
    """

    where: Keep = "auto"
    folder: Path | None = None


def read_sequences(
    store: FeatureStore,
    config: SequenceConfig,
    fusion: Fusion,
    videos: Sequence[Video],
    classes: Sequence[str],
    unlabelled: Unlabelled = "left out",
    kept: Kept | None = None,
) -> Sequences:
    """The sequences of videos of a snapshot, in their order; splits.py chooses them.

    A label counts for its whole video, also if it is of a span; with `window_s`, for the stretches that have it. Labels
    that are none of `classes` are no labels. A stretch of a video with labels stays, also if it has none.

    Raises:
        UnknownColumnError: no such feature. ConfigError: a feature of the other kind. RunError: no video is left, or
        the files cannot be written. StoreDamagedError: frames are missing.
    """
    features = {role: _feature(store, role, getattr(config, role)) for role in ROLES[fusion]}
    shown = _labels(store, classes)
    labelled = [row for row in videos if unlabelled == "kept" or row.video_id in shown]
    without = {
        row.video_id
        for name in features.values()
        if store.features[name].added
        for row in lacking(store, store.tables["frames"], name)
    }
    rows = [row for row in labelled if row.video_id not in without]
    if not rows:
        raise RunError(
            "No video can be trained or tested on.",
            received=f"{len(videos)} videos, {len(videos) - len(labelled)} of them without a label",
            expected="videos with labels of the model's classes",
            hint="`vimoclip label FILE` adds labels; `vimoclip status` counts them.",
        )
    cut = read_stretches(store, rows, config.window_s)
    takes = np.array([row.take for row in rows], np.int64)
    steps = Steps.of(takes[cut.video], cut.frames, config.most_frames, cut.first)
    vectors, norms = _vectors(store, list(features.values()), steps, kept or Kept())
    if "motion" in features:  # of a single frame, motion runs from one that is not read
        norms[torch.from_numpy(steps.offsets[:-1][steps.frames == 1]), list(features).index("motion")] = 0
    report = SequenceReport(
        videos=len(rows),
        stretches=len(cut.video),
        frames=int(steps.offsets[-1]),
        one_frame=int((steps.frames == 1).sum()),
        motionless=_motionless(list(features), steps, norms),
        thinned=int((steps.counts < np.maximum(steps.frames - 1, 1)).sum()),
        unlabelled=len(videos) - len(labelled),
        unembedded=len(labelled) - len(rows),
    )
    dims = {role: store.features[name].dim for role, name in features.items()}
    ids = [rows[video].video_id for video in cut.video.tolist()]
    targets = _targets(store, rows, cut, shown, classes)
    return Sequences(ids, steps.offsets, vectors, norms, dims, config.lengths, classes, targets, report)


def _feature(store: FeatureStore, role: Role, name: str) -> str:
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
    """The numbers of the classes that each labelled video shows."""
    number = pl.DataFrame(
        {"label": list(classes), "number": range(len(classes))}, {"label": pl.String, "number": pl.Int64}
    )
    found = store.labels().join(number, on="label")
    return dict(found.group_by("video_id").agg("number").iter_rows())


def _targets(
    store: FeatureStore,
    rows: Sequence[Video],
    cut: Stretches,
    shown: Mapping[str, list[int]],
    classes: Sequence[str],
) -> Tensor:
    if len(cut.video) > len(rows):
        return torch.from_numpy(held_labels(store, rows, cut, classes))
    targets = torch.zeros(len(rows), len(classes), dtype=torch.uint8)
    for video, row in enumerate(rows):
        targets[video, shown.get(row.video_id, [])] = 1
    return targets


def _vectors(store: FeatureStore, features: list[str], steps: Steps, kept: Kept) -> tuple[Rows, Tensor]:
    count, width = int(steps.offsets[-1]), sum(store.features[name].dim for name in features)
    fits = 2 * count * width <= SHARE * free_bytes(torch.device("cpu"))
    if kept.where == "memory" or (kept.where == "auto" and fits):
        values, norms = _scan(store, features, steps)
        rows: Rows = PackedRows(values, steps.offsets)
    else:
        cache = SequenceCache(kept.folder or default_folder(store.place))
        files = cache.files(store.tables["frames"], features)
        rows, norms = MappedRows(files, steps), norms_of(files, steps)
    # Of an image vector the norm is positive: where it is 0, there was no row.
    if store.features[features[0]].kind == "image" and (lost := int((norms[:, 0] == 0).sum())):
        raise StoreDamagedError(
            f"The table frames of {store.place} lacks frames.",
            received=f"{count - lost} of {features[0]}",
            expected=count,
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    return rows, norms


def _scan(store: FeatureStore, features: list[str], steps: Steps) -> tuple[list[Tensor], Tensor]:
    """Vectors of each feature, fp16 (N, D), and norms, fp32 (N, features), 0 where there is no vector."""
    count = int(steps.offsets[-1])
    values = [np.zeros((count, store.features[name].dim), np.float16) for name in features]
    norms = np.zeros((count, len(features)), np.float32)
    columns = ["take", "frame_index", *(column for name in features for column in (name, f"{name}_norm"))]
    for batch in store.tables["frames"].batches(columns):
        rows = steps.rows(batch["take"].to_numpy(), batch["frame_index"].to_numpy().astype(np.int64))
        from_ = np.flatnonzero(rows >= 0)
        to = rows[from_]
        cuts = np.flatnonzero((np.diff(from_) != 1) | (np.diff(to) != 1)) + 1
        runs = list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(to)], strict=True)) if len(to) else []
        for i, name in enumerate(features):
            norms[to, i] = batch[f"{name}_norm"].fill_null(0).to_numpy(zero_copy_only=False)[from_]
            own = stored_values(batch[name])
            for first, last in runs:  # consecutive rows here and there
                length, at, into = last - first, from_[first], to[first]
                values[i][into : into + length] = own[at : at + length]
    return [torch.from_numpy(each) for each in values], torch.from_numpy(norms)


def _motionless(roles: list[Role], steps: Steps, norms: Tensor) -> int:
    """Stretches of several frames and without a motion vector."""
    if "motion" not in roles:
        return 0
    moving = np.add.reduceat(norms[:, roles.index("motion")].numpy() > 0, steps.offsets[:-1], dtype=np.int64)
    return int(((moving == 0) & (steps.frames != 1)).sum())
