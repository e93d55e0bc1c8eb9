"""What each step of a demo cost, kept in a file: a demo that is given again finds everything done, and the page still
says what it took.

A step's cost is that of the runs in which it was done, up to the one that finished it. When it changes, it is counted
anew.
"""

import contextlib
import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from vimoclip.atomic import atomic_write

# The most memory that a piece of work takes, in this process and in those that it starts.


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


@dataclass(frozen=True)
class Cost:
    """Of one step. line: what was done, as one would type it. at: when it was last at work, ISO 8601, UTC. peak_bytes:
    see `PeakMemory`."""

    line: str
    seconds: float
    peak_bytes: int
    at: str
    finished: bool


class Costs:
    """The costs in a file, by step; a file that cannot be read is begun anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Cost] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            noted = json.loads(path.read_text(encoding="utf-8"))
            self._known = {str(name): Cost(**cost) for name, cost in noted.items()}

    def __getitem__(self, name: str) -> Cost:
        return self._known[name]

    @contextlib.contextmanager
    def measured(self, name: str, line: str) -> Iterator[None]:
        """Measure the block, whether it ends or is broken off. What was finished before keeps its cost.

        Raises:
            RunError: the file cannot be written.
        """
        before = self._known.get(name)
        if before is None or before.line != line:
            before = Cost(line, 0.0, 0, "", False)
        began, finished = time.monotonic(), False
        with PeakMemory() as peak:
            try:
                yield
                finished = True
            finally:
                if not before.finished:
                    seconds = before.seconds + time.monotonic() - began
                    at = datetime.now(UTC).isoformat(timespec="seconds")
                    self._known[name] = Cost(line, seconds, max(before.peak_bytes, peak.bytes), at, finished)
                    self._write()

    def _write(self) -> None:
        with atomic_write(self._path) as path:
            text = json.dumps({name: asdict(cost) for name, cost in self._known.items()}, indent=2)
            path.write_text(text + "\n", encoding="utf-8")
