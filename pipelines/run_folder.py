"""The folder of a training run, and what every training does around the loop.

run.json            what the run's numbers follow from: settings, snapshot, splits, classes, features
state.pt            the state to continue from, until the run is finished (vimoclip/training/loop.py)
metrics.jsonl       a line per epoch
model.safetensors   the model of a finished run, with meta.json (vimoclip/models/checkpoint.py)
selected/           the model of the best epoch, where one is chosen
"""

import hashlib
import json
import shutil
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
from vimoclip.progress import Progress, count
from vimoclip.sequences.sequences import BATCHING
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike, as_location
from vimoclip.store.run_tags import tag_run
from vimoclip.training.loop import METRICS, STATE, Record, Training
from vimoclip.training.splits import SPLIT_SEED, SplitRequest, TrainingSplit

RUN = "run.json"


def default_folder(store: LocationLike, config: Config, what: str, split: SplitRequest | None = None) -> Path:
    """The folder of a run that was not given one, in `runs`.

    It depends on store, settings, split seed and groups alone, so that the same command continues the same run.

    Args:
        store: the store that is read.
        config: settings of the training.
        what: is trained, as the start of the folder's name.
        split: which videos; None is the default.
    """
    made_of = json.dumps([str(as_location(store)), config.to_dict(), *split_settings(split)], sort_keys=True)
    return Path("runs") / f"{what}-{hashlib.sha256(made_of.encode()).hexdigest()[:8]}"


def split_settings(split: SplitRequest | None) -> list[Any]:
    """The split seed and the groups where they are not the default ones, for the name of a folder."""
    default = split is None or (split.seed, split.by) == (SPLIT_SEED, None)
    return [] if split is None or default else [{"seed": split.seed, "by": split.by}]


def finished(folder: Path) -> bool:
    """Whether the run in a folder is finished."""
    return (folder / META).exists()


def snapshot(folder: Path, where: LocationLike, versions: dict[str, int] | None = None) -> FeatureStore:
    """Open the snapshot of the store that a run reads.

    Args:
        folder: of the run. Where a run was begun in it, its snapshot is opened.
        where: the store.
        versions: otherwise the snapshot to open, table versions by name; None is the newest.

    Raises:
        RunError: run.json cannot be read, or its snapshot is gone.
        StoreError: see `FeatureStore.open`.
    """
    if not (folder / STATE).exists():
        return FeatureStore.open(where, versions)
    kept: dict[str, int] = read_run(folder)["versions"]
    try:
        return FeatureStore.open(where, kept)
    except (StoreError, KeyError) as error:
        raise RunError(
            f"The snapshot of the store that the run in {folder} was begun on is gone.",
            received=str(error),
            expected=", ".join(f"{name} at version {version}" for name, version in kept.items()),
            hint="Name another folder with --run for a new run on the store as it is.",
        ) from error


def read_run(folder: Path) -> dict[str, Any]:
    """Read run.json, as `begin` wrote it.

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


def split_of_run(folder: Path, asked: SplitRequest) -> SplitRequest:
    """How to split for the run in a folder: as asked, or as it was begun before there was a split seed.

    Raises:
        RunError: the run was begun with another split, or its run.json cannot be read.
    """
    if not (folder / STATE).exists() or "split" in (noted := read_run(folder)):
        return asked
    _check_split(folder, noted, asked)
    return asked.before_split_seeds()


def _check_split(folder: Path, noted: dict[str, Any], asked: SplitRequest) -> None:
    if differing := asked.differs(noted.get("split")):
        raise RunError(
            f"{folder} holds a run with another split of the videos.",
            received=f"--split-seed {asked.seed}, "
            + (f"--hold-out-by {asked.by}, " if asked.by else "")
            + f"--hold-out {asked.share:g}",
            expected=differing,
            hint="Name another folder with --run.",
        )


def records_of(folder: Path) -> list[Record]:
    """Read the records of a run's epochs so far.

    Raises:
        RunError: metrics.jsonl cannot be read.
    """
    try:
        return [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / METRICS} cannot be read.", received=error, expected="a line per epoch") from error


def identity(
    store: FeatureStore,
    config: Config,
    features: Mapping[Any, Feature],
    classes: list[str],
    split: TrainingSplit,
) -> dict[str, Any]:
    """Everything that the numbers of a run follow from, as JSON for run.json.

    Args:
        store: the snapshot that the run reads.
        config: its settings.
        features: the features that it reads, by role.
        classes: what it learns.
        split: its videos.
    """
    drawn = {} if split.rule is None else {"split": split.rule}
    return {
        "config": config.to_dict(),
        "versions": store.versions,
        "train": split.train_description,
        "held_out": split.held_out_description,
        **drawn,
        "classes": classes,
        "features": {role: feature.fingerprint for role, feature in features.items()},
        "batching": BATCHING,
    }


def begin(folder: Path, store: FeatureStore, what: dict[str, Any], loss: str, warning: str = "") -> None:
    """Write run.json, and keep the run's snapshot from being cleaned up; nothing where the run was begun before.

    Args:
        folder: of the run.
        store: the snapshot that it reads.
        what: see `identity`.
        loss: which loss it takes and why, in words.
        warning: what makes its figures too good, in words.

    Raises:
        RunError: the folder cannot be written.
        StoreError: the snapshot cannot be kept.
    """
    if (folder / STATE).exists():
        return
    tag_run(store, folder)
    with atomic_write(folder / RUN) as path:
        said = what | {"loss": loss} | ({"warning": warning} if warning else {})
        path.write_text(json.dumps(said, ensure_ascii=False, indent=2), encoding="utf-8")


# Around the training loop: the message at the start, an orderly end on Ctrl-C, and the files of a finished run.


SELECTED = "selected"
"""The folder of the best epoch's model, in the run's folder."""

FOLDS = "folds"
"""The folder, in the run's, of the models that are trained to calibrate its own; removed when the run is finished."""

