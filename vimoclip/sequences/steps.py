"""Steps: which stored frames of which videos are z_1 … z_T, and in which row each belongs when they are packed.

A video may be whole, or cut into stretches that do not overlap: each is read as a video of its frames alone would be.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Steps:
    """Of V stretches of videos: `takes`, whose rows are theirs; `frames`, how many are stored; `counts`, T; `firsts`,
    the frame_index of the first one, 0 of a whole video; each int64 (V,).

    All frames but the first are read, evenly thinned to T of them; of a stretch of one frame, that frame.
    """

    takes: Ints
    frames: Ints
    counts: Ints
    firsts: Ints

    @classmethod
    def of(cls, takes: Ints, frames: Ints, most: int | None, firsts: Ints | None = None) -> "Steps":
        """At most `most` steps of each stretch; of whole videos, each of another take, where `firsts` is None."""
        moments = np.maximum(frames - 1, 1)
        counts = moments if most is None else np.minimum(moments, most)
        return cls(takes, frames, counts, np.zeros(len(takes), np.int64) if firsts is None else firsts)

    @staticmethod
    def alone(frames: int, most: int | None) -> Ints:
        """The steps of one stretch of frames, counted from its first: those of a video of these frames alone."""
        return Steps.of(np.zeros(1, np.int64), np.array([frames], np.int64), most).indices(0)

    @functools.cached_property
    def offsets(self) -> Ints:
        """int64 (V + 1,): stretch v is rows offsets[v] to offsets[v + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def indices(self, stretch: int) -> Ints:
        """The frame_index of each step of a stretch, int64 (T,)."""
        frames, count = int(self.frames[stretch]), int(self.counts[stretch])
        return int(self.firsts[stretch]) + (frames > 1) + np.arange(count) * max(frames - 1, 1) // count

    def rows(self, takes: Ints, indices: Ints) -> Ints:
        """The row of each of these frames, int64; -1 for what is no step."""
        if not len(self.takes):
            return np.full(len(takes), -1)
        stretch = self._last_before(takes, indices)
        frames, count = self.frames[stretch], self.counts[stretch]
        moments, moment = np.maximum(frames - 1, 1), indices - self.firsts[stretch] - (frames > 1)
        step = -(-moment * count // moments)  # the only one that may be ⌊step · moments / count⌋ = moment
        kept = (self.takes[stretch] == takes) & (moment >= 0) & (step < count) & (step * moments // count == moment)
        return np.where(kept, self.offsets[stretch] + step, -1)

    def _last_before(self, takes: Ints, indices: Ints) -> Ints:
        """Of each of these frames the only stretch in which it may lie: the last of its take that begins no later.

        Where there is none, any, in which it does not lie.
        """
        order, known, keys = self._sorted
        take = np.minimum(np.searchsorted(known, takes), len(known) - 1)
        if len(order) == len(known):  # one stretch each
            return order[take]
        return order[np.maximum(np.searchsorted(keys, take * self._beyond + indices, side="right") - 1, 0)]

    @functools.cached_property
    def _beyond(self) -> int:
        """A frame_index past those of all stretches."""
        return int((self.firsts + self.frames).max()) + 1

    @functools.cached_property
    def _sorted(self) -> tuple[Ints, Ints, Ints]:
        """The stretches by take and first frame; the takes, each once; and one number that sorts the stretches so."""
        order = np.lexsort((self.firsts, self.takes))
        known, take = np.unique(self.takes, return_inverse=True)
        return order, known, (take * self._beyond + self.firsts)[order]
