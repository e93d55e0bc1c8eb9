"""Steps: which stored frames of which videos are z_1 … z_T, and in which row each belongs when they are packed."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Steps:
    """Of V videos: `takes`, whose rows are theirs; `frames`, how many are stored; `counts`, T; each int64 (V,).

    Frames 1 … frames − 1 are read, evenly thinned to T of them; of a video of one frame, that frame.
    """

    takes: Ints
    frames: Ints
    counts: Ints

    @classmethod
    def of(cls, takes: Ints, frames: Ints, most: int | None) -> "Steps":
        """At most `most` steps of each video."""
        moments = np.maximum(frames - 1, 1)
        return cls(takes, frames, moments if most is None else np.minimum(moments, most))

    @staticmethod
    def alone(frames: int, most: int | None) -> Ints:
        """The steps of one stretch of frames, counted from its first: those of a video of these frames alone."""
        return Steps.of(np.zeros(1, np.int64), np.array([frames], np.int64), most).indices(0)

    @functools.cached_property
    def offsets(self) -> Ints:
        """int64 (V + 1,): video v is rows offsets[v] to offsets[v + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def indices(self, video: int) -> Ints:
        """The frame_index of each step of a video, int64 (T,)."""
        frames, count = int(self.frames[video]), int(self.counts[video])
        return (frames > 1) + np.arange(count) * max(frames - 1, 1) // count

    def rows(self, takes: Ints, indices: Ints) -> Ints:
        """The row of each of these frames, int64; -1 for what is no step."""
        if not len(self.takes):
            return np.full(len(takes), -1)
        order, known = self._by_take
        found = np.minimum(np.searchsorted(known, takes), len(known) - 1)
        video = order[found]
        moments, count = np.maximum(self.frames[video] - 1, 1), self.counts[video]
        moment = indices - (self.frames[video] > 1)
        step = -(-moment * count // moments)  # the only one that may be ⌊step · moments / count⌋ = moment
        kept = (known[found] == takes) & (moment >= 0) & (step < count) & (step * moments // count == moment)
        return np.where(kept, self.offsets[video] + step, -1)

    @functools.cached_property
    def _by_take(self) -> tuple[Ints, Ints]:
        order = np.argsort(self.takes)
        return order, self.takes[order]
