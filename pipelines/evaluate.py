"""Evaluating a finished run on a split of a store: every metric of vimoclip/training/metrics.py, from fp32 scores.

The store may be any whose features were made with the settings that the run was trained on.
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.run_folder import SELECTED, finished
from vimoclip.annotations.animal_kingdom import read_class_groups
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.models.checkpoint import read_checkpoint
from vimoclip.sequences.reader import read_sequences
from vimoclip.sequences.sequences import SequenceReport
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.training.fusion import check_labels, scores
from vimoclip.training.metrics import Metrics, by_count, multiclass_metrics, multilabel_metrics
from vimoclip.training.splits import videos_of_split


@dataclass(frozen=True)
class EvaluateRequest:
    """What to evaluate, and on what.

    Attributes:
        store: the store to read.
        folder: of the run.
        split: the split to evaluate on; None is all videos.
        class_groups: a table of classes and their groups; None groups the classes by their training videos.
        batch_size: of the mean of micro mAP over batches; 0 is the run's own.
        run: where and how to compute.
    """

    store: LocationLike
    folder: Path
    split: str | None = None
    class_groups: Path | None = None
    batch_size: int = 0
    run: RunConfig = field(default_factory=RunConfig)


@dataclass
class EvaluateReport:
    """The figures of a run.

    Attributes:
        folder: of the run.
        split: that was evaluated on; None is all videos.
        versions: the store's snapshot, table versions by name.
        sequences: what the videos were read as.
        metrics: the figures, as fractions.
        classes: of each class: name, group, how many training videos and evaluated videos show it (stretches, where
            the run cuts videos), and average precision.
        epoch: whose model this is: the last.
        seconds: how long it took.
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
    selected: "EvaluateReport | None" = None


def run(request: EvaluateRequest) -> EvaluateReport:
    """Evaluate a run.

    Raises:
        CheckpointError: the folder does not hold a finished run, or it was trained on other features.
        RunError: there is no video to evaluate on.
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
    videos = videos_of_split(store, request.split)
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
        request.folder, request.split, store.versions, sequences.report, metrics, table, epoch, seconds, selected
    )
