"""Telling: what `status`, in another process, hears of a run while it goes on."""

import math
import time
from dataclasses import asdict

from pipelines.progress import Rates
from vimoclip.store.lock import Held

TELL_S = 1.0


class Telling:
    """Notes in the lock how far its holder is. device: of the one worker, where there is but one."""

    def __init__(self, lock: Held, rates: Rates, videos: int, device: str) -> None:
        """videos: how many there are to do."""
        self._lock, self._rates, self._videos, self._device = lock, rates, videos, device
        self._told_s = -math.inf

    def tell(self, done: int) -> None:
        """`done` videos are done. Most calls do nothing."""
        if time.monotonic() - self._told_s < TELL_S:
            return
        self._told_s = time.monotonic()
        workers = [asdict(worker) | {"name": worker.name or self._device} for worker in self._rates.workers()]
        self._lock.tell({"workers": workers, "done": done, "videos": self._videos})
