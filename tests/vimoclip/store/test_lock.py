"""The store's one lock, between real processes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vimoclip.errors import StoreError, StoreLockedError
from vimoclip.store.location import LocationLike
from vimoclip.store.lock import holder_description, writer_lock

HOLD = """
import sys
from vimoclip.store.lock import writer_lock
with writer_lock(sys.argv[3]) as lock:
    print("held", flush=True)
    sys.stdin.readline()
    lock.check()
"""


@contextlib.contextmanager
def holding(where: LocationLike, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until a line is written to it. before: what it runs first."""
    command = [sys.executable, "-c", before + HOLD, "ingest", "Taï videos", str(where)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


def release(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def test_a_second_writer_is_told_who_and_gets_it_when_the_first_ends(tmp_path: Path) -> None:
    store, told = tmp_path / "store", []
    with holding(store) as child:

        def on_wait(name: str) -> None:
            told.append(name)
            threading.Timer(0.6, release, [child]).start()

        with writer_lock(store, on_wait=on_wait):
            assert child.wait(10) == 0
            assert f"process {os.getpid()} on " in holder_description(store)
    (name,) = told  # once, however long it took
    assert f"vimoclip ingest Taï videos (process {child.pid} on " in name
    assert "since 20" in name


def test_without_waiting_it_fails_and_names_the_holder(tmp_path: Path) -> None:
    with holding(tmp_path) as child:
        with (
            pytest.raises(StoreLockedError, match=f"process {child.pid} on ") as caught,
            writer_lock(tmp_path, wait=False),
        ):
            pass
        assert "--no-wait" in caught.value.hint
        assert caught.value.expected == "no other writer"


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    with holding(tmp_path) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        with writer_lock(tmp_path, wait=False):
            assert f"process {os.getpid()} " in holder_description(tmp_path)


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    refused = []

    def second() -> None:
        try:
            with writer_lock(tmp_path, wait=False):
                pass
        except StoreLockedError as error:
            refused.append(str(error))

    with writer_lock(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1
    second()  # and now it is free
    assert len(refused) == 1


def test_it_is_let_go_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writer_lock(tmp_path):
        _ = 1 // 0
    with writer_lock(tmp_path, wait=False):
        pass


def test_it_makes_the_folder(tmp_path: Path) -> None:
    with writer_lock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("left", ["", "{", "[]", "null", '{"pid": 5}', "\x00"])
def test_a_holder_that_left_no_name_is_another_process(tmp_path: Path, left: str) -> None:
    (tmp_path / ".writer.json").write_text(left)
    assert holder_description(tmp_path) == "another process"
    assert holder_description(tmp_path / "nowhere") == "another process"


def test_where_no_lock_can_be_the_error_does_not_speak_of_damage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    what = r"write lock of .*file/store cannot be taken.*--store"
    with pytest.raises(StoreError, match=what) as caught, writer_lock(tmp_path / "file" / "store"):
        pass
    assert type(caught.value) is StoreError
