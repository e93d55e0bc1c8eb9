"""The loop gives the same numbers every time, broken off or not, and says what is wrong when it stops."""

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.vimoclip.made_up_sequences import CONFIG, sequences
from vimoclip.config.fusion import FusionConfig, TrainingConfig
from vimoclip.errors import DivergedError, RunError
from vimoclip.progress import Progress
from vimoclip.training.fusion import FusionTask
from vimoclip.training.loop import METRICS, STATE, Record, Training

CPU = torch.device("cpu")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
IDENTITY = {"config": CONFIG.to_dict(), "versions": {"frames": 3}}


def training(folder: Path | None = None, config: FusionConfig = CONFIG, **identity: Any) -> tuple[Training, FusionTask]:
    task = FusionTask(config, sequences(30, 1), sequences(20, 2), CPU)
    return Training(task, config.training, CPU, folder, IDENTITY | identity), task


def timeless(records: list[Record]) -> list[Record]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def weights(task: FusionTask) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in task.model.parameters()]


class Breaks(Progress):
    """Stops a run after so many batches, as Ctrl-C would."""

    def __init__(self, batches: int) -> None:
        self._left = batches

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self._left -= n
        if self._left < 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def unbroken(one_thread: None) -> tuple[list[Record], list[Tensor]]:
    run, task = training()
    return timeless(run.run()), weights(task)


def assert_same(run: Training, task: FusionTask, unbroken: tuple[list[Record], list[Tensor]]) -> None:
    records, expected = unbroken
    assert timeless(run.records) == records
    assert all(torch.equal(own, other) for own, other in zip(weights(task), expected, strict=True))


def test_the_same_numbers_every_time(unbroken: tuple[list[Record], list[Tensor]]) -> None:
    torch.rand(7)  # whatever the generator did before
    run, task = training()
    run.run()
    assert_same(run, task, unbroken)
    assert not task.model.training


def test_another_seed_gives_others(unbroken: tuple[list[Record], list[Tensor]]) -> None:
    run, _ = training(config=replace(CONFIG, training=replace(CONFIG.training, seed=50)))
    assert timeless(run.run()) != unbroken[0]


