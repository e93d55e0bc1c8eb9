"""Evaluating a finished run on a split of a store: every metric of vimoclip/training/metrics.py, from fp32 scores.

The store may be any whose features were made with the settings that the run was trained on.
"""

import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.run_folder import RUN, SELECTED, finished, read_run
from schemas.videos import Video
from vimoclip.annotations.animal_kingdom import read_class_groups
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.errors import RunError
from vimoclip.models.checkpoint import Meta, read_checkpoint
from vimoclip.sequences.reader import read_sequences
from vimoclip.sequences.sequences import SequenceReport
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.training.fusion import check_labels, scores
from vimoclip.training.metrics import Metrics, by_count, multiclass_metrics, multilabel_metrics
from vimoclip.training.splits import check_taught, held_out_by, splits, videos_of_split

ALL = "all"
"""Asks for all videos of a store, unless it has a split of this name."""


@dataclass(frozen=True)
class EvaluateRequest:
    """What to evaluate, and on what.

    Attributes:
        store: the store to read.
        folder: of the run.
        split: the split to evaluate on, or `all` videos. None is all videos or, in a store without splits, those that
            the run holds out.
        class_groups: a table of classes and their groups; None groups the classes by their training videos.
        batch_size: of the mean of micro mAP over batches; 0 is the run's own.
        run: where and how to compute.
        allow_taught: whether to evaluate on videos that the student of the motion vectors was taught on.
    """

    store: LocationLike
    folder: Path
    split: str | None = None
    class_groups: Path | None = None
    batch_size: int = 0
    run: RunConfig = field(default_factory=RunConfig)
    allow_taught: bool = False


@dataclass
class EvaluateReport:
    """The figures of a run.

    Attributes:
        folder: of the run.
        split: that was asked for.
        versions: the store's snapshot, table versions by name.
        sequences: what the videos were read as.
        metrics: the figures, as fractions.
        classes: of each class: name, group, how many training videos and evaluated videos show it (stretches, where
            the run cuts videos), and average precision.
        epoch: whose model this is: the last.
        seconds: how long it took.
        judged_on: which videos it was evaluated on, in words.
        trained_on: how many of them the run was trained on; None where it does not say, since an earlier version
            trained it.
        warnings: what makes the figures too good, in words.
        calibrated_on: which videos the calibration was fitted on, in words.
        selected: the same for the best epoch, where one was chosen on videos set aside.
    """

    folder: Path
    split: str | None
    versions: dict[str, int]
    sequences: SequenceReport
    metrics: Metrics
    classes: list[tuple[str, str, int, int, float | None]]
    epoch: int
    seconds: float = 0.0
    judged_on: str = ""
    trained_on: int | None = None
    warnings: list[str] = field(default_factory=list)
    calibrated_on: str = ""
    selected: "EvaluateReport | None" = None


def run(request: EvaluateRequest) -> EvaluateReport:
    """Evaluate a run.

    Raises:
        CheckpointError: the folder does not hold a finished run, or it was trained on other features.
        RunError: there is no video to evaluate on, or the student of the motion vectors was taught on some.
        LabelError: the labels do not fit the loss, or the table of classes does not fit the run.
        StoreError: the store cannot be read.
    """
    began = time.monotonic()
    set_threads(request.run)
    device = pick_device(request.run.device)
    model, meta = read_checkpoint(request.folder)
    store = FeatureStore.open(request.store)
    meta.check(store.features)
    config = meta.config
    videos, judged_on = _videos(store, request, meta)
    trained_on, warnings = _leaks(store, request, meta, videos)
    sequences = read_sequences(store, config.sequences, config.head_name, videos, meta.classes)
    check_labels(sequences, config.loss.name)
    groups = read_class_groups(request.class_groups, meta.classes) if request.class_groups else by_count(meta.counts)
    measure = multiclass_metrics if config.loss.name == "cross-entropy" else multilabel_metrics
    found = scores(model.to(device), sequences.to(device))
    together = request.batch_size or config.training.batch_size
    metrics = measure(found, sequences.targets, groups, together, sequences.report.videos)
    table = list(zip(meta.classes, groups, meta.counts, sequences.counts(), metrics.classes, strict=True))
    seconds = time.monotonic() - began
    selected = run(replace(request, folder=chosen)) if finished(chosen := request.folder / SELECTED) else None
    epoch = int(meta.metrics["epoch"])
    return EvaluateReport(
        request.folder,
        request.split,
        store.versions,
        sequences.report,
        metrics,
        table,
        epoch,
        seconds,
        judged_on,
        trained_on,
        warnings,
        meta.calibrated_on,
        selected,
    )


def _videos(store: FeatureStore, request: EvaluateRequest, meta: Meta) -> tuple[list[Video], str]:
    """The videos to evaluate on, and which they are in words."""
    known = splits(store)
    if request.split is not None and (request.split != ALL or ALL in known):
        expected = f"--split {ALL}, since no video has a split"
        return videos_of_split(store, request.split, expected), f"split {request.split}"
    videos = videos_of_split(store)
    if request.split is not None or known:
        return videos, "all videos"
    rule, seed = _rule(request.folder, meta)
    if rule is None or rule["share"] is None:
        return videos, "all videos"
    if meta.taught is not None and not {row.content_hash for row in videos} & set(meta.taught):
        return videos, "all videos, none of which it was trained on"
    taught = set(meta.taught or ())
    held_out = [row for row in held_out_by(store, rule, seed) if row.content_hash not in taught]
    if not held_out:
        raise RunError(
            "The run holds out no video of this store.",
            received=f"{len(videos)} videos",
            expected=f"some of the {rule['share']:g} of the videos that it held out at random",
            hint=f"--split {ALL} evaluates all videos, those that it was trained on too.",
        )
    return held_out, f"held out by the run, {rule['share']:g} of the videos at random"


_SHARE = re.compile(r"(0?\.\d+|[\d.]+e-\d+), by lot")


def _rule(folder: Path, meta: Meta) -> tuple[dict[str, Any] | None, int]:
    """How a run drew its held-out videos, see `TrainingSplit.rule`, and by which seed; None where it is not known.

    A run from before there was a split seed drew by its training seed, and says in run.json which share.
    """
    if meta.split is not None:
        return meta.split, meta.split["seed"]
    place = folder if (folder / RUN).exists() else folder.parent  # of a best epoch's model
    if not (place / RUN).exists():
        return None, 0
    said = _SHARE.fullmatch(read_run(place)["held_out"])
    rule = {"seed": None, "by": None, "share": float(said[1])} if said else None
    return rule, meta.config.training.seed


def _leaks(
    store: FeatureStore, request: EvaluateRequest, meta: Meta, videos: list[Video]
) -> tuple[int | None, list[str]]:
    """How many of the videos the run was trained on, where it is known; and warnings of what was seen before."""
    taught = set(meta.taught or ())
    others = [row for row in videos if row.content_hash not in taught]
    everything = request.split == ALL or (request.split is None and bool(splits(store)))
    features = [store.features[source.name] for source in meta.features.values()]
    warning = check_taught(store, features, others, request.allow_taught or everything)
    seen = len(videos) - len(others)
    warnings = [f"Warning: the run was trained on {seen} of these {len(videos)} videos: the figures are too good."]
    return None if meta.taught is None else seen, warnings[: seen > 0] + ([warning] if warning else [])
