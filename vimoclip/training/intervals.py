"""Means of a few repetitions and how sure they are: Student's t, since a handful of seeds is not many."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds the true one at the given confidence. low, high: None for one value alone."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def half(self) -> float | None:
        """Half of its width."""
        return None if self.high is None else self.high - self.mean


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """x̄ ± t(n − 1) · s / √n, of independent values of about a normal distribution.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("an interval is of one value or more")
    mean, n = math.fsum(values) / len(values), len(values)
    if n == 1:
        return Interval(mean, None, None, 1)
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def paired(ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval of ours − theirs, pair by pair: whatever a seed does to both does not count.

    Raises:
        ValueError: no values, or not as many of one as of the other.
    """
    return interval([a - b for a, b in zip(ours, theirs, strict=True)], confidence)
