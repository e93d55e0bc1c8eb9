"""A run that trains something as a folder: what it was begun with, and on which snapshot of the store.

run.json            what its numbers follow from: settings, store, snapshot, splits, classes, features
state.pt            to go on from, and metrics.jsonl, a line an epoch (vimoclip/training/loop.py)
model.safetensors   when it is finished, with meta.json (vimoclip/models/checkpoint.py)
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from schemas.features import Feature
from schemas.models import META
from vimoclip.atomic import atomic_write
from vimoclip.config.base import Config
from vimoclip.errors import RunError, StoreError
from vimoclip.progress import Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike, as_location
from vimoclip.training.loop import METRICS, STATE, Record, Training
from vimoclip.training.splits import TrainingSplit

RUN = "run.json"


def default_folder(store: LocationLike, config: Config, what: str) -> Path:
    """The same for the same store and settings, so that the same command goes on with the same run. what: is trained,
    for people."""
    made_of = json.dumps([str(as_location(store)), config.to_dict()], sort_keys=True)
    return Path("runs") / f"{what}-{hashlib.sha256(made_of.encode()).hexdigest()[:8]}"


def finished(folder: Path) -> bool:
    """Whether the run is at its end."""
    return (folder / META).exists()


def snapshot(folder: Path, where: LocationLike, versions: dict[str, int] | None = None) -> FeatureStore:
    """The store as it was when the run in a folder was begun; where none was, at `versions`, or as it is now.

    Raises:
        RunError: run.json cannot be read, or that snapshot is gone. StoreError.
    """
    if not (folder / STATE).exists():
        return FeatureStore.open(where, versions)
    kept: dict[str, int] = read_run(folder)["versions"]
    try:
        return FeatureStore.open(where, kept)
    except (StoreError, KeyError) as error:
        raise RunError(
            f"The store is not there any more as the run in {folder} was begun on it.",
            received=str(error),
            expected=", ".join(f"{name} at version {version}" for name, version in kept.items()),
            hint="Name another folder with --run for a new run on the store as it is.",
        ) from error


def read_run(folder: Path) -> dict[str, Any]:
    """What `begin` noted.

    Raises:
        RunError: it cannot be read.
    """
    try:
        noted: dict[str, Any] = json.loads((folder / RUN).read_text(encoding="utf-8"))
        versions = {str(name): int(version) for name, version in noted["versions"].items()}
        return noted | {"versions": versions, "train": str(noted["train"]), "held_out": str(noted["held_out"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{folder / RUN} cannot be read.",
            received=error,
            expected="what the run was begun with",
            hint="Name another folder with --run for a new run.",
        ) from error


def records_of(folder: Path) -> list[Record]:
    """The records of a run's epochs so far.

    Raises:
        RunError: they cannot be read.
    """
    try:
        return [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / METRICS} cannot be read.", received=error, expected="a line an epoch") from error


def identity(
    store: FeatureStore,
    config: Config,
    features: Mapping[Any, Feature],
    classes: list[str],
    split: TrainingSplit,
) -> dict[str, Any]:
    """All that the numbers of a run follow from. features: that it reads, by role."""
    return {
        "config": config.to_dict(),
        "versions": store.versions,
        "train": split.train_description,
        "held_out": split.held_out_description,
        "classes": classes,
        "features": {role: feature.fingerprint for role, feature in features.items()},
    }


def begin(folder: Path, store: FeatureStore, what: dict[str, Any]) -> None:
    """Note in the folder what the run is begun with, and keep its snapshot from being cleaned away.

    Raises:
        RunError: the folder cannot be written. StoreError: the snapshot cannot be kept.
    """
    if (folder / STATE).exists():
        return
    store.tag(f"run-{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:12]}")
    with atomic_write(folder / RUN) as path:
        path.write_text(json.dumps(what, ensure_ascii=False, indent=2), encoding="utf-8")


# What every training does around the loop: it says when it begins, ends in order when it is interrupted, and leaves a
# finished run's files (run_folder.py).


SELECTED = "selected"
"""The folder, in a run's, of the best epoch's model."""

Write = Callable[[Path, Mapping[str, Tensor], Record], None]
"""Writes a model's files into a folder, from its tensors and the record of its epoch."""


@dataclass
class TrainReport:
    """What a training did. train, held_out: which videos, in words. records: of every epoch. selected: the epoch that
    was best on what was cut from train. known: it was finished before. epochs: done in this run."""

    folder: Path
    train: str = ""
    held_out: str = ""
    classes: int = 0
    records: list[Record] = field(default_factory=list)
    epochs: int = 0
    selected: int | None = None
    known: bool = False
    interrupted: bool = False
    seconds: float = 0.0


def load_finished(report: TrainReport, config: Config, asked: Config, classes: int) -> None:
    """Put what a finished run of a `config` did into the report.

    Raises:
        RunError: other settings are asked for.
    """
    if config != asked:
        raise RunError(
            f"{report.folder} holds a finished run with other settings.",
            hint="Name another folder with --run.",
        )
    what: dict[str, Any] = read_run(report.folder)
    report.known, report.records, report.classes = True, records_of(report.folder), classes
    report.train, report.held_out = what["train"], what["held_out"]


def train_until_done(training: Training, report: TrainReport, progress: Progress, device: str) -> bool:
    """Train to the end, which is True, or until a KeyboardInterrupt. device: in words."""
    report.records, before = training.records, len(training.records)
    begun = f", from epoch {before + 1} on" if before else ""
    progress.message(f"Training in {report.folder} on {device}{begun}; {report.held_out} held out.")
    try:
        training.run(progress)
    except KeyboardInterrupt:
        report.interrupted = True
    report.epochs = len(training.records) - before
    return not report.interrupted


def save_run(training: Training, report: TrainReport, state: Mapping[str, Tensor], write: Write) -> None:
    """Write the files of a run that is at its end. state: of the last epoch's model, as it is kept.

    Raises:
        RunError: they cannot be written.
    """
    if training.best is not None:  # first: with the last epoch's files the run counts as finished
        report.selected = training.best.epoch
        write(report.folder / SELECTED, training.best.model, training.records[training.best.epoch - 1])
    write(report.folder, state, training.records[-1])
    (report.folder / STATE).unlink()  # several times as large as the model, and nothing goes on from here


def score(record: Record) -> float | None:
    """What the best epoch is chosen by."""
    return record["select"]["micro"] if "select" in record else None
