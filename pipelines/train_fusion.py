"""Training a fusion head, such as TFAM, on a snapshot of a store.

The store is only read, needs no lock, and may be written to meanwhile. The result is a folder (run_folder.py). The same
command continues a run that was interrupted.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.run_folder import (
    FOLDS,
    TrainReport,
    begin,
    default_folder,
    fill_split,
    finished,
    identity,
    load_finished,
    save_run,
    score,
    snapshot,
    split_of_run,
    train_until_done,
)
from schemas.features import Feature
from schemas.videos import Video
from vimoclip.annotations.animal_kingdom import read_class_groups
from vimoclip.config.fusion import HEADS, FusionConfig, Modality
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.errors import DivergedError
from vimoclip.models.checkpoint import Meta, Source, read_checkpoint, write_checkpoint
from vimoclip.models.heads import FusionHead
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.sequences.reader import read_sequences
from vimoclip.sequences.sequences import SequenceReport, Sequences
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.training.fusion import (
    CALIBRATED_ON,
    CLOSED_FORM_FOLDS,
    LEAST_CALIBRATION,
    CalibratedOn,
    FusionTask,
    calibrate,
    out_of_fold_scores,
)
from vimoclip.training.fusion import FOLDS as FOLD_COUNT
from vimoclip.training.loop import Record, Training
from vimoclip.training.losses import explain_labels, explain_loss
from vimoclip.training.splits import (
    SPLIT_SEED,
    SplitRequest,
    TrainingSplit,
    check_taught,
    folds,
    trainable_classes,
    training_split,
)
from vimoclip.windows import check_window_rate

CalibrateOn = Literal["unseen", "train"]
"""What probabilities are calibrated on: `unseen` videos, which takes as long again as the training where none were set
aside to choose the best epoch; or those that were trained on, which is quick and leaves them too sure."""


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
        calibrate_on: what probabilities are calibrated on.
        advise: whether to say that another head is likely to be better.
    """

    store: LocationLike
    config: FusionConfig
    folder: Path | None = None
    split: SplitRequest = field(default_factory=SplitRequest)
    class_groups: Path | None = None
    versions: dict[str, int] | None = None
    run: RunConfig = field(default_factory=RunConfig)
    calibrate_on: CalibrateOn = "unseen"
    advise: bool = True


FEW = 200
"""Below how many training videos a head of closed form is advised (benchmarks/quality/few_clips.py)."""


@dataclass
class TrainFusionReport(TrainReport):
    """What a training did, beyond a `TrainReport`.

    Attributes:
        sequences: what each part, such as `train`, was made from.
        calibrated_on: which videos the calibration was fitted on, in words; empty where the run is not finished.
        warning: what makes the figures too good, in words; empty where nothing is known to.
    """

    sequences: dict[str, SequenceReport] = field(default_factory=dict)
    calibrated_on: str = ""
    warning: str = ""


def run(request: TrainFusionRequest, progress: Progress = NO_PROGRESS) -> TrainFusionReport:
    """Train, or continue training.

    A KeyboardInterrupt ends it with `interrupted` set; the last epoch is kept.

    Args:
        request: what to train.
        progress: a stage per epoch.

    Raises:
        RunError: the folder holds another run, or there is nothing to train on; or the student of the motion vectors
            was taught on videos that are held out.
        DivergedError: the loss is not finite.
        StoreError: the store cannot be read.
        LabelError: the labels do not fit the loss, or the table of classes does not fit the labels.
        ConfigError: a setting does not fit the store.
        UnknownColumnError: the store lacks a feature that the settings name.
    """
    began = time.monotonic()
    config = request.config
    folder = request.folder or default_folder(request.store, config, config.head_name, request.split)
    report = TrainFusionReport(folder)
    if finished(report.folder):
        _, meta = read_checkpoint(report.folder)
        fitted = replace(config, loss=config.loss.fitting(one_each=True))
        asked = fitted if meta.config == fitted else config
        load_finished(report, meta.config, asked, len(meta.classes), request.split)
        report.calibrated_on = meta.calibrated_on
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
    asked = split_of_run(report.folder, request.split)
    split = training_split(store, asked, config.select_on, config.training.seed)
    fill_split(report, split)
    rows = [row for videos in split.parts.values() for row in videos]
    check_window_rate(config.sequences.window_s, ((row.frames, row.duration_s) for row in rows))
    classes = trainable_classes(store, split.train, request.split.min_videos)
    groups = read_class_groups(request.class_groups, classes) if request.class_groups else None
    sequences = {name: _read(request, store, videos, classes) for name, videos in split.parts.items()}
    config = replace(config, loss=config.loss.fitting(all(each.one_each for each in sequences.values())))
    if HEADS[config.head_name].closed_form:
        report.loss = f"Fitted in one step, without a loss; {explain_labels(store, sequences.values())}."
    else:
        report.loss = explain_loss(request.config.loss, config.loss, store, sequences.values())
    report.classes = len(classes)
    report.sequences = {name: each.report for name, each in sequences.items()}
    features = features_of(store, config)
    report.warning = check_taught(store, features.values(), split.held_out, asked.allow_taught) or ""
    if report.warning:
        progress.message(report.warning)
    if request.advise and not HEADS[config.head_name].closed_form and sequences["train"].report.videos < FEW:
        progress.message(
            f"With fewer than {FEW} training videos, `--head linear` or `--head prototype` is likely to be better, and "
            "takes seconds. To compare: vimoclip ablate --rows cross,linear,prototype"
        )
    what = identity(store, config, features, classes, split)
    task = FusionTask(config, sequences["train"], sequences.get("held_out"), device, groups, sequences.get("select"))
    items = config.sequences.examples
    training = Training(task, config.training, device, report.folder, what, score, items=items)
    begin(report.folder, store, what, report.loss, report.warning)
    if not train_until_done(training, report, progress, str(device)):
        return
    unseen = _Unseen(config, split, asked, device, report.folder, what, progress)
    try:
        on, known = unseen.calibration(request.calibrate_on, task, sequences.get("select"))
    except KeyboardInterrupt:
        report.interrupted = True
        return
    report.calibrated_on = CALIBRATED_ON[on]
    taught = set(sequences["train"].video_ids)
    hashes = sorted(row.content_hash for row in split.train if row.video_id in taught)
    sources = {role: Source.of(feature) for role, feature in features.items()}
    counts, place = sequences["train"].counts(), str(store.place)

    def write(folder: Path, state: Mapping[str, Tensor], record: Record) -> None:
        meta = Meta(
            config,
            classes,
            counts,
            sources,
            place,
            store.versions,
            record,
            calibrated_on=report.calibrated_on,
            taught=hashes,
            split=split.rule,
        )
        model = meta.model()
        model.load_state_dict(dict(state))
        calibrate(model.to(device).eval(), known.sequences, config.loss.name, known.logits)
        write_checkpoint(folder, model, meta)

    save_run(training, report, task.model.state_dict(), write)


