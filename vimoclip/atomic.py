"""Files that are there whole or not at all, whatever is killed and whenever the power fails."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from vimoclip.errors import RunError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
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
