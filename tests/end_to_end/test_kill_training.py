"""`train-fusion` and `ablate` killed with SIGKILL, wherever they were: the same command ends as the unbroken one."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common import finish, kill_session, start
from tests.cli.test_train_fusion import SMALL
from tests.pipelines.test_train_fusion import labelled, timeless
from vimoclip.models.checkpoint import WEIGHTS
from vimoclip.training.loop import METRICS

COMMANDS = {
    "train-fusion": ["train-fusion", "--select-on", "0.3", "--epochs", "12"],
    "ablate": ["ablate", "--rows", "image,cross", "--seeds", "2", "--epochs", "3"],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("made"))


def command(name: str, store: Path, folder: Path) -> list[str]:
    return [*COMMANDS[name][:1], *SMALL, *COMMANDS[name][1:], "--store", str(store), "--run", str(folder)]


def records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Of every run in a folder, or below it."""
    found = sorted(folder.rglob(METRICS))
    assert found
    return {
        str(path.parent.relative_to(folder)): timeless([json.loads(line) for line in path.read_text().splitlines()])
        for path in found
    }


def done_epochs(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.rglob(METRICS))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_ends_as_the_unbroken_one(name: str, store: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(unbroken := start(command(name, store, whole)))
    epochs = done_epochs(whole)
    assert (unbroken.returncode, epochs) == (0, 12)
    for after in (2, epochs // 2):
        running = start(command(name, store, broken))
        while done_epochs(broken) < after and running.poll() is None:
            time.sleep(0.002)
        running.kill()
        kill_session(running)
        finish(running)
        assert running.returncode == -9 and after <= done_epochs(broken) < epochs
    finish(rerun := start(command(name, store, broken)))
    assert rerun.returncode == 0 and records(broken) == records(whole)
    models = sorted(whole.rglob(WEIGHTS))
    assert models
    for path in models:
        assert path.read_bytes() == (broken / path.relative_to(whole)).read_bytes()
