"""What cosines are worth: how many random pairs of the store are less alike.

A cosine means little by itself: frames of one camera have 0.9 with each other, and a sentence hardly 0.3 with what it
describes. So each comes with its percentile among random pairs. Of segments those are pairs of the store's own, of two
videos; of texts they are everyday words with the store's segments.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vimoclip.search.corpus import Corpus

SAMPLE = 1024
"""Segments that are drawn: half of them with the other half are 262,144 pairs."""

_SEED = 0

Weights = Mapping[str, float]
"""What each space counts for; they add up to 1."""


class Background:
    """Cosines of random pairs.

    Attributes: `cosines`, fp32, ascending; empty where the store has no two segments to compare.
    """

    def __init__(self, corpus: Corpus, weights: Weights, others: NDArray[np.float32] | None = None) -> None:
        """others: (m, D) unit vectors to pair segments with, in the one space that is searched; None pairs segments."""
        rows = np.random.default_rng(_SEED).choice(len(corpus), min(SAMPLE, len(corpus)), replace=False)
        if others is not None:
            (space,) = weights
            found = corpus.unit_vectors(space, rows) @ others.T
        else:
            left, right = rows[: len(rows) // 2], rows[len(rows) // 2 :]
            found = _mixed(corpus, weights, left, right)
            apart = corpus.video[left][:, None] != corpus.video[right][None]
            found = found[apart] if apart.any() else found
        flat = found.ravel()
        self.cosines = np.sort(flat[np.isfinite(flat)])

    def percentile(self, score: float) -> float | None:
        """Of 100 random pairs, how many are less alike; None where there are none."""
        if not len(self.cosines):
            return None
        return 100.0 * float(np.searchsorted(self.cosines, np.float32(score), "left")) / len(self.cosines)

    def least(self, percentile: float) -> float:
        """The least score that has this percentile; above all where no score of a random pair has."""
        need = int(np.ceil(percentile / 100 * len(self.cosines) - 1e-6))  # floats round
        if need == 0:
            return -np.inf
        return float(np.nextafter(self.cosines[need - 1], np.float32(np.inf)))


def _mixed(corpus: Corpus, weights: Weights, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weighted cosines (n, m), over the spaces that both have; NaN where they share none."""
    total = np.zeros((len(left), len(right)), np.float32)
    share = np.zeros_like(total)
    for space, weight in weights.items():
        a, b = corpus.unit_vectors(space, left), corpus.unit_vectors(space, right)
        both = weight * (~np.isnan(a[:, :1]) & ~np.isnan(b[:, 0]))
        total += np.where(both > 0, weight * (a @ b.T), 0)
        share += both
    return np.divide(total, share, out=np.full_like(total, np.nan), where=share > 0)
