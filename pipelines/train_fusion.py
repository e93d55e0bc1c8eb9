"""Training TFAM on a snapshot of a store: the same command goes on with a run that was broken off.

The store is only read, and needs no lock; it may be ingested into meanwhile. What comes out is a folder
(fusion_run.py).
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.fusion_run import begin, begun, default_folder, features_of, finished, identity, records_of, snapshot
from schemas.videos import Video
from vimoclip.checkpoint import Meta, Source, read_checkpoint, write_checkpoint
from vimoclip.class_segments import read_segments
from vimoclip.classes import taught_classes
from vimoclip.config import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.errors import RunError
from vimoclip.fusion_config import FusionConfig
from vimoclip.fusion_task import FusionTask
from vimoclip.place import Where
from vimoclip.sequence_reader import Kept, read_sequences
from vimoclip.sequences import SequenceReport, Sequences
from vimoclip.splits import hold_out, of_split, splits
from vimoclip.store import FeatureStore
from vimoclip.training import STATE, Record, Training, TrainingObserver

TRAIN = "train"
SELECTED = "selected"
"""The folder, in a run's, of the best epoch's model."""
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class TrainFusionRequest:
    """What to train, and on what.

    folder: of the run; None is one of the store's and the settings' own, in `runs`. held_out: the split that is
    evaluated on after every epoch; None is val, or test, whichever there is. share: of the videos that is held out by
    lot where no video has a split. least_videos: of the train split that must show a class; None refuses a label that
    none of them shows. segments: a table of classes (vimoclip/class_segments.py). versions: the snapshot to begin on;
    None is the newest.
    """

    store: Where
    config: FusionConfig
    folder: Path | None = None
    train: str = TRAIN
    held_out: str | None = None
    share: float = 0.2
    least_videos: int | None = None
    segments: Path | None = None
    versions: dict[str, int] | None = None
    run: RunConfig = field(default_factory=RunConfig)
    kept: Kept = field(default_factory=Kept)


@dataclass
class TrainFusionReport:
    """What a training did. train, held_out: which videos, in words, and what became of them. records: of every epoch.
    selected: the epoch that was best on what was cut from train. known: it was finished before. epochs: done in this
    run."""

    folder: Path
    train: str = ""
    held_out: str = ""
    classes: int = 0
    sequences: dict[str, SequenceReport] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    epochs: int = 0
    selected: int | None = None
    known: bool = False
    interrupted: bool = False
    seconds: float = 0.0


class FusionObserver(TrainingObserver):
    """Told also what a run is before it trains; this one ignores it all."""

    def ready(self, report: TrainFusionReport, device: str) -> None:
        """Sequences are read and the model is built, or loaded where the run goes on."""


def run(request: TrainFusionRequest, observer: FusionObserver | None = None) -> TrainFusionReport:
    """Train, or go on with it. A KeyboardInterrupt ends it with `interrupted` set; the last epoch is kept.

    Raises:
        RunError: the folder holds another run, or there is nothing to train on. DivergedError. StoreError, LabelError,
        ConfigError, UnknownColumnError.
    """
    began = time.monotonic()
    folder = request.folder or default_folder(request.store, request.config)
    report = TrainFusionReport(folder)
    if finished(folder):
        _known(request, report)
    else:
        _train(request, report, observer or FusionObserver())
    report.seconds = time.monotonic() - began
    return report


def _known(request: TrainFusionRequest, report: TrainFusionReport) -> None:
    _, meta = read_checkpoint(report.folder)
    one_each = replace(request.config, loss=request.config.loss.fitting(one_each=True))
    if meta.config not in (request.config, one_each):
        raise RunError(
            f"{report.folder} holds a finished run with other settings.",
            hint="Name another folder with --run.",
        )
    what = begun(report.folder)
    report.known, report.records, report.classes = True, records_of(report.folder), len(meta.classes)
    report.train, report.held_out = what["train"], what["held_out"]


def _train(request: TrainFusionRequest, report: TrainFusionReport, observer: FusionObserver) -> None:
    config = request.config
    set_threads(request.run)
    device = pick_device(request.run.device)
    store = snapshot(report.folder, request.store, request.versions)
    train, held_out, report.train, report.held_out = _chosen(request, store)
    parts = {"train": train} | ({"held_out": held_out} if held_out else {})
    if config.select_on is not None:
        parts["train"], parts["select"] = hold_out(train, config.select_on, config.training.seed)
        report.train += f", but for {config.select_on:g} of it, by lot, to choose the best epoch on"
    classes = taught_classes(store, parts["train"], request.least_videos)
    segments = read_segments(request.segments, classes) if request.segments else None
    sequences = {name: _read(request, store, videos, classes) for name, videos in parts.items()}
    config = replace(config, loss=config.loss.fitting(all(each.one_each for each in sequences.values())))
    report.classes = len(classes)
    report.sequences = {name: each.report for name, each in sequences.items()}
    what = identity(store, config, classes, report.train, report.held_out)
    task = FusionTask(config, sequences["train"], sequences.get("held_out"), device, segments, sequences.get("select"))
    training = Training(task, config.training, device, report.folder, what, _score)
    begin(report.folder, store, what)
    report.records, before = training.records, len(training.records)
    observer.ready(report, str(device))
    try:
        training.run(observer)
    except KeyboardInterrupt:
        report.interrupted = True
    report.epochs = len(training.records) - before
    if report.interrupted:
        return
    features = {role: Source.of(feature) for role, feature in features_of(store, config).items()}
    counts, where = sequences["train"].counts(), str(store.place)
    meta = Meta(config, classes, counts, features, where, store.versions, training.records[-1])
    model = task.model.cpu()
    if training.best is not None:  # first: with the last epoch's files the run counts as finished
        report.selected = training.best.epoch
        kept = meta.model()
        kept.load_state_dict(training.best.model)
        chosen = replace(meta, metrics=training.records[training.best.epoch - 1])
        write_checkpoint(report.folder / SELECTED, kept, chosen)
    write_checkpoint(report.folder, model, meta)
    (report.folder / STATE).unlink()  # several times as large as the model, and nothing goes on from here


def _score(record: Record) -> float | None:
    """What the best epoch is chosen by."""
    return record["select"]["micro"] if "select" in record else None


def _read(request: TrainFusionRequest, store: FeatureStore, videos: list[Video], classes: list[str]) -> Sequences:
    config = request.config
    return read_sequences(store, config.sequences, config.tfam.fusion, videos, classes, kept=request.kept)


def _chosen(request: TrainFusionRequest, store: FeatureStore) -> tuple[list[Video], list[Video], str, str]:
    """The videos to train on and to hold out, and in words which."""
    known = splits(store)
    if not known:
        train, held_out = hold_out(of_split(store), request.share, request.config.training.seed)
        return train, held_out, f"all but {request.share:g} of the videos, by lot", f"{request.share:g}, by lot"
    name = request.held_out or next((each for each in HELD_OUT if each in known and each != request.train), None)
    train = of_split(store, request.train)
    return (
        train,
        of_split(store, name) if name else [],
        f"split {request.train}",
        f"split {name}" if name else "nothing",
    )
