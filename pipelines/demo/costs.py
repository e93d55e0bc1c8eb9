"""Time and memory of each step of a demo, kept in a file, so that a rerun that finds everything done still shows them.

A step's cost is the sum over the runs up to the one that finished it. When the step's command changes, it is measured
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

# Peak memory of a block, in this process and its child processes.


EVERY_S = 0.2
"""How often to look at the memory."""
_PROC = Path("/proc/self")
_PAGE = resource.getpagesize()


class PeakMemory:
    """A context manager that samples memory in a thread.

    On Linux it sums the resident sets of this process and all its descendants, counting shared pages in each; elsewhere
    it is the peak of this process alone, since its start.

    Attributes:
        bytes: the most that was seen.
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
    """Resident bytes now, or their peak; see `PeakMemory`."""
    if _PROC.exists():
        return _tree(_PROC.resolve())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _tree(process: Path) -> int:
    """Resident bytes of a process and its descendants; 0 where it is gone."""
    found = 0
    with contextlib.suppress(OSError, IndexError):
        found = int((process / "statm").read_text().split()[1]) * _PAGE
        for task in list((process / "task").iterdir()):
            with contextlib.suppress(OSError):  # a thread may end meanwhile
                found += sum(_tree(process.parent / each) for each in (task / "children").read_text().split())
    return found


@dataclass(frozen=True)
class Cost:
    """The cost of a step.

    Attributes:
        line: the command line.
        seconds: it took.
        peak_bytes: see `PeakMemory`.
        at: when it last ran, ISO 8601 in UTC.
        finished: whether it was finished.
    """

    line: str
    seconds: float
    peak_bytes: int
    at: str
    finished: bool


class Costs:
    """The costs in a file, by name of the step; a file that cannot be read counts as empty."""

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
        """Measure the block, even if it fails. A step that was finished before keeps its cost.

        Args:
            name: of the step.
            line: the command line.

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
