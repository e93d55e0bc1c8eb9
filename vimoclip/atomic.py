"""Work that is done whole or not at all: writing a file, and committing without being interrupted.

- `atomic_write`: a file is there whole or not at all, even after `kill -9` or a power failure.
- `defer_interrupts`: Ctrl-C waits for the end of a commit. Half a flush looks like none, and must not be repeated.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from vimoclip.errors import RunError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path to write to, which replaces `path` when the block ends without an error.

    The file is complete on the disk before it gets its name: fsync, rename, fsync of the folder.

    Args:
        path: the file to write. Its folder is created if need be.

    Yields:
        A path beside `path`.

    Raises:
        RunError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written.",
            received=error.strerror or error,
            expected="a folder you may write to, with free space",
            hint="What was there before is untouched. The same command continues from there.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def defer_interrupts() -> Iterator[None]:
    """Deliver an interrupt that arrives inside the block when the block ends.

    In a thread other than the main one this does nothing: only the main thread receives interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    before = {number: signal.signal(number, lambda *what: arrived.append(what)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:  # also when the block failed: a request to stop must not be lost
            signal.raise_signal(arrived[0][0])
