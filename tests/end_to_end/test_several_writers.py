"""Several writers at one store, and an ingest that is interrupted: real processes, as people start them."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.common import finish, start, survivors
from benchmarks.reliability.compare import differences, store_digest
from benchmarks.reliability.inject import target_command
from pipelines.ingest import IngestRequest, run
from tests.clips import write_folder
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.verify import verify

DEADLINE_S = 60.0


def read_until(command: subprocess.Popen[str], words: str) -> None:
    """Read what the command says up to a line with these words."""
    assert command.stderr is not None
    for line in command.stderr:
        if words in line:
            return
    pytest.fail(f"It never said {words!r} and ended with {command.wait()}.")


def videos_in(store: Path) -> int:
    """How many videos a reader sees."""
    return len(FeatureStore.open(store).live_takes()) if FeatureStore.exists(store) else 0


@pytest.mark.parametrize(
    ("one", "other"),
    [(["walking", "running"], ["running", "jumping"]), (["."], ["running"])],
    ids=["overlapping", "inside"],
)
def test_two_ingests_at_once_take_every_video_once(
    tmp_path: Path, savannah: Path, tiny_model: str, one: list[str], other: list[str]
) -> None:
    store = tmp_path / "store"
    settings = ["--store", str(store), "--clip-model", tiny_model, "--batch-size", "4"]
    first = start(["ingest", *(str(savannah / name) for name in one), *settings])
    try:
        read_until(first, "videos to look into")  # it holds the lock, and has not made the store yet
        first.send_signal(signal.SIGSTOP)  # so that it cannot be done too soon
        second = start(["ingest", *(str(savannah / name) for name in other), *settings])
        read_until(second, "Waiting for vimoclip ingest")
    finally:
        first.send_signal(signal.SIGCONT)
    commands = [first, second]
    said = [finish(command) for command in commands]
    assert [command.returncode for command in commands] == [0, 0], said
    expected = {str(file) for name in {*one, *other} for file in (savannah / name).rglob("*.mp4")}
    rows = FeatureStore.open(store).rows()
    assert sorted(row.path for row in rows) == sorted(expected)
    assert {(row.status, row.frames, row.attempts) for row in rows} == {("ok", 10, 1)}
    assert verify(store) == []
    assert [left for command in commands for left in survivors(command)] == []


def test_a_second_writer_that_does_not_wait_names_the_first(tmp_path: Path, savannah: Path, tiny_model: str) -> None:
    arguments = ["ingest", str(savannah), "--store", str(tmp_path / "store"), "--clip-model", tiny_model]
    first = start(arguments)
    try:
        read_until(first, "videos to look into")
        first.send_signal(signal.SIGSTOP)  # so that it cannot be done too soon
        second = start([*arguments, "--no-wait"])
        said = finish(second)
    finally:
        first.send_signal(signal.SIGCONT)
        finish(first)
    assert second.returncode == 1
    assert f"vimoclip ingest {savannah} (process {first.pid} on " in said
    assert "--no-wait" in said
    assert first.returncode == 0
    assert videos_in(tmp_path / "store") == 10
    assert survivors(first) + survivors(second) == []


@pytest.mark.parametrize("moment", ["loading", "embedding"])
def test_an_interrupted_ingest_keeps_what_is_complete(tmp_path: Path, tiny_model: str, moment: str) -> None:
    clips, store = tmp_path / "clips", tmp_path / "store"
    write_folder(clips, clips_per_behaviour=4, frames=15, size=(96, 64))
    arguments = ["ingest", str(clips), "--store", str(store), "--clip-model", tiny_model]
    command = start(arguments, target_command("none", 0))  # nobody dies; it commits every few frames
    read_until(command, "videos to look into")
    until = time.monotonic() + DEADLINE_S
    while moment == "embedding" and videos_in(store) < 2:
        assert time.monotonic() < until, finish(command)
        time.sleep(0.01)
    began = time.monotonic()
    os.killpg(command.pid, signal.SIGINT)  # the whole group, as a terminal does
    said = finish(command)
    assert command.returncode == 130, said
    assert time.monotonic() - began < 10
    assert "Interrupted" in said
    assert survivors(command) == []
    stored = videos_in(store)
    if moment == "embedding":
        assert 2 <= stored < 20
        assert verify(store) == []
    else:
        assert stored == 0

    again = start(arguments)
    said = finish(again)
    assert again.returncode == 0, said
    assert f"{20 - stored} videos to look into" in said
    run(IngestRequest([clips], tmp_path / "whole", {"clip": {"model": tiny_model}}))
    assert differences(store_digest(tmp_path / "whole"), store_digest(store)) == []
    assert verify(store) == []
    assert survivors(again) == []