@dataclass(frozen=True)
class _Known:
    """Videos to calibrate on. logits: theirs by models that were not trained on them; None takes the model's own."""

    sequences: Sequences
    logits: Tensor | None = None


@dataclass(frozen=True)
class _Unseen:
    """Finds videos to calibrate a run on, such as its model was not trained on."""

    config: FusionConfig
    split: TrainingSplit
    asked: SplitRequest
    device: torch.device
    folder: Path
    what: dict[str, Any]
    progress: Progress

    def calibration(self, on: CalibrateOn, task: FusionTask, select: Sequences | None) -> tuple[CalibratedOn, _Known]:
        """What to calibrate on, by its name in CALIBRATED_ON: `select`, else `folds` of train, else `train` itself."""
        if on == "unseen" and select is not None and len(set(select.video_ids)) >= LEAST_CALIBRATION:
            return "select", _Known(select.to(self.device))
        fold_of = self._folds(task.train)
        if on == "unseen" and len(set(task.train.video_ids)) >= LEAST_CALIBRATION and len(set(fold_of)) > 1:
            try:
                logits = out_of_fold_scores(self.config, task.train, self.device, fold_of, self._fit)
            except DivergedError as error:
                self.progress.message(f"Not calibrated on unseen videos, since a model for it diverged: {error}")
            else:
                return "folds", _Known(task.train, logits)
        return "train", _Known(task.train)

    def _folds(self, train: Sequences) -> NDArray[np.int64]:
        """The fold of each video, int64 (V,); clips of a video, and videos of a group, are in the same one."""
        seed = SPLIT_SEED if self.asked.seed is None else self.asked.seed
        rows = {row.video_id: row for row in self.split.train}
        names = list(dict.fromkeys(train.video_ids))
        fold = dict(zip(names, folds([rows[name] for name in names], self._count, seed, self.asked.by), strict=True))
        return np.array([fold[name] for name in train.video_ids], np.int64)

    @property
    def _count(self) -> int:
        return CLOSED_FORM_FOLDS if HEADS[self.config.head_name].closed_form else FOLD_COUNT

    def _fit(self, task: FusionTask, fold: int) -> FusionHead:
        own, items = self.folder / FOLDS / str(fold), self.config.sequences.examples
        what = self.what | {"fold": fold}
        Training(task, self.config.training, self.device, own, what, items=items).run(
            _Folds(self.progress, fold, self._count)
        )
        return task.model


class _Folds(Progress):
    """The progress of the models that are trained to calibrate: stages of their own, and no figures."""

    def __init__(self, progress: Progress, number: int, count: int) -> None:
        self._progress, self._number, self._count = progress, number, count

    def stage(self, name: str, total: int | None = None) -> None:
        self._progress.stage(f"calibrating, model {self._number + 1} of {self._count}, {name}", total)

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self._progress.advance(n, note)


def features_of(store: FeatureStore, config: FusionConfig) -> Mapping[Modality, Feature]:
    """The features that a run with these settings reads, by role."""
    return {role: store.features[getattr(config.sequences, role)] for role in HEADS[config.head_name].roles}


def _read(request: TrainFusionRequest, store: FeatureStore, videos: list[Video], classes: list[str]) -> Sequences:
    config = request.config
    return read_sequences(store, config.sequences, config.head_name, videos, classes)
