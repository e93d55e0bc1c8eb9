"""From hits to bouts: hits of one video, or of one label of a video, that overlap or touch are one bout.

A hit of a search is a whole segment; one of a prediction is the part of a video that a window speaks for
(vimoclip/prediction/predictions.py).
"""

import bisect
from collections.abc import Iterable
from typing import NamedTuple

_TOUCH_S = 1e-6


class Bout(NamedTuple):
    """A span of a video and its best hit. A hit is a bout by itself.

    Attributes:
        key: the number of the video, or of the label of a video; bouts of two keys are never joined.
        start_s: seconds from the first frame.
        end_s: the first moment after the bout.
        score: score of the best hit.
        row: row of the best hit in the ranking.
    """

    key: int
    start_s: float
    end_s: float
    score: float
    row: int


class Bouts:
    """Bouts that grow as hits are added to them, best hit first.

    Attributes:
        count: the number of bouts so far.
    """

    def __init__(self) -> None:
        self._of: dict[int, list[Bout]] = {}  # by key, in order of time; they do not touch each other
        self.count = 0

    def add(self, hit: Bout) -> None:
        """Add a hit, which must not be better than those before it."""
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
        """The bouts, best first."""
        found = [bout for own in self._of.values() for bout in own]
        return sorted(found, key=lambda bout: (-bout.score, bout.row))


def bouts(hits: Iterable[Bout], most: int) -> tuple[list[Bout], bool]:
    """Join the hits of a ranking to bouts.

    Hits are taken until they make `most` bouts. If they never do, the ranking is cut where they make the most: further
    down, hits only join bouts to each other, in the end to whole videos.

    Args:
        hits: the ranking, best first; each hit is a bout by itself.
        most: the number of bouts wanted.

    Returns:
        At most `most` bouts, best first; and whether there are that many.
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
