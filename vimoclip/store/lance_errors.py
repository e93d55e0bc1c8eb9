"""Where Lance's errors, and the operating system's, become ours."""

import contextlib
import errno
import os
from collections.abc import Iterator

import pyarrow as pa

from vimoclip.errors import NoSpaceError, StoreDamagedError, StoreError, StoreReadOnlyError
from vimoclip.store.location import ObjectPrefix, Place
from vimoclip.store.unreachable import not_served, unreachable

_KINDS = (OSError, ValueError, RuntimeError, pa.ArrowException)


@contextlib.contextmanager
def lance_errors(at: Place, name: str, what: str) -> Iterator[None]:
    """Lance raises OSError, ValueError or RuntimeError with its cause in the text; name it."""
    try:
        yield
    except _KINDS as error:
        raise store_error(error, at, name, what) from error


def store_error(error: Exception, at: Place, name: str, what: str) -> StoreError:
    """The error of our own that says what an operating-system or Lance error means for table `name`."""
    text = str(error)
    number = getattr(error, "errno", None)

    def means(*numbers: int) -> bool:
        return number in numbers or any(f"(os error {n})" in text or os.strerror(n) in text for n in numbers)

    if isinstance(at, ObjectPrefix) and not_served(error):
        return unreachable(error, at)
    if means(errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            f"No space is left in {at}.",
            hint="Everything committed so far is safe. Free some space and run the same command again.",
        )
    if means(errno.EROFS, errno.EACCES, errno.EPERM):
        if what in ("opened", "read"):
            return StoreDamagedError(
                f"The table {name} of {at} cannot be {what}.",
                received=text.splitlines()[0][:200],
                expected="files you may read",
                hint="Change its permissions.",
            )
        return StoreReadOnlyError(
            f"The store {at} cannot be written to.",
            received=text.splitlines()[0][:120],
            expected="a folder you may write to, on a file system with hard links",
            hint="Change its permissions, or copy the store elsewhere and name it with --store.",
        )
    if what == "read" and "Not found" in text:
        return StoreDamagedError(
            f"A file of the table {name} of {at} is gone.",
            received=text.splitlines()[0][:200],
            hint="A snapshot older than `optimize --grace` is cleaned away; refresh() takes a new one. If that fails "
            "too, run `vimoclip verify`.",
        )
    return StoreDamagedError(
        f"The table {name} of {at} cannot be {what}.",
        received=text.splitlines()[0][:200] if text else type(error).__name__,
        hint="Run `vimoclip verify` to see what is damaged.",
    )
