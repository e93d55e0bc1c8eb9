"""Rates: how many frames a second each worker has given lately."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 60.0


@dataclass(frozen=True)
class WorkerRate:
    """One worker. name: `GPU 1 of node7`. frames: so far. frames_per_s: over the last minute."""

    name: str
    frames: int
    frames_per_s: float


class Rates:
    """Counts from when it is made. clock: seconds, from anywhere."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._lately: dict[str, deque[tuple[float, int]]] = {}  # when, and how many, by worker
        self._frames: dict[str, int] = {}

    def add(self, worker: str, frames: int) -> None:
        """A worker gave more frames."""
        now = self._clock()
        given = self._lately.setdefault(worker, deque())
        given.append((now, frames))
        while given[0][0] < now - WINDOW_S:
            given.popleft()
        self._frames[worker] = self._frames.get(worker, 0) + frames

    def workers(self) -> list[WorkerRate]:
        """Every worker that gave any in the last minute, by name."""
        now = self._clock()
        seconds = max(min(now - self._began, WINDOW_S), 1e-3)
        rates = []
        for name, given in sorted(self._lately.items()):
            lately = sum(frames for when, frames in given if when >= now - WINDOW_S)
            if lately:
                rates.append(WorkerRate(name, self._frames[name], lately / seconds))
        return rates
