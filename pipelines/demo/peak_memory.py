"""The most memory that a piece of work takes, in this process and in those that it starts."""

import contextlib
import resource
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

EVERY_S = 0.2
_PROC = Path("/proc/self")
_PAGE = resource.getpagesize()


class PeakMemory:
    """Looks several times a second while its block lasts. bytes: the most that was seen.

    On Linux it is the sum of the resident sets of this process and all below it, pages that they share counted in each;
    elsewhere the most that this process alone has ever had.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, _resident())


def _resident() -> int:
    if _PROC.exists():
        return _tree(_PROC.resolve())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _tree(process: Path) -> int:
    """Resident bytes of a process and of those below it; 0 of one that is gone."""
    found = 0
    with contextlib.suppress(OSError, IndexError):
        found = int((process / "statm").read_text().split()[1]) * _PAGE
        for task in list((process / "task").iterdir()):
            with contextlib.suppress(OSError):  # a thread that has ended meanwhile
                found += sum(_tree(process.parent / each) for each in (task / "children").read_text().split())
    return found
