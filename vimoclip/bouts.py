"""Hits to bouts: those of one video, or of one label of a video, that overlap or touch are one stretch of it."""

import bisect
from collections.abc import Iterable
from typing import NamedTuple

_TOUCH_S = 1e-6


class Bout(NamedTuple):
    """A stretch of a video and its best hit. A hit is the bout of itself alone.

    Attributes:
        key: number of the video, or of the label, that it is of; bouts of two keys are never joined.
        start_s, end_s: half-open, [start_s, end_s).
        score: of the best hit.
        row: of the best hit, in whatever is ranked.
    """

    key: int
    start_s: float
    end_s: float
    score: float
    row: int


class Bouts:
    """Bouts that grow as hits are added to them, best first."""

    def __init__(self) -> None:
        self._of: dict[int, list[Bout]] = {}  # by key, in order of time: they do not touch
        self.count = 0

    def add(self, hit: Bout) -> None:
        """Add a hit, no better than those before."""
        key, start_s, end_s, _, _ = hit
        own = self._of.setdefault(key, [])
        first = bisect.bisect_left(own, start_s - _TOUCH_S, key=lambda bout: bout.end_s)
        last = bisect.bisect_right(own, end_s + _TOUCH_S, key=lambda bout: bout.start_s)
        joined = own[first:last]
        best = max(joined, key=lambda bout: (bout.score, -bout.row), default=hit)
        bout = Bout(
            key,
            min(start_s, joined[0].start_s) if joined else start_s,
            max(end_s, joined[-1].end_s) if joined else end_s,
            best.score,
            best.row,
        )
        own[first:last] = [bout]
        self.count += 1 - len(joined)

    def list(self) -> list[Bout]:
        """Best first."""
        found = [bout for own in self._of.values() for bout in own]
        return sorted(found, key=lambda bout: (-bout.score, bout.row))


def bouts(hits: Iterable[Bout], most: int) -> tuple[list[Bout], bool]:
    """The bouts of a ranking, best first, up to `most`; and whether there are so many.

    The ranking is gone down until its hits make `most` bouts. Where they never do, it is cut where they make the most:
    further down, hits only join bouts, in the end to whole videos.
    """
    taken: list[Bout] = []
    growing = Bouts()
    cut, best = 0, 0
    for hit in hits:
        taken.append(hit)
        growing.add(hit)
        if growing.count > best:
            cut, best = len(taken), growing.count
            if best == most:
                return growing.list(), True
    again = Bouts()
    for hit in taken[:cut]:
        again.add(hit)
    return again.list(), False
