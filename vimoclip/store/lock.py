"""The write lock: a store has one writer at a time.

In a folder it is an advisory file lock, which the operating system drops when its holder dies, however it dies; in an
object store it is a `Lease`. Either way `.writer.json` says who holds it and what for, which `current_writer` reads.
`writer_lock` takes the one that fits the place.

An object store has no locks that end with their holder, so the lease is an object that its holder renews every
`RENEW_S` seconds. Every write of it is a conditional put: of two writers that try to change it, one succeeds. A writer
that has seen the lease unchanged for `LAPSE_S` may take it; each machine compares only durations, by its own clock. A
holder that could not renew it for that long stops by itself before another may begin: it calls `check` before every
commit. What remains is a commit that was under way all that time and lands late. It does no harm: its rows belong to a
take of their own, and another writer does not drop takes that young (`StoreLocation.late_commit_s`), so a videos row
that lands late still finds its frames.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import filelock

from vimoclip.atomic import defer_interrupts
from vimoclip.errors import StoreDamagedError, StoreError, StoreLockedError, StoreUnreachableError
from vimoclip.store.location import (
    LocalFolder,
    LocationLike,
    ObjectStorePrefix,
    StoreLocation,
    as_location,
    unreachable,
)
from vimoclip.store.table import store_error

RENEW_S = 4.0
LAPSE_S = 30.0

Tag = dict[str, str]


class Lease:
    """A claim on the lease of a store in an object store (see the module's docstring).

    Args:
        at: the store.
        name: of the lease's object.
        who: what to say of the holder; JSON values.
    """

    poll_s = 1.0

    def __init__(self, at: ObjectStorePrefix, name: str, who: dict[str, Any]) -> None:
        self._at, self._name, self._who = at, name, who | {"token": uuid.uuid4().hex}
        self._doing: dict[str, Any] = {}
        self._tag: Tag = {}  # of the lease as this holder last wrote or saw it
        self._seen_s = 0.0  # when that tag was first seen
        self._changed = False  # whether the lease was seen to change
        self._renewed_s = 0.0
        self._held = self._lost = False
        self._beat = 0
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._renewer = threading.Thread(target=self._renew_until_the_end, daemon=True)

    def try_acquire(self) -> bool:
        """Try to take the lease; whether that succeeded.

        Raises:
            StoreUnreachableError: the object store does not answer, or refuses.
        """
        tag, note = self._look()
        if tag is not None and not note.get("released") and note.get("token") != self._who["token"]:
            if tag != self._tag:
                self._changed |= bool(self._tag)
                self._tag, self._seen_s = tag, _now()
            if _now() - self._seen_s < LAPSE_S:
                return False
        if not self._put(tag):
            return False
        self._held = True
        self._renewer.start()
        return True

    def is_contended(self) -> bool:
        """Whether another holder was seen to renew the lease; one that was not may belong to a killed holder."""
        return self._changed

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            StoreLockedError: another writer has it, or could have it by now.
        """
        if not self._lost and _now() - self._renewed_s > LAPSE_S / 2:
            with contextlib.suppress(StoreUnreachableError):
                self._renew()
        if self._lost or _now() - self._renewed_s > LAPSE_S - RENEW_S:
            raise StoreLockedError(
                f"The lease of {self._at} was lost.",
                received=f"no renewal for {_now() - self._renewed_s:.0f} s",
                expected=f"one every {RENEW_S:.0f} s",
                hint="Another writer may be at work by now. Everything committed is safe; run the same command again.",
            )

    def publish(self, doing: dict[str, Any]) -> None:
        """Say with the next renewal how far this writer is."""
        self._doing = doing

    def release(self) -> None:
        """End the lease, if it is held, so that the next writer need not wait for it to lapse."""
        if not self._held:
            return
        self._ended.set()
        self._renewer.join(timeout=1)
        if not self._lost and not self._renewer.is_alive():
            with contextlib.suppress(StoreUnreachableError):
                self._put(self._tag, released=True)

    def _renew_until_the_end(self) -> None:
        while not self._ended.wait(RENEW_S) and not self._lost:
            with contextlib.suppress(StoreUnreachableError):  # the next may get through; `check` watches the time
                self._renew()

    def _renew(self) -> None:
        with self._writing:
            if not self._put(self._tag):
                self._lost = True

    def _put(self, tag: Tag | None, released: bool = False) -> bool:
        """Write the lease if it still has this tag, or with None if there is none; whether it did."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        began = _now()
        self._beat += 1
        heard = datetime.now(UTC).isoformat(timespec="seconds")
        note = self._who | {"beat": self._beat, "heard": heard, "released": released, **self._doing}
        try:
            with self._at.errors():
                mode: Any = "create" if tag is None else tag
                self._tag = _tag(obstore.put(self._at.client, self._name, json.dumps(note).encode(), mode=mode))
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            if tag is None and isinstance(error, FileNotFoundError):
                raise unreachable(error, self._at) from error  # no such bucket
            # Also when the answer to an earlier put was lost: then the lease is ours, but as old as that put.
            found, written = self._look()
            if found is None or written.get("token") != self._who["token"]:
                return False
            return self._put(found, released)
        self._renewed_s = began
        return True

    def _look(self) -> tuple[Tag | None, dict[str, Any]]:
        """The lease's tag, None where there is no lease, and what it says."""
        import obstore

        try:
            with self._at.errors():
                found = obstore.get(self._at.client, self._name)
                content = bytes(found.bytes())
        except FileNotFoundError:
            return None, {}
        try:
            note = json.loads(content)
        except ValueError:
            note = None
        return _tag(found.meta), note if isinstance(note, dict) else {}


def _tag(said: Any) -> Tag:
    """What an object store says of an object it took or gave: S3 and Azure know it by its e_tag, GCS by its version."""
    return {name: said[name] for name in ("e_tag", "version") if said[name] is not None}


def _now() -> float:
    """Seconds by a clock that runs while the machine sleeps, as macOS's monotonic one does and Linux's does not."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


NOTE = ".writer.json"


class WriteLock(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Make sure that the lock is still held. Call it before every commit.

        Raises:
            StoreLockedError: the lock was lost.
        """

    def publish(self, doing: dict[str, Any]) -> None:
        """Let others know how far this writer is.

        Args:
            doing: JSON values by name, added to the note that `current_writer` reads.
        """


class _Lock(WriteLock, Protocol):
    poll_s: float

    def try_acquire(self) -> bool:
        """Try to take it; whether that succeeded. Raises StoreError where no lock is possible."""

    def is_contended(self) -> bool:
        """Whether somebody is known to hold it, after it could not be taken."""

    def release(self) -> None:
        """End it, if it is held."""


def current_writer(where: LocationLike) -> dict[str, Any] | None:
    """Read what the store's writer says of itself.

    Returns:
        pid, host, command, since and heard, and what it published. None where nobody is writing, or the writer left no
        name. A writer that was killed on another machine is still named.
    """
    try:
        note = json.loads(as_location(where).read(NOTE) or b"null")
    except ValueError:
        return None
    named = isinstance(note, dict) and {"pid", "host", "command", "since", "heard"} <= note.keys()
    return note if named and not note.get("released") and not _is_dead(note) else None


def writing_since_ns(where: LocationLike) -> int | None:
    """Read since when the store's writer has been at work, or waiting to: its takes (see writer.py) are not older.

    Returns:
        Nanoseconds since 1970, by the writer's clock; None where nobody is writing, or the writer left no name.
    """
    try:
        return int(datetime.fromisoformat((current_writer(where) or {})["since"]).timestamp() * 1e9)
    except (KeyError, ValueError, TypeError):
        return None


def _is_dead(note: dict[str, Any]) -> bool:
    """Whether the writer was killed before it could remove its name, as far as this machine can tell."""
    if note["host"] != socket.gethostname() or not isinstance(note["pid"], int):
        return False
    try:
        os.kill(note["pid"], 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's process, or not a process id
        pass
    return False


_QUEUED = "This command runs as soon as the store is free; Ctrl-C takes it out of the queue and changes nothing."


def holder_description(where: LocationLike) -> str:
    """Say in words who holds the store's lock, for how long, and how far it is."""
    if (who := current_writer(where)) is None:
        return "another process"
    far = f", {who['done']} of {who['videos']} videos done" if {"done", "videos"} <= who.keys() else ""
    return f"{who['command']} (process {who['pid']} on {who['host']}, since {who['since']}{_for(who['since'])}{far})"


def _for(since: object) -> str:
    """How long ago a time was, in words; empty where that is not known or less than a minute."""
    try:
        minutes = int((datetime.now(UTC) - datetime.fromisoformat(str(since))).total_seconds() // 60)
    except (ValueError, TypeError):  # TypeError: without a time zone
        return ""
    if minutes < 1:
        return ""
    return f", for {minutes // 60} h {minutes % 60} min" if minutes >= 60 else f", for {minutes} min"


@contextlib.contextmanager
def writer_lock(
    where: LocationLike, wait: bool = True, on_wait: Callable[[str], None] | None = None
) -> Iterator[WriteLock]:
    """Hold the store's write lock.

    Args:
        where: the store.
        wait: wait for another writer rather than fail.
        on_wait: called once before waiting, with a line for people that names the other writer.

    Yields:
        The lock, whose `check` is to be called before every commit.

    Raises:
        StoreLockedError: another process writes to the store, and `wait` is False.
        StoreReadOnlyError: the place cannot be written to.
        NoSpaceError: the disk is full.
        StoreError: the lock cannot be made or taken.
    """
    at = as_location(where)
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(["vimoclip", *sys.argv[1:3]]),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    claim: _Lock = Lease(at, NOTE, who) if isinstance(at, ObjectStorePrefix) else _FileLock(at, who)
    told = False
    try:
        while not _take(claim):
            if not wait and claim.is_contended():
                raise StoreLockedError(
                    f"The store {at} is being written to.",
                    received=holder_description(at),
                    expected="no other writer",
                    hint="Wait for it to end, or leave out --no-wait.",
                )
            if wait and not told and on_wait is not None:
                on_wait(f"Waiting for {holder_description(at)} to finish writing… {_QUEUED}")
                told = True
            time.sleep(claim.poll_s)
        yield claim
    finally:
        claim.release()


def _take(claim: _Lock) -> bool:
    """Try to take it. An interrupt waits until it is known whether it is held, and so must be released."""
    with defer_interrupts():
        return claim.try_acquire()


class _FileLock:
    """The lock of a store in a folder."""

    poll_s = 0.2

    def __init__(self, at: StoreLocation, who: dict[str, Any]) -> None:
        assert isinstance(at, LocalFolder)
        self._at, self._who = at, who
        self._lock = filelock.FileLock(at.path / ".writer.lock")

    def try_acquire(self) -> bool:
        try:
            self._at.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            raise _untaken(error, self._at) from error
        self.publish({})
        return True

    def is_contended(self) -> bool:
        return True

    def check(self) -> None:
        """It cannot be lost."""

    def publish(self, doing: dict[str, Any]) -> None:
        note = self._who | {"heard": datetime.now(UTC).isoformat(timespec="seconds"), **doing}
        with contextlib.suppress(OSError):  # a disk that is full stops the writer itself
            fresh = self._at.path / f"{NOTE}.new"
            fresh.write_text(json.dumps(note))
            fresh.replace(self._at.path / NOTE)  # at once, so that a reader finds all of it

    def release(self) -> None:
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                (self._at.path / NOTE).unlink()
            self._lock.release()


def _untaken(error: Exception, at: LocalFolder) -> StoreError:
    """Why the lock cannot be taken at all."""
    known = store_error(error, at, "lock", "written")
    if not isinstance(known, StoreDamagedError):
        return known
    return StoreError(
        f"The write lock of {at} cannot be taken.",
        received=str(error) or type(error).__name__,
        expected="a folder on a file system with file locks",
        hint="Name another place with --store.",
    )
