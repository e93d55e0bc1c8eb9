"""What each step of a demo cost, kept in a file: a demo that is given again finds everything done, and the page still
says what it took.

A step's cost is that of the runs in which it was done, up to the one that finished it. When it changes, it is counted
anew.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.demo.peak_memory import PeakMemory
from vimoclip.atomic import replacing


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
        with replacing(self._path) as path:
            text = json.dumps({name: asdict(cost) for name, cost in self._known.items()}, indent=2)
            path.write_text(text + "\n", encoding="utf-8")
