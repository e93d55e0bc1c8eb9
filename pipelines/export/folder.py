"""The folder of an export: written under a temporary name beside it, and complete once it has its own."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from vimoclip.atomic import defer_interrupts
from vimoclip.errors import ExportError
from vimoclip.store.location import LocalFolder, StoreLocation

MARK = ".vimoclip-export"
"""A file that marks an unfinished export as ours, locked while a process writes the export."""


@contextlib.contextmanager
def whole_folder(out: Path, store: StoreLocation) -> Iterator[Path]:
    """Make a folder to write into, which becomes `out` at the end of the block, and is removed when the block fails.

    What a killed export left is removed first.

    Args:
        out: a folder that is empty or does not exist.
        store: the store, in which `out` may not lie.

    Yields:
        The temporary folder.

    Raises:
        ExportError: `out` is in use, or another process exports to it; or the disk is full, or cannot be written to.
    """
    if re.match(r"[a-z][a-z0-9+]+:/", str(out)):
        raise ExportError(
            "An export is written to a disk.", received=out, expected="a folder", hint="Copy the export from there."
        )
    out = Path(os.path.expanduser(out))
    with _written(out):
        out = out.resolve()
        _check_free(out, store)
        out.parent.mkdir(parents=True, exist_ok=True)
        work = out.with_name(f".{out.name}.unfinished")
        _clear_left(work, out)
        with contextlib.suppress(FileExistsError):  # another export has made it, which the lock then finds
            work.mkdir()
        try:
            lock = _locked(work, out)
        except OSError:
            with contextlib.suppress(OSError):  # it is empty, or another export's
                work.rmdir()
            raise
        try:
            yield work
            with defer_interrupts():
                work.rename(out)  # over an empty folder, if there is one
                (out / MARK).unlink()
        except BaseException:
            with contextlib.suppress(OSError):
                _clear(work)
            raise
        finally:
            lock.release()


def _check_free(out: Path, store: StoreLocation) -> None:
    """Refuse a folder in the store, and one with something in it."""
    if isinstance(store, LocalFolder) and out.is_relative_to(store.path.resolve()):
        raise ExportError(
            "An export may not lie in the store.", received=out, expected=f"a folder outside {store.path}"
        )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ExportError(
            f"{out} is in use.",
            received="a folder with something in it" if out.is_dir() else "a file",
            expected="an empty folder, or one that does not exist",
            hint="Name another folder, or remove this one.",
        )


def _clear_left(work: Path, out: Path) -> None:
    """Remove what a killed export left."""
    if not work.is_symlink() and not work.exists():
        return
    ours = work.is_dir() and not work.is_symlink() and ((work / MARK).is_file() or not any(work.iterdir()))
    if not ours:
        raise ExportError(
            f"{out} cannot be written: what is not ours lies at the place of an unfinished export.",
            received=work,
            hint="Remove it, or name another folder.",
        )
    lock = _locked(work, out)
    try:
        _clear(work)
    finally:
        lock.release()


def _clear(work: Path) -> None:
    """Remove an unfinished export, its mark last."""
    for entry in work.iterdir():
        if entry.name != MARK:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (work / MARK).unlink()
    work.rmdir()


def _locked(work: Path, out: Path) -> filelock.BaseFileLock:
    """Lock the mark of an unfinished export."""
    lock = filelock.FileLock(work / MARK)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise ExportError(
            f"Another process is exporting to {out}.", hint="Wait for it to end, or name another folder."
        ) from error
    return lock


@contextlib.contextmanager
def _written(out: Path) -> Iterator[None]:
    """Turn errors of the operating system into ours."""
    try:
        yield
    except (OSError, NotImplementedError) as error:
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError(
                f"No space is left for {out}.", hint="Nothing of it was kept. Free some space, or use another disk."
            ) from error
        raise ExportError(
            f"{out} cannot be written.",
            received=os.strerror(number) if number else str(error) or type(error).__name__,
            expected="a folder you may write to, on a file system with file locks",
            hint="Nothing of it was kept. Change the permissions, or name another folder.",
        ) from error
