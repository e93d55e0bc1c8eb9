"""The lease of a store in an object store: conditional puts against a real S3 server."""

import os
import signal
import threading
import time
from dataclasses import replace

import obstore
import pytest

from tests.object_store import BUCKET, Server
from tests.vimoclip.store.test_lock import holding
from tests.vimoclip.stores import make_store
from vimoclip.errors import StoreLockedError
from vimoclip.store import lock
from vimoclip.store.location import ObjectStorePrefix
from vimoclip.store.lock import NOTE, Lease, current_writer, holder_description, writer_lock
from vimoclip.store.writer import StoreWriter

pytestmark = pytest.mark.slow

QUICK = "from vimoclip.store import lock; lock.RENEW_S, lock.LAPSE_S = 0.1, 2.0"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEW_S", 0.1)
    monkeypatch.setattr(lock, "LAPSE_S", 2.0)


def claim(remote: str) -> Lease:
    return Lease(ObjectStorePrefix(remote), NOTE, {"pid": 1, "host": "h", "command": "c", "since": "s"})


def write(server: Server, remote: str, content: bytes) -> None:
    obstore.put(server.client, f"{remote.removeprefix(f's3://{BUCKET}/')}/{NOTE}", content)


def test_a_second_writer_is_told_who_and_gets_it_at_once_when_the_first_ends(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LAPSE_S", 30.0)
    told: list[str] = []
    let_go: list[float] = []
    with holding(remote, QUICK) as child:

        def on_wait(name: str) -> None:
            told.append(name)
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
            let_go.append(time.monotonic())

        with writer_lock(remote, on_wait=on_wait):
            assert time.monotonic() - let_go[0] < 20  # it was let go, and did not have to lapse
            assert f"process {os.getpid()} on " in holder_description(remote)
    (name,) = told
    assert f"vimoclip ingest Taï videos (process {child.pid} on " in name
    assert current_writer(remote) is None


def test_without_waiting_it_fails_as_soon_as_the_holder_shows_that_it_lives(remote: str) -> None:
    with (
        holding(remote, QUICK) as child,
        pytest.raises(StoreLockedError, match=f"process {child.pid} on "),
        writer_lock(remote, wait=False),
    ):
        pass


@pytest.mark.parametrize("wait", [True, False])
def test_the_lease_of_a_killed_holder_lapses(remote: str, wait: bool) -> None:
    with holding(remote, QUICK) as child:
        child.kill()
        child.wait(10)
        began = time.monotonic()
        with writer_lock(remote, wait=wait) as lock:
            assert 1.9 < time.monotonic() - began < 20
            lock.check()


def test_of_many_who_reach_for_it_one_gets_it(remote: str) -> None:
    for _ in range(3):  # where there is none, and where one was let go
        claims = [claim(remote) for _ in range(8)]
        start = threading.Barrier(len(claims))
        taken: list[Lease] = []

        def reach(one: Lease, start: threading.Barrier = start, taken: list[Lease] = taken) -> None:
            start.wait()
            if one.try_acquire():
                taken.append(one)

        threads = [threading.Thread(target=reach, args=(one,)) for one in claims]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = taken
        winner.check()
        winner.release()


def test_it_is_renewed_for_as_long_as_it_is_held(remote: str) -> None:
    with writer_lock(remote) as lock:
        first = current_writer(remote)
        time.sleep(3)  # longer than it would take to lapse
        lock.publish({"done": 3})
        lock.check()
        time.sleep(0.5)
        last = current_writer(remote)
    assert first is not None and last is not None
    assert last["beat"] > first["beat"] + 2
    assert last["done"] == 3


def test_a_holder_that_slept_too_long_writes_nothing_more(remote: str) -> None:
    """Its process is stopped for longer than the lease lasts, and another has begun by the time it goes on."""
    store = make_store(remote, {"a.mp4": 5})
    with holding(remote, QUICK) as child:
        os.kill(child.pid, signal.SIGSTOP)
        with writer_lock(remote, wait=False) as lock:
            writer = StoreWriter(store, lock.check)
            writer.put(replace(writer.videos["a.mp4"], status="removed"))
            os.kill(child.pid, signal.SIGCONT)
            said = child.communicate("\n", timeout=30)[1]
            assert child.returncode == 1
            assert "The lease of s3://" in said and "was lost" in said
            writer.flush()
            lock.check()
    assert store.refresh().live_takes() == []


def test_a_writer_whose_lease_was_taken_commits_nothing(server: Server, remote: str) -> None:
    store = make_store(remote, {"a.mp4": 5})
    with writer_lock(remote) as lock:
        writer = StoreWriter(store, lock.check)
        writer.put(replace(writer.videos["a.mp4"], status="removed"))
        write(
            server,
            remote,
            b'{"token": "somebody else", "pid": 1, "host": "h", "command": "c", "since": "s", "heard": "s"}',
        )
        time.sleep(0.5)
        with pytest.raises(StoreLockedError, match=r"was lost.*safe"):
            writer.flush()
    assert len(store.refresh().live_takes()) == 1
    note = current_writer(remote)
    assert note is not None and note["token"] == "somebody else"  # and it was not taken from them on leaving


def test_a_server_that_says_nothing_for_too_long_stops_the_writer(server: Server, remote: str) -> None:
    store = make_store(remote, {"a.mp4": 5})
    with writer_lock(remote) as lock:
        writer = StoreWriter(store, lock.check)
        with server.silent():
            time.sleep(2.5)
            writer.put(replace(writer.videos["a.mp4"], status="removed"))
            with pytest.raises(StoreLockedError, match="no renewal for"):
                writer.flush()
    assert len(store.refresh().live_takes()) == 1


def test_an_answer_that_got_lost_is_no_lease_that_got_lost(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEW_S", 60.0)  # by hand here
    monkeypatch.setattr(lock, "LAPSE_S", 300.0)
    one = claim(remote)
    assert one.try_acquire()
    before = dict(one._tag)
    one._renew()
    one._tag = before  # as if nobody had heard that it was
    one._renew()
    one.check()
    note = current_writer(remote)
    assert note is not None and note["beat"] == one._beat  # what is there was written just now, and not before
    one._tag = before
    one.release()
    assert current_writer(remote) is None


def test_a_claim_that_failed_can_be_let_go(remote: str) -> None:
    with writer_lock(remote):
        other = claim(remote)
        assert not other.try_acquire()
        other.release()
        assert current_writer(remote) is not None


@pytest.mark.parametrize("left", [b"", b"[]", b"\x00\xff"])
def test_what_is_no_lease_lapses_like_one(server: Server, remote: str, left: bytes) -> None:
    write(server, remote, left)
    assert holder_description(remote) == "another process"
    began = time.monotonic()
    with writer_lock(remote, wait=False) as lock:
        assert time.monotonic() - began > 1.9
        lock.check()
