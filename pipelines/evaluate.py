"""Evaluating a finished run on a split of a store: every metric of vimoclip/training/metrics.py, from fp32 scores.

Any store will do whose features were made with the same settings as those the run was trained on.
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
    """folder: of the run. split: None is all videos. class_groups: a table of classes; None goes by their counts.
    batch_size: of the micro mean over batches; 0 is the run's own."""

    store: LocationLike
    folder: Path
    split: str | None = None
    class_groups: Path | None = None
    batch_size: int = 0
    run: RunConfig = field(default_factory=RunConfig)


@dataclass
class EvaluateReport:
    """What was found. classes: name, group, videos of the train split and of this one that show it, or stretches of
    them where the run's settings cut videos, average precision. epoch: the one whose model it is: the last. selected:
    the same of the epoch that was chosen on a part cut from train, where one was."""

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
    """Evaluate.

    Raises:
        CheckpointError: no finished run, or one for other features. RunError: no video to evaluate on. StoreError,
        LabelError.
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
