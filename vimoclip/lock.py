"""One writer a store: an advisory lock that the operating system drops when its holder dies, however it dies."""

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import filelock

from vimoclip.errors import StoreDamagedError, StoreError, StoreLockedError
from vimoclip.tables import store_error

_POLL_S = 0.2


def holder(folder: Path) -> str:
    """Who holds, or last held, the store's lock, in words."""
    try:
        who = json.loads((folder / ".writer.json").read_text())
        return f"{who['command']} (process {who['pid']} on {who['host']}, since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextlib.contextmanager
def writer_lock(folder: Path, wait: bool = True, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the store's write lock.

    wait: wait for another writer, after one call of `on_wait` with its name, rather than fail.

    Raises:
        StoreLockedError: another process writes to the store and wait is False.
        StoreReadOnlyError, NoSpaceError, StoreError: the lock file cannot be made or locked.
    """
    lock = filelock.FileLock(folder / ".writer.lock")
    told = False
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
            break
        except filelock.Timeout:
            if not wait:
                raise StoreLockedError(
                    f"The store {folder} is being written to.",
                    received=holder(folder),
                    expected="no other writer",
                    hint="Wait for it to end, or leave out --no-wait.",
                ) from None
            if not told and on_wait is not None:
                on_wait(holder(folder))
                told = True
            time.sleep(_POLL_S)
        except (OSError, NotImplementedError) as error:
            raise _untaken(error, folder) from error
    try:
        with contextlib.suppress(OSError):
            who = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "command": " ".join(["vimoclip", *sys.argv[1:3]]),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            (folder / ".writer.json").write_text(json.dumps(who))
        yield
    finally:
        lock.release()


def _untaken(error: Exception, folder: Path) -> StoreError:
    """Why the lock cannot be taken at all."""
    known = store_error(error, folder, "lock", "written")
    if not isinstance(known, StoreDamagedError):
        return known
    return StoreError(
        f"The write lock of {folder} cannot be taken.",
        received=str(error) or type(error).__name__,
        expected="a folder on a file system with file locks",
        hint="Name another place with --store.",
    )
