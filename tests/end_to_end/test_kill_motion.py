"""`train-motion` and `embed --motion` killed with SIGKILL, wherever they were: the same command ends as the unbroken
one."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.common import finish, kill_session, start
from tests.end_to_end.test_kill_training import done_epochs, records
from tests.pipelines.runs import contents, ingest
from vimoclip.store.verify import verify

STUDENT = ["--epochs", "6", "--batch-size", "2", "--set", "segment=5", "--set", "hidden=8", "--threads", "1"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> Path:
    """Ten clips. Not to be written to."""
    where = tmp_path_factory.mktemp("kill-motion") / "store"
    ingest(clips, store=where, model=tiny_model)
    return where


def teach(store: Path, folder: Path) -> list[str]:
    return ["train-motion", *STUDENT, "--store", str(store), "--run", str(folder)]


@pytest.fixture(scope="module")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student whose training was not broken off."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    said = finish(command := start(teach(store, folder)))
    assert command.returncode == 0, said
    return folder


def killed(arguments: list[str], when: Callable[[], bool]) -> None:
    """A command that is killed as soon as it has come so far."""
    running: subprocess.Popen[str] = start(arguments)
    while not when() and running.poll() is None:
        time.sleep(0.002)
    running.kill()
    kill_session(running)
    said = finish(running)
    assert running.returncode == -9, said


def test_train_motion(store: Path, whole: Path, tmp_path: Path) -> None:
    broken = tmp_path / "run"
    for after in (1, 4):
        killed(teach(store, broken), lambda after=after: done_epochs(broken) >= after)  # type: ignore[misc]
        assert done_epochs(broken) < 6
    said = finish(rerun := start(teach(store, broken)))
    assert rerun.returncode == 0, said
    assert records(broken) == records(whole)
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("place", [[], ["--as", "taught"]], ids=["in the place of moclip", "beside it"])
def test_embed_motion(store: Path, whole: Path, tmp_path: Path, place: list[str]) -> None:
    def embed(folder: Path) -> list[str]:
        return ["embed", "--motion", str(whole), *place, "--store", str(folder), "--threads", "1"]

    def commits(folder: Path) -> int:
        return len(list((folder / "frames.lance" / "_versions").iterdir()))

    unbroken, broken = (Path(shutil.copytree(store, tmp_path / name)) for name in ("unbroken", "broken"))
    before = commits(unbroken)
    said = finish(command := start(embed(unbroken)))
    assert command.returncode == 0, said
    made = commits(unbroken) - before
    assert made > 1
    killed(embed(broken), lambda: commits(broken) > before)
    assert contents(broken) != contents(unbroken)
    assert not [fault for fault in verify(broken) if not fault.harmless]
    said = finish(rerun := start(embed(broken)))
    assert rerun.returncode == 0, said
    assert contents(broken) == contents(unbroken)
    assert not [fault for fault in verify(broken) if not fault.harmless]
