"""What every training does around the loop: it says when it begins, ends in order when it is interrupted, and leaves a
finished run's files (run_folder.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pipelines.run_folder import begun, records_of
from vimoclip.config.store import Config
from vimoclip.errors import RunError
from vimoclip.training.loop import STATE, Record, Training, TrainingObserver

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


class RunObserver(TrainingObserver):
    """Told also what a run is before it trains; this one ignores it all."""

    def ready(self, report: TrainReport, device: str) -> None:
        """All is read and the model is built, or loaded where the run goes on."""


def recall(report: TrainReport, config: Config, asked: Config, classes: int) -> None:
    """Put what a finished run of a `config` did into the report.

    Raises:
        RunError: other settings are asked for.
    """
    if config != asked:
        raise RunError(
            f"{report.folder} holds a finished run with other settings.",
            hint="Name another folder with --run.",
        )
    what: dict[str, Any] = begun(report.folder)
    report.known, report.records, report.classes = True, records_of(report.folder), classes
    report.train, report.held_out = what["train"], what["held_out"]


def carry_out(training: Training, report: TrainReport, observer: RunObserver, device: str) -> bool:
    """Train to the end, which is True, or until a KeyboardInterrupt."""
    report.records, before = training.records, len(training.records)
    observer.ready(report, device)
    try:
        training.run(observer)
    except KeyboardInterrupt:
        report.interrupted = True
    report.epochs = len(training.records) - before
    return not report.interrupted


def leave(training: Training, report: TrainReport, state: Mapping[str, Tensor], write: Write) -> None:
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
