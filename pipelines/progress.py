"""Rates: how many frames a second each worker has given lately."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

from pipelines.ingest_plan import Plan
from vimoclip.config.store import ClipConfig, FlowConfig
from vimoclip.store.lock import WriteLock

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
        self._sums: Counter[str] = Counter()  # of those
        self._frames: Counter[str] = Counter()

    def add(self, worker: str, frames: int) -> None:
        """A worker gave more frames."""
        now = self._clock()
        self._lately.setdefault(worker, deque()).append((now, frames))
        self._sums[worker] += frames
        self._frames[worker] += frames
        self._forget(worker, now)

    def workers(self) -> list[WorkerRate]:
        """Every worker that gave any in the last minute, by name."""
        now = self._clock()
        seconds = max(min(now - self._began, WINDOW_S), 1e-3)
        rates = []
        for name in sorted(self._lately):
            self._forget(name, now)
            if self._sums[name]:
                rates.append(WorkerRate(name, self._frames[name], self._sums[name] / seconds))
        return rates

    def _forget(self, worker: str, now: float) -> None:
        """Let go of what is more than a minute old."""
        given = self._lately[worker]
        while given and given[0][0] < now - WINDOW_S:
            self._sums[worker] -= given.popleft()[1]


# Telling: what `status`, in another process, hears of a run while it goes on.


HEARTBEAT_S = 1.0


class ProgressHeartbeat:
    """Notes in the lock how far its holder is. device: of the one worker, where there is but one."""

    def __init__(self, lock: WriteLock, rates: Rates, videos: int, device: str) -> None:
        """videos: how many there are to do."""
        self._lock, self._rates, self._videos, self._device = lock, rates, videos, device
        self._told_s = -math.inf

    def tell(self, done: int) -> None:
        """`done` videos are done. Most calls do nothing."""
        if time.monotonic() - self._told_s < HEARTBEAT_S:
            return
        self._told_s = time.monotonic()
        workers = [asdict(worker) | {"name": worker.name or self._device} for worker in self._rates.workers()]
        self._lock.publish({"workers": workers, "done": done, "videos": self._videos})


class Observer:
    """Told what an ingest is doing; this one ignores it all."""

    def waiting(self, holder: str) -> None:
        """Another process writes to the store."""

    def planned(self, plan: Plan, todo: int) -> None:
        """What there is to do is known; `todo` videos are to be looked into in this run."""

    def ready(self, clip: ClipConfig, flow: FlowConfig | None, device: str) -> None:
        """Models are loaded. flow: None where none is computed."""

    def frames(self, video_id: str, count: int, worker: str) -> None:
        """`count` more frames of a video are embedded, by a worker that has a name where there are several."""

    def video(self, video_id: str, outcome: str) -> None:
        """A video is done: `ok`, `known`, `duplicate`, `moved`, or the kind of its error."""
