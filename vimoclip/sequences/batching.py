"""Which videos go into a batch together: those of about one length, so that little of a batch is padding.

An epoch's order is drawn anew from its seed and number: videos are shuffled, those of a pool of many batches are sorted
by length and cut into batches, and the batches of all pools are shuffled.
"""

import numpy as np
from numpy.typing import NDArray

MOST_PADDING = 0.05
"""The share of an epoch's steps that may be padding."""

POOL = 128  # batches; the fewer, the more freely videos meet, and the more padding
_LIMITS = (0.5, 0.3, 0.2, 0.15, 0.1, 0.075, MOST_PADDING)  # of one batch

Batches = list[NDArray[np.int64]]


def shuffled(lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> Batches:
    """The batches of an epoch, each of at most `batch_size` videos; every video is in one of them.

    Where padding would exceed `MOST_PADDING`, as between the few longest videos, batches are cut shorter.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    pool = batch_size * POOL
    pools = [_sorted(order[i : i + pool], lengths) for i in range(0, len(order), pool)]
    for limit in _LIMITS:
        batches = [batch for pool in pools for batch in _cut(pool, lengths, batch_size, limit)]
        if padding(batches, lengths) <= MOST_PADDING:
            break
    return [batches[i] for i in random.permutation(len(batches))]


def by_length(lengths: NDArray[np.int64], batch_size: int) -> Batches:
    """All videos, the longest first: for scoring, where their order is nothing, and what does not fit fails at once."""
    return _cut(_sorted(np.arange(len(lengths)), lengths), lengths, batch_size, MOST_PADDING)


def padding(batches: Batches, lengths: NDArray[np.int64]) -> float:
    """The share of the steps of these batches that is padding."""
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - sum(int(lengths[batch].sum()) for batch in batches) / padded if padded else 0.0


def _sorted(videos: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return videos[np.argsort(-lengths[videos], kind="stable")]  # equally long ones stay shuffled


def _cut(videos: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, limit: float) -> Batches:
    """Batches of videos that are sorted, the longest first; of each, no more than `limit` is padding."""
    batches, first, steps = [], 0, 0
    for i, length in enumerate(lengths[videos].tolist()):
        longest, count = lengths[videos[first]], i - first + 1
        if i > first and (count > batch_size or steps + length < (1 - limit) * count * longest):
            batches.append(videos[first:i])
            first, steps = i, 0
        steps += length
    return [*batches, videos[first:]] if len(videos) else []
