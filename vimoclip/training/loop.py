"""The training loop, for anything that is trained: AdamW, a cosine, an average of the weights, and resuming.

What is trained is a `Task`: it names the batches of an epoch by the numbers of their items, which are videos or parts
of them, and gives the loss of a batch. After every epoch, state.pt and metrics.jsonl in the run's folder are replaced
whole; during a long epoch, state.pt every few minutes too. A run that is killed resumes from there. Everything random
follows from the seed and the number of the epoch, and its state is kept: on one machine, with the same number of
threads, a run gives the same numbers every time, whether it was interrupted or not.

`EpochLosses` stops a run that diverges; `event_file` writes its records for TensorBoard, where that is installed.
"""

import contextlib
import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vimoclip.atomic import atomic_write
from vimoclip.config.fusion import TrainingConfig
from vimoclip.errors import DivergedError, RunError
from vimoclip.progress import NO_PROGRESS, Progress, Throughput
from vimoclip.training.metrics import over_classes, percent
from vimoclip.training.optimizer import (
    SINGLE_PROCESS,
    ProcessGroup,
    WeightAverage,
    adamw,
    learning_rate,
    training_precision,
)


class EpochLosses:
    """The losses of an epoch as numbers; the first that is not finite is an error that names its videos.

    They are checked several at a time, because checking each as it comes would make a GPU wait for every step.

    Args:
        names: names the items of a batch, for people.
        together: how many losses are checked at once.
        known: those that were checked before the run was interrupted.
    """

    def __init__(self, names: Callable[[NDArray[np.int64]], list[str]], together: int, known: list[float]) -> None:
        self._names, self._together = names, together
        self._new: list[tuple[NDArray[np.int64], Tensor]] = []
        self._known = list(known)

    def add(self, batch: NDArray[np.int64], loss: Tensor) -> None:
        """Add the loss of a batch.

        Raises:
            DivergedError: it, or one before it that was not checked yet, is not finite.
        """
        self._new.append((batch, loss))
        if len(self._new) >= self._together:
            self._look()

    def known(self) -> list[float]:
        """Return all losses so far, in order.

        Raises:
            DivergedError: one is not finite.
        """
        self._look()
        return list(self._known)

    def mean(self) -> float:
        """Return their mean.

        Raises:
            DivergedError: one is not finite.
        """
        self._look()
        return math.fsum(self._known) / len(self._known)

    def _look(self) -> None:
        values = torch.stack([loss for _, loss in self._new]).tolist() if self._new else []
        for (batch, _), value in zip(self._new, values, strict=True):
            if not math.isfinite(value):
                names = self._names(batch)
                raise DivergedError(
                    "The loss, or its gradient, is not finite.",
                    received=f"{value} on {', '.join(names[:8])}" + (f" and {len(names) - 8} more" * (len(names) > 8)),
                    expected="a finite number",
                    hint="The last epoch is kept. Try a lower learning rate; if it is always these videos, "
                    "`vimoclip verify` checks their vectors.",
                )
        self._known += values
        self._new.clear()


Record = dict[str, Any]
"""What an epoch came to: epoch, from 1; loss, the mean over its batches; lr, the last, where there is one; seconds; and
the evaluation."""


class EventFile:
    """The records of a run as scalars for TensorBoard.

    Args:
        writer: torch's SummaryWriter; None drops the records.
    """

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, record: Record) -> None:
        """Write every number of a record at its epoch, those of its parts as `part/name`."""
        if self._writer is None:
            return
        for name, value in _scalars(record):
            self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()


@contextlib.contextmanager
def event_file(folder: Path | None, records: list[Record]) -> Iterator[EventFile]:
    """Open the TensorBoard file of a run, in its folder.

    A resumed run hides what was written before and writes all of it again, so that every epoch is there once, whenever
    the run was killed.

    Args:
        folder: of the run; with None, or without tensorboard, nothing is kept.
        records: those of the epochs before.
    """
    writer = None
    if folder is not None:
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder), purge_step=0)
    made = EventFile(writer)
    try:
        for record in records:
            made.add(record)
        yield made
    finally:
        if writer is not None:
            writer.close()


