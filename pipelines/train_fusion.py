"""Training a fusion head, such as TFAM, on a snapshot of a store.

The store is only read, needs no lock, and may be written to meanwhile. The result is a folder (run_folder.py). The same
command continues a run that was interrupted.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from pipelines.run_folder import (
    TrainReport,
    begin,
    default_folder,
    finished,
    identity,
    load_finished,
    save_run,
    score,
    snapshot,
    train_until_done,
)
from schemas.features import Feature
from schemas.videos import Video
from vimoclip.annotations.animal_kingdom import read_class_groups
from vimoclip.config.fusion import HEADS, FusionConfig, Modality
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.models.checkpoint import Meta, Source, read_checkpoint, write_checkpoint
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.sequences.reader import read_sequences
from vimoclip.sequences.sequences import SequenceReport, Sequences
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.training.fusion import FusionTask, calibrate
from vimoclip.training.loop import Record, Training
from vimoclip.training.losses import explain_loss
from vimoclip.training.splits import SplitRequest, trainable_classes, training_split
from vimoclip.windows import check_window_rate


@dataclass(frozen=True)
class TrainFusionRequest:
    """What to train, and on what.

    Attributes:
        store: the store to read.
        config: settings of the training.
        folder: of the run; None is the default for the store and the settings, in `runs`.
        split: which videos to train and to evaluate on.
        class_groups: a table of classes and their groups (vimoclip/annotations/animal_kingdom.py); None groups the
            classes by their training videos.
        versions: the snapshot to begin on, table versions by name; None is the newest.
        run: where and how to compute.
    """

    store: LocationLike
    config: FusionConfig
    folder: Path | None = None
    split: SplitRequest = field(default_factory=SplitRequest)
    class_groups: Path | None = None
    versions: dict[str, int] | None = None
    run: RunConfig = field(default_factory=RunConfig)


@dataclass
class TrainFusionReport(TrainReport):
    """What a training did, beyond a `TrainReport`.

    Attributes:
        sequences: what each part, such as `train`, was made from.
    """

    sequences: dict[str, SequenceReport] = field(default_factory=dict)


def run(request: TrainFusionRequest, progress: Progress = NO_PROGRESS) -> TrainFusionReport:
    """Train, or continue training.

    A KeyboardInterrupt ends it with `interrupted` set; the last epoch is kept.

    Args:
        request: what to train.
        progress: a stage per epoch.

    Raises:
        RunError: the folder holds another run, or there is nothing to train on.
        DivergedError: the loss is not finite.
        StoreError: the store cannot be read.
        LabelError: the labels do not fit the loss, or the table of classes does not fit the labels.
        ConfigError: a setting does not fit the store.
        UnknownColumnError: the store lacks a feature that the settings name.
    """
    began = time.monotonic()
    config = request.config
    report = TrainFusionReport(request.folder or default_folder(request.store, config, config.head_name))
    if finished(report.folder):
        _, meta = read_checkpoint(report.folder)
        fitted = replace(config, loss=config.loss.fitting(one_each=True))
        load_finished(report, meta.config, fitted if meta.config == fitted else config, len(meta.classes))
    else:
        _train(request, report, progress)
    report.seconds = time.monotonic() - began
    return report


def _train(request: TrainFusionRequest, report: TrainFusionReport, progress: Progress) -> None:
    progress.stage("reading")
    config = request.config
    set_threads(request.run)
    device = pick_device(request.run.device)
    store = snapshot(report.folder, request.store, request.versions)
    split = training_split(store, request.split, config.select_on, config.training.seed)
    report.train, report.held_out = split.train_description, split.held_out_description
    report.unused = split.unused
    rows = [row for videos in split.parts.values() for row in videos]
    check_window_rate(config.sequences.window_s, ((row.frames, row.duration_s) for row in rows))
    classes = trainable_classes(store, split.train, request.split.min_videos)
    groups = read_class_groups(request.class_groups, classes) if request.class_groups else None
    sequences = {name: _read(request, store, videos, classes) for name, videos in split.parts.items()}
    config = replace(config, loss=config.loss.fitting(all(each.one_each for each in sequences.values())))
    report.loss = explain_loss(request.config.loss, config.loss, store, sequences.values())
    report.classes = len(classes)
    report.sequences = {name: each.report for name, each in sequences.items()}
    features = features_of(store, config)
    what = identity(store, config, features, classes, split)
    task = FusionTask(config, sequences["train"], sequences.get("held_out"), device, groups, sequences.get("select"))
    items = config.sequences.examples
    training = Training(task, config.training, device, report.folder, what, score, items=items)
    begin(report.folder, store, what, report.loss)
    if not train_until_done(training, report, progress, str(device)):
        return
    sources = {role: Source.of(feature) for role, feature in features.items()}
    counts, where = sequences["train"].counts(), str(store.place)

    def write(folder: Path, state: Mapping[str, Tensor], record: Record) -> None:
        meta = Meta(config, classes, counts, sources, where, store.versions, record)
        model = meta.model()
        model.load_state_dict(dict(state))
        calibrate(model.to(device).eval(), task.train, config.loss.name)
        write_checkpoint(folder, model, meta)

    save_run(training, report, task.model.state_dict(), write)


def features_of(store: FeatureStore, config: FusionConfig) -> Mapping[Modality, Feature]:
    """The features that a run with these settings reads, by role."""
    return {role: store.features[getattr(config.sequences, role)] for role in HEADS[config.head_name].roles}


def _read(request: TrainFusionRequest, store: FeatureStore, videos: list[Video], classes: list[str]) -> Sequences:
    config = request.config
    return read_sequences(store, config.sequences, config.head_name, videos, classes)
