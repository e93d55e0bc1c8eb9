"""One writer a store.

In a folder, an advisory lock that the operating system drops when its holder dies, however it dies; in an object store,
a lease (lease.py). Either says in `.writer.json` who holds it, and what for.
"""

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import filelock

from vimoclip.atomic import held_back
from vimoclip.errors import StoreDamagedError, StoreError, StoreLockedError
from vimoclip.store.lance_errors import store_error
from vimoclip.store.lease import Lease
from vimoclip.store.location import Folder, ObjectPrefix, Place, Where, place

NOTE = ".writer.json"


class Held(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Make sure that it still is; to be called before every commit.

        Raises:
            StoreLockedError: it was lost.
        """

    def tell(self, doing: dict[str, Any]) -> None:
        """Let others know how far this writer is; JSON values."""


class _Claim(Held, Protocol):
    poll_s: float

    def take(self) -> bool:
        """Try to get it. Raises StoreError where there can be no lock at all."""

    def taken(self) -> bool:
        """Whether somebody is known to hold it, after it could not be taken."""

    def let_go(self) -> None:
        """End it, if it is held."""


def writing(where: Where) -> dict[str, Any] | None:
    """What the store's writer says of itself: pid, host, command, since, heard, and what it was told to tell.

    None where nobody is writing, or whoever does has left no name. One that was killed on another machine is named
    still.
    """
    try:
        note = json.loads(place(where).read(NOTE) or b"null")
    except ValueError:
        return None
    named = isinstance(note, dict) and {"pid", "host", "command", "since", "heard"} <= note.keys()
    return note if named and not note.get("released") and not _is_dead(note) else None


def _is_dead(note: dict[str, Any]) -> bool:
    """Whether the writer was killed before it could take its name away, as far as can be told from here."""
    if note["host"] != socket.gethostname() or not isinstance(note["pid"], int):
        return False
    try:
        os.kill(note["pid"], 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's; or this is no number of a process
        pass
    return False


def holder(where: Where) -> str:
    """Who holds the store's lock, in words."""
    if (who := writing(where)) is None:
        return "another process"
    return f"{who['command']} (process {who['pid']} on {who['host']}, since {who['since']})"


@contextlib.contextmanager
def writer_lock(where: Where, wait: bool = True, on_wait: Callable[[str], None] | None = None) -> Iterator[Held]:
    """Hold the store's write lock.

    wait: wait for another writer, after one call of `on_wait` with its name, rather than fail.

    Raises:
        StoreLockedError: another process writes to the store and wait is False.
        StoreReadOnlyError, NoSpaceError, StoreError: the lock cannot be made or taken.
    """
    at = place(where)
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(["vimoclip", *sys.argv[1:3]]),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    claim: _Claim = Lease(at, NOTE, who) if isinstance(at, ObjectPrefix) else _FileClaim(at, who)
    told = False
    try:
        while not _take(claim):
            if not wait and claim.taken():
                raise StoreLockedError(
                    f"The store {at} is being written to.",
                    received=holder(at),
                    expected="no other writer",
                    hint="Wait for it to end, or leave out --no-wait.",
                )
            if wait and not told and on_wait is not None:
                on_wait(holder(at))
                told = True
            time.sleep(claim.poll_s)
        yield claim
    finally:
        claim.let_go()


def _take(claim: _Claim) -> bool:
    """Try to get it. An interrupt waits until it is known whether it is held, and must be let go."""
    with held_back():
        return claim.take()


class _FileClaim:
    """The lock of a store in a folder."""

    poll_s = 0.2

    def __init__(self, at: Place, who: dict[str, Any]) -> None:
        assert isinstance(at, Folder)
        self._at, self._who = at, who
        self._lock = filelock.FileLock(at.path / ".writer.lock")

    def take(self) -> bool:
        try:
            self._at.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            raise _untaken(error, self._at) from error
        self.tell({})
        return True

    def taken(self) -> bool:
        return True

    def check(self) -> None:
        """It cannot be lost."""

    def tell(self, doing: dict[str, Any]) -> None:
        note = self._who | {"heard": datetime.now(UTC).isoformat(timespec="seconds"), **doing}
        with contextlib.suppress(OSError):  # a disk that is full stops the writer itself
            fresh = self._at.path / f"{NOTE}.new"
            fresh.write_text(json.dumps(note))
            fresh.replace(self._at.path / NOTE)  # at once: whoever reads it finds all of it

    def let_go(self) -> None:
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                (self._at.path / NOTE).unlink()
            self._lock.release()


def _untaken(error: Exception, at: Folder) -> StoreError:
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