def _scalars(record: Record, above: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{above}{name}/")
        elif isinstance(value, int | float) and name != "epoch":
            yield f"{above}{name}", float(value)


STATE, METRICS = "state.pt", "metrics.jsonl"

LOSSES_PER_CHECK = 32  # on a GPU
SAVE_EVERY_S = 300.0


class Task(Protocol):
    """What is trained. A model without parameters sets itself in `loss`, whose value then has no gradient."""

    @property
    def model(self) -> nn.Module:
        """The model, on the device. In `loss` it is in train mode and under autocast."""

    def plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """List the batches of an epoch, counting from 0, as the numbers of their items; the same list each time."""

    def loss(self, batch: NDArray[np.int64]) -> Tensor:
        """Compute the loss of a batch, one number."""

    def names(self, batch: NDArray[np.int64]) -> list[str]:
        """Return the names of the videos of a batch, for people."""

    def evaluate(self) -> dict[str, Any]:
        """Return figures of the model as it is now, as JSON has them."""


@dataclass(frozen=True)
class Best:
    """The epoch with the highest score so far, the earliest of equal ones.

    Attributes:
        epoch: from 1.
        score: its score.
        model: the model's state after it, on the CPU.
    """

    epoch: int
    score: float
    model: dict[str, Tensor]


def describe_epoch(record: Record) -> str:
    """Write a record as a line: `epoch 3: loss 0.1234, mAP micro 77.09, macro 60.12 over 9 classes, 3.4 s`."""
    line = f"epoch {record['epoch']}: loss {record['loss']:.4f}"
    held_out = record.get("held_out", {})
    if "micro" in held_out:
        over = f" {over_classes(held_out['classes'])}" if "classes" in held_out else ""
        line += f", mAP micro {percent(held_out['micro'])}, macro {percent(held_out['macro'])}{over}"
    return f"{line}, {record['seconds']:.1f} s"


class Training:
    """One run of a task. A run resumes only with the identity it began with.

    Args:
        task: what is trained.
        config: epochs, learning rate, and so on.
        device: where.
        folder: of the run; None keeps nothing.
        identity: everything that the run's numbers follow from, as JSON.
        score: what of a record the best epoch is chosen by; None chooses none.
        rates: by name of a parameter, what its learning rate is multiplied by.
        keep_s: seconds between two states that are kept within an epoch.
        peers: the processes that train together; the first of them keeps.
        items: what a batch is made of, in words.

    Attributes:
        records: of the epochs so far.
        best: of those that have a score; None where none has.

    Raises:
        RunError: the folder holds a run of another identity, or one that cannot be read.
    """

    def __init__(
        self,
        task: Task,
        config: TrainingConfig,
        device: torch.device,
        folder: Path | None = None,
        identity: dict[str, Any] | None = None,
        score: Callable[[Record], float | None] | None = None,
        rates: Mapping[str, float] | None = None,
        keep_s: float = SAVE_EVERY_S,
        peers: ProcessGroup = SINGLE_PROCESS,
        items: str = "items",
    ) -> None:
        """Prepare the run, or resume the one in the folder."""
        self.records: list[Record] = []
        self.best: Best | None = None
        self._score = score or (lambda record: None)
        self._task, self._config, self._device, self._folder = task, config, device, folder
        self._identity = json.loads(json.dumps(identity or {}))
        self._precision = training_precision(config.precision, device)
        trained = any(parameter.requires_grad for parameter in task.model.parameters())
        self._optimizer = adamw(task.model, config, rates) if trained else None
        self._average = WeightAverage(task.model, config.ema) if config.ema is not None else None
        self._peers, self._items = peers, items
        self._loss = peers.synchronized(_TaskLoss(task))
        self._keep_s, self._kept = keep_s, time.monotonic()
        self._steps, self._known = 0, list[float]()  # of the current epoch
        self._random: dict[str, Tensor] | None = None
        if folder is not None and (folder / STATE).exists():
            self._go_on(folder / STATE)

    def run(self, progress: Progress = NO_PROGRESS) -> list[Record]:
        """Train to the last epoch.

        The model is then the one to keep: the average of its weights where there is one, in eval mode.

        Args:
            progress: a stage is an epoch, and an item a batch; a message follows each epoch, when it is evaluated and
                on the disk.

        Returns:
            The record of every epoch.

        Raises:
            DivergedError: a loss is not finite; it names the videos.
            RunError: the state cannot be written.
        """
        with (
            _deterministic(self._device),
            event_file(None if self._peers.rank else self._folder, self.records) as events,
        ):
            for epoch in range(len(self.records), self._config.epochs):
                record = self._epoch(epoch, progress)
                self.records.append(record)
                self._write()
                events.add(record)
                progress.message(describe_epoch(record))
        if self._average is not None:
            self._average.swap()
        self._task.model.eval()
        return self.records

    def _epoch(self, epoch: int, progress: Progress) -> Record:
        began = time.monotonic()
        torch.manual_seed(int(np.random.SeedSequence([self._config.seed, epoch]).generate_state(1)[0]))
        if self._random is not None:
            self._set_random(self._random)
        plan = self._task.plan(epoch)
        progress.stage(f"epoch {epoch + 1}", len(plan))
        throughput = Throughput(self._items, digits=1)
        losses = EpochLosses(self._task.names, LOSSES_PER_CHECK if self._device.type == "cuda" else 1, self._known)
        self._task.model.train()
        for i, batch in enumerate(plan, 1):
            if i <= self._steps:
                progress.advance()
                continue
            lr = learning_rate(self._config, (epoch + i / len(plan)) / self._config.epochs)
            losses.add(batch, self.step(batch, lr))
            if i < len(plan) and time.monotonic() - self._kept > self._keep_s:
                self._known, self._steps = losses.known(), i
                self._write()
            progress.advance(1, throughput.add(len(batch)))
        figures: Record = {"epoch": epoch + 1, "loss": losses.mean()} | ({"lr": lr} if self._optimizer else {})
        self._known, self._steps, self._random = [], 0, None
        with self._averaged():
            figures |= self._task.evaluate()
            self._choose(figures)
        return figures | {"seconds": round(time.monotonic() - began, 3)}

    def _set_random(self, states: dict[str, Tensor]) -> None:
        torch.set_rng_state(states["cpu"].cpu())
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"].cpu(), self._device)
        elif self._device.type == "mps":
            torch.mps.set_rng_state(states["mps"].cpu())

    def _choose(self, record: Record) -> None:
        """Remember the model, as it would be kept, where it is the best so far."""
        score = self._score(record)
        if score is not None and (self.best is None or score > self.best.score):
            kept = {name: tensor.detach().cpu().clone() for name, tensor in self._task.model.state_dict().items()}
            self.best = Best(record["epoch"], score, kept)

    def step(self, batch: NDArray[np.int64], lr: float) -> Tensor:
        """Take one step.

        Args:
            batch: the numbers of its items.
            lr: the learning rate.

        Returns:
            The loss before the step; not finite where its gradient is not.
        """
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            loss: Tensor = self._loss(batch)
        if self._optimizer is None:
            return loss
        self._peers.backward(loss)
        value = self._peers.sum(loss.detach())
        if self._config.clip_gradient is not None:
            norm = nn.utils.clip_grad_norm_(self._task.model.parameters(), self._config.clip_gradient)
            value = value + 0 * norm  # not finite where a gradient is not
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group["rate"]
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._average is not None:
            self._average.update()
        return value

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Have the model as it would be kept, in eval mode."""
        self._task.model.eval()
        if self._average is None:
            yield
            return
        self._average.swap()
        try:
            yield
        finally:
            self._average.swap()

    def _write(self) -> None:
        self._kept = time.monotonic()
        if self._folder is None or self._peers.rank:
            return
        random = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self._device)
        elif self._device.type == "mps":
            random["mps"] = torch.mps.get_rng_state()
        state = {
            "identity": self._identity,
            "records": self.records,
            "epoch": {"steps": self._steps, "losses": self._known, "random": random if self._steps else None},
            "model": self._task.model.state_dict(),
            "optimizer": self._optimizer.state_dict() if self._optimizer else None,
            "average": self._average.state() if self._average is not None else None,
            "best": vars(self.best) if self.best is not None else None,
        }
        with atomic_write(self._folder / STATE) as path:
            torch.save(state, path)
        self._write_metrics(self._folder)

    def _write_metrics(self, folder: Path) -> None:
        with atomic_write(folder / METRICS) as path:
            path.write_text("".join(json.dumps(record, allow_nan=False) + "\n" for record in self.records))

    def _go_on(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self._device, weights_only=True)
            differing = _differing(state["identity"], self._identity)
            if not differing:
                self._task.model.load_state_dict(state["model"])
                if self._optimizer is not None:
                    self._optimizer.load_state_dict(state["optimizer"])
                if self._average is not None:
                    self._average.load(state["average"])
                if state["best"] is not None:
                    self.best = Best(**state["best"])
                epoch = state["epoch"]
                self._steps, self._known, self._random = epoch["steps"], epoch["losses"], epoch["random"]
        except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise RunError(
                f"The run in {path.parent} cannot be resumed.",
                received=f"{type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else path}",
                hint=f"Remove {path} to train it from the beginning.",
            ) from error
        if differing:
            raise RunError(
                f"The run in {path.parent} was begun with something else.",
                received="; ".join(f"{name} {new}" for name, _, new in differing),
                expected="; ".join(f"{name} {old}" for name, old, _ in differing),
                hint="Give the same, or another folder for a new run. What an earlier version of ViMoCLIP left "
                "unfinished may have to be trained anew.",
            )
        self.records = state["records"]
        if not self._peers.rank:
            self._write_metrics(path.parent)  # a kill may have come between the two files


class _TaskLoss(nn.Module):
    """A task's loss as a module with the task's parameters."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model, self._task = task.model, task

    def forward(self, batch: NDArray[np.int64]) -> Tensor:
        """Compute the loss of a batch."""
        return self._task.loss(batch)


@contextlib.contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Have a GPU add in the same order every time, as a CPU does."""
    before = torch.are_deterministic_algorithms_enabled()
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _differing(old: Any, new: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """(name, old, new) of everything that differs in two JSON values."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [(name, old, new)]
    names = [*old, *(each for each in new if each not in old)]
    parts = (_differing(old.get(each), new.get(each), f"{name}.{each}" if name else each) for each in names)
    return [difference for part in parts for difference in part]
