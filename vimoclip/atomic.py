"""Files that are there whole or not at all, whatever is killed and whenever the power fails."""

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
    """A path to write to, beside `path`, whose place it takes when the block ends without an error.

    What is written is on the disk before it is there: fsync, rename, fsync of the folder, which is made if need be.

    Raises:
        RunError: it cannot be written.
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
            hint="What was there before is untouched. The same command goes on from there.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


# Holding back Ctrl-C across a commit: half a flush cannot be told from none, and must not be repeated.


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def defer_interrupts() -> Iterator[None]:
    """Deliver an interrupt that arrives inside the block at its end. Only the main thread receives any."""
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
        if arrived:  # also when the block failed: whoever asked to stop must not be ignored
            signal.raise_signal(arrived[0][0])