@pytest.mark.parametrize("batches", [3, 12, 23])  # of 24: eight full batches an epoch
def test_a_run_that_was_broken_off_goes_on(
    tmp_path: Path, batches: int, unbroken: tuple[list[Record], list[Tensor]]
) -> None:
    run, _ = training(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.run(Breaks(batches))
    again, task = training(tmp_path)
    assert timeless(again.records) == unbroken[0][: len(again.records)]
    again.run()
    assert_same(again, task, unbroken)
    lines = (tmp_path / METRICS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == again.records


def test_a_run_that_was_killed_goes_on(tmp_path: Path, unbroken: tuple[list[Record], list[Tensor]]) -> None:
    program = """
import os, signal, sys
from pathlib import Path
import torch
from tests.vimoclip.training.test_loop import training, Progress

class Killed(Progress):
    def stage(self, name, total=None):
        if name == "epoch 3":
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
training(Path(sys.argv[1]))[0].run(Killed())
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, check=False, timeout=120)
    assert done.returncode == -9
    (tmp_path / METRICS).unlink()  # as if it had come before that file was replaced
    run, task = training(tmp_path)
    assert len(run.records) == 2 and len((tmp_path / METRICS).read_text().splitlines()) == 2
    run.run()
    assert_same(run, task, unbroken)


def test_a_finished_run_is_what_it_was(tmp_path: Path, unbroken: tuple[list[Record], list[Tensor]]) -> None:
    training(tmp_path)[0].run()
    run, task = training(tmp_path)
    run.run(Breaks(0))
    assert_same(run, task, unbroken)


def test_each_epoch_is_recorded(unbroken: tuple[list[Record], list[Tensor]]) -> None:
    records, _ = unbroken
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert records[-1]["lr"] == pytest.approx(1e-6) and records[0]["lr"] > 1e-3
    assert all({"epoch", "loss", "lr", "held_out"} == record.keys() for record in records)
    assert records[0]["held_out"]["videos"] == 20


class Line:
    """A task of two numbers: y = w · x + b, for x of 0 … 9 and y = 3 x; video 7 may have no finite y."""

    def __init__(self, y7: float = 21.0) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(1, 1)
        self._y = torch.arange(10.0) * 3
        self._y[7] = y7
        self.seen = list[float]()

    def plan(self, epoch: int) -> list[np.ndarray]:
        return [np.array([0, 1, 2, 3]), np.array([4, 5]), np.array([6, 7, 8, 9])]

    def loss(self, batch: np.ndarray) -> Tensor:
        x = torch.from_numpy(batch).float()[:, None]
        error: Tensor = self.model(x)[:, 0] - self._y[batch]
        return error.square().mean()

    def names(self, batch: np.ndarray) -> list[str]:
        return [f"{video}.mp4" for video in batch]

    def evaluate(self) -> dict[str, Any]:
        self.seen.append(self.model.weight.item())
        return {"training": self.model.training}


LINE = TrainingConfig(epochs=5, lr=0.3, warmup=0.1, weight_decay=0, ema=None, clip_gradient=None, precision="fp32")


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    begun = {"config": LINE.to_dict(), "versions": {"frames": 3}}
    Training(Line(), LINE, CPU, tmp_path, begun).run()
    changed = begun | {"config": replace(LINE, lr=1.0).to_dict()}
    with pytest.raises(RunError, match=r"Received: config\.lr 1\.0\. Expected: config\.lr 0\.3\."):
        Training(Line(), LINE, CPU, tmp_path, changed)
    changed = {"config": LINE.to_dict(), "versions": {"frames": 4}, "more": {}}
    with pytest.raises(RunError, match=r"versions\.frames 4; more {}\. Expected: versions\.frames 3; more None"):
        Training(Line(), LINE, CPU, tmp_path, changed)


@pytest.mark.parametrize("damage", [b"", b"no state", None])
def test_a_damaged_state_is_refused(tmp_path: Path, damage: bytes | None) -> None:
    Training(Line(), LINE, CPU, tmp_path).run()
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(RunError, match="cannot be resumed"):
        Training(Line(), LINE, CPU, tmp_path)


def test_the_best_epoch_s_model_is_kept_whether_the_run_was_broken_off_or_not(tmp_path: Path) -> None:
    scores = [0.1, 0.5, 0.5, None, 0.2]
    task = Line()
    whole = Training(task, LINE, CPU, score=lambda record: scores[record["epoch"] - 1])
    whole.run()
    assert whole.best is not None and (whole.best.epoch, whole.best.score) == (2, 0.5)
    assert whole.best.model["weight"].item() == task.seen[1] != task.seen[-1]
    for epochs in (1, 3, 5):  # as a run that is broken off after so many
        broken = Training(Line(), LINE, CPU, tmp_path, score=lambda record: scores[record["epoch"] - 1])
        with contextlib.suppress(KeyboardInterrupt):
            broken.run(Breaks(3 * (epochs - len(broken.records))))
    assert broken.best is not None and (broken.best.epoch, broken.best.score) == (2, 0.5)
    assert torch.equal(broken.best.model["weight"], whole.best.model["weight"])
    unscored = Training(Line(), LINE, CPU)
    unscored.run()
    assert unscored.best is None


def test_it_learns_a_line() -> None:
    task = Line()
    records = Training(task, replace(LINE, epochs=200), CPU).run()
    assert task.model.weight.item() == pytest.approx(3, abs=0.05)
    assert records[-1]["loss"] < 0.01 * records[0]["loss"]
    assert not any(record["training"] for record in records)


def test_the_average_is_what_is_evaluated_and_kept() -> None:
    plain, averaged = Line(), Line()
    Training(plain, replace(LINE, epochs=4), CPU).run()
    run = Training(averaged, replace(LINE, epochs=4, ema=0.9), CPU)
    run.run()
    assert averaged.model.weight.item() == averaged.seen[-1]
    assert averaged.seen[0] != plain.seen[0]  # though the weights themselves went the same way
    assert [record["loss"] for record in run.records] == pytest.approx(
        [record["loss"] for record in Training(Line(), replace(LINE, epochs=4), CPU).run()]
    )


@pytest.mark.parametrize("y7", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_videos(tmp_path: Path, y7: float) -> None:
    run = Training(Line(), LINE, CPU, tmp_path)
    run.run()
    state = (tmp_path / STATE).read_bytes()
    task = Line(y7)
    longer = Training(task, replace(LINE, epochs=6), CPU, tmp_path)
    with pytest.raises(DivergedError, match=r"Received: (nan|inf) on 6\.mp4, 7\.mp4, 8\.mp4, 9\.mp4\."):
        longer.run()
    assert (tmp_path / STATE).read_bytes() == state


def test_a_gradient_that_is_not_finite_is_one_too() -> None:
    class Root(Line):
        def loss(self, batch: np.ndarray) -> Tensor:
            return super().loss(batch) * 0 + (self.model.weight * 0).abs().sqrt().sum()  # whose slope at 0 is infinite

    with pytest.raises(DivergedError, match=r"nan on 0\.mp4, 1\.mp4"):
        Training(Root(), replace(LINE, clip_gradient=1.0), CPU).run()


@pytest.mark.parametrize("batches", [2, 5, 13])
def test_a_long_epoch_goes_on_from_within(
    tmp_path: Path, batches: int, unbroken: tuple[list[Record], list[Tensor]]
) -> None:
    def begin() -> tuple[Training, FusionTask]:
        task = FusionTask(CONFIG, sequences(30, 1), sequences(20, 2), CPU)
        return Training(task, CONFIG.training, CPU, tmp_path, IDENTITY, keep_s=0), task

    run, _ = begin()
    with pytest.raises(KeyboardInterrupt):
        run.run(Breaks(batches))
    again, task = begin()
    trained = Counts()
    again.run(trained)
    assert_same(again, task, unbroken)
    # each batch once: the ones before are told of, for the bar, and not trained again
    per_epoch = len(task.plan(0))
    assert trained.steps == 3 * per_epoch - (batches + 1) // per_epoch * per_epoch


class Counts(Progress):
    def __init__(self) -> None:
        self.steps = 0

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self.steps += n


def test_no_step_is_made_twice(tmp_path: Path) -> None:
    task = Line()
    seen: list[list[int]] = []
    loss = task.loss

    def counted(batch: np.ndarray) -> Tensor:
        seen.append(batch.tolist())
        return loss(batch)

    task.loss = counted  # type: ignore[method-assign]
    for breaks in (1, 4, 99):  # within the first epoch, and within the second
        with contextlib.suppress(KeyboardInterrupt):
            Training(task, replace(LINE, epochs=2), CPU, tmp_path, keep_s=0).run(Breaks(breaks))
    assert seen == 2 * [batch.tolist() for batch in task.plan(0)]