Write = Callable[[Path, Mapping[str, Tensor], Record], None]
"""Writes a model's files into a folder, from its tensors and the record of its epoch."""


@dataclass
class TrainReport:
    """What a training did.

    Attributes:
        folder: of the run.
        train: which videos it learned from, in words.
        held_out: which it was evaluated on, in words.
        classes: how many.
        unused: how many videos are neither trained on nor held out, by their split; without one under the empty name.
        loss: which loss it took and which videos are the reason, in words; empty where the run did not note it.
        divided_folders: how many folders have videos on both sides of a random cut, where videos are not grouped.
        records: figures of every epoch.
        epochs: how many were done this time.
        selected: the epoch that was best on the videos set aside for that; None where none is chosen.
        known: whether the run was finished before.
        interrupted: whether a KeyboardInterrupt ended it.
        seconds: how long it took this time.
    """

    folder: Path
    train: str = ""
    held_out: str = ""
    classes: int = 0
    unused: dict[str, int] = field(default_factory=dict)
    loss: str = ""
    divided_folders: int = 0
    records: list[Record] = field(default_factory=list)
    epochs: int = 0
    selected: int | None = None
    known: bool = False
    interrupted: bool = False
    seconds: float = 0.0


def fill_split(report: TrainReport, split: TrainingSplit) -> None:
    """Note in a report which videos a run is about."""
    report.train, report.held_out = split.train_description, split.held_out_description
    report.unused, report.divided_folders = split.unused, split.divided_folders


def load_finished(report: TrainReport, config: Config, asked: Config, classes: int, split: SplitRequest) -> None:
    """Fill a report from a run that was finished before.

    Args:
        report: of the run; its folder is read.
        config: the run's settings.
        asked: the settings that are asked for now.
        classes: how many the run has.
        split: the split that is asked for now.

    Raises:
        RunError: the settings differ, or the run's files cannot be read.
    """
    if config != asked:
        raise RunError(
            f"{report.folder} holds a finished run with other settings.",
            hint="Name another folder with --run.",
        )
    what: dict[str, Any] = read_run(report.folder)
    _check_split(report.folder, what, split)
    report.known, report.records, report.classes = True, records_of(report.folder), classes
    report.train, report.held_out, report.loss = what["train"], what["held_out"], str(what.get("loss", ""))


def train_until_done(training: Training, report: TrainReport, progress: Progress, device: str) -> bool:
    """Train to the end, or until a KeyboardInterrupt.

    Args:
        training: what to run.
        report: to fill.
        progress: a stage per epoch.
        device: in words.

    Returns:
        Whether the training reached its end.
    """
    report.records, before = training.records, len(training.records)
    begun = f", from epoch {before + 1} on" if before else ""
    progress.message(f"Training in {report.folder} on {device}{begun}; {report.held_out} held out.")
    if report.unused:
        rest = (
            f"{count(videos, 'video')} {f'in split {name}' if name else 'without a split'}"
            for name, videos in report.unused.items()
        )
        progress.message(f"Not used: {', '.join(rest)}.")
    if report.divided_folders:
        progress.message(
            f"Warning: of {count(report.divided_folders, 'folder')}, some videos are trained on and others set aside "
            "at random. If videos of a folder are alike, as those of one recording or site are, figures are too good: "
            "--hold-out-by folder, or by a column such as site, keeps them together."
        )
    progress.message(report.loss)
    try:
        training.run(progress)
    except KeyboardInterrupt:
        report.interrupted = True
    report.epochs = len(training.records) - before
    return not report.interrupted


def save_run(training: Training, report: TrainReport, state: Mapping[str, Tensor], write: Write) -> None:
    """Write the files of a training that reached its end.

    Args:
        training: with its records and, where one is chosen, the best epoch.
        report: of the run; `selected` is filled in.
        state: tensors of the last epoch's model.
        write: writes a model's files.

    Raises:
        RunError: the files cannot be written.
    """
    if training.best is not None:  # first: with the last epoch's files the run counts as finished
        report.selected = training.best.epoch
        write(report.folder / SELECTED, training.best.model, training.records[training.best.epoch - 1])
    write(report.folder, state, training.records[-1])
    (report.folder / STATE).unlink()  # several times as large as the model, and no longer needed
    shutil.rmtree(report.folder / FOLDS, ignore_errors=True)


def score(record: Record) -> float | None:
    """The figure that the best epoch is chosen by: micro mAP on the videos set aside, or None."""
    return record["select"]["micro"] if "select" in record else None
