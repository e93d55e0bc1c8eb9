"""The ranking of segments by their cosine with a query, best first: exact, or by the index of a large table.

Exact where no more rows than EXACT_ROWS may be an answer, where a space has no index, and wherever the index does not
give enough. What it gives are approximately the nearest of the table, and the rows that are not in it are compared
exactly.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vimoclip.bouts import Bout
from vimoclip.search.corpus import Corpus, Rows
from vimoclip.search.cosine import cosines
from vimoclip.search.query import Query
from vimoclip.store import vector_index

# What cosines are worth: how many random pairs of the store are less alike.
#
# A cosine means little by itself: frames of one camera have 0.9 with each other, and a sentence hardly 0.3 with what it
# describes. So each comes with its percentile among random pairs. Of segments those are pairs of the store's own, of
# two videos; of texts they are everyday words with the store's segments.


BASELINE_SEGMENTS = 1024
"""Segments that are drawn: half of them with the other half are 262,144 pairs."""

_SEED = 0

Weights = Mapping[str, float]
"""What each space counts for; they add up to 1."""


class RandomPairBaseline:
    """Cosines of random pairs.

    Attributes: `cosines`, fp32, ascending; empty where the store has no two segments to compare.
    """

    def __init__(self, corpus: Corpus, weights: Weights, others: NDArray[np.float32] | None = None) -> None:
        """others: (m, D) unit vectors to pair segments with, in the one space that is searched; None pairs segments."""
        rows = np.random.default_rng(_SEED).choice(len(corpus), min(BASELINE_SEGMENTS, len(corpus)), replace=False)
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


EXACT_ROWS = 250_000
"""Up to so many rows, comparing with each takes less than a tenth of a second."""

_SORTED = 4096
_INDEX_TOLERANCE = 1e-3  # by so much its cosines are off: it rounds lengths, and hits are therefore compared again
_FIRST, _MORE, _MOST = 4, 8, 8192
"""The index is asked for _FIRST hits a bout, then for _MORE times as many, up to _MOST; then all are compared."""


_MISSING_SPACES: tuple[set[str], ...] = (set(), {"motion"}, {"behaviour"}, {"motion", "behaviour"})
"""What segments may lack: motion, and what a model of motion alone makes of a single frame."""


@dataclass(frozen=True)
class Candidates:
    """Which rows may be an answer.

    allowed: of every row, (n,); None is all. without: rows that may not, in ascending order. least: score.
    """

    allowed: NDArray[np.bool_] | None
    without: Rows
    least: float

    def count(self, corpus: Corpus) -> int:
        """How many rows, whatever their score."""
        if self.allowed is None:
            return len(corpus) - len(self.without)
        return int(self.allowed.sum()) - int(self.allowed[self.without].sum())

    def rows(self, corpus: Corpus) -> Rows:
        """All of them."""
        return self.among(np.arange(len(corpus)) if self.allowed is None else np.flatnonzero(self.allowed))

    def among(self, rows: Rows) -> Rows:
        """Those of `rows`, which may hold -1 for none."""
        rows = rows[rows >= 0]
        if self.allowed is not None:
            rows = rows[self.allowed[rows]]
        return rows[~np.isin(rows, self.without)] if len(self.without) else rows


@dataclass(frozen=True)
class Ranking:
    """Rows and their scores, fp32, in no order, down to the score `least`.

    exact: whether every row that may be an answer is in it. last: whether no longer ranking holds more that passes.
    """

    rows: Rows
    scores: NDArray[np.float32]
    least: float
    exact: bool
    last: bool

    @property
    def best(self) -> float | None:
        """The best score, whether it passes or not."""
        top = self.scores.max(initial=-np.inf)
        return float(top) if np.isfinite(top) else None

    def hits(self, corpus: Corpus) -> Iterator[Bout]:
        """As `bouts` takes them, best first: the first few are not kept waiting until all are in order."""
        passing = np.flatnonzero(self.scores >= max(self.least, -2.0))
        if len(passing) > _SORTED:
            among = np.argpartition(self.scores[passing], -_SORTED)
            yield from self._in_order(corpus, passing[among[-_SORTED:]])
            passing = passing[among[:-_SORTED]]
        yield from self._in_order(corpus, passing)

    def _in_order(self, corpus: Corpus, at: NDArray[np.int64]) -> Iterator[Bout]:
        at = at[np.lexsort((self.rows[at], -self.scores[at]))]
        rows = self.rows[at]
        video, start, end = (column[rows].tolist() for column in (corpus.video, corpus.start_s, corpus.end_s))
        yield from starmap(Bout, zip(video, start, end, self.scores[at].tolist(), rows.tolist(), strict=True))


def space_scores(corpus: Corpus, query: Query, weights: Weights, rows: Rows) -> NDArray[np.float32]:
    """Weighted cosines of rows, fp32 (n,), over the spaces that both have; -inf where they share none."""
    total, share = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.float32)
    for space, weight in weights.items():
        for part, (values, lengths) in corpus.pieces(space, rows):
            total[part] += weight * cosines(values, lengths, query.vectors[space])
            share[part] += weight * (lengths > 0)
    found = np.divide(total, share, out=np.full_like(total, -np.inf), where=share > 0)
    return np.clip(found, None, 1.0)


def rankings(corpus: Corpus, query: Query, weights: Weights, most: int, candidates: Candidates) -> Iterator[Ranking]:
    """Rankings of the candidates, each longer than the one before, until one is the last.

    most: bouts that are wanted.
    """
    if weights.keys() <= corpus.indexed.keys() and candidates.count(corpus) > EXACT_ROWS:
        asked = _FIRST * most
        while asked <= _MOST:
            ranking = _by_index(corpus, query, weights, asked, candidates)
            yield ranking
            if ranking.last:
                return
            asked *= _MORE
    rows = candidates.rows(corpus)
    yield Ranking(rows, space_scores(corpus, query, weights, rows), candidates.least, exact=True, last=True)


def _by_index(corpus: Corpus, query: Query, weights: Weights, asked: int, candidates: Candidates) -> Ranking:
    """A ranking from the `asked` nearest in each space, down to where another row could come in between."""
    where = None
    if candidates.allowed is not None:
        takes = corpus.takes[np.unique(corpus.video[candidates.allowed])]
        if len(takes) < len(corpus.takes):
            where = pc.field("take").isin(pa.array(takes, pa.int64()))
    parts, seen = [corpus.fresh_rows], dict[str, float]()
    for space in weights:
        near = vector_index.nearest_vectors(corpus.indexed[space], space, query.vectors[space], asked, where)
        parts.append(corpus.table_rows(near.address))
        seen[space] = float(near.cosine[-1]) if len(near.cosine) == asked else -1.0
    # No row that was not seen scores above this, whichever of the spaces that a segment may lack it does.
    unseen = max(_mean(weights, seen, lacking) for lacking in _MISSING_SPACES)
    rows = candidates.among(np.unique(np.concatenate(parts)))
    found = space_scores(corpus, query, weights, rows)
    kept = found >= unseen - _INDEX_TOLERANCE
    last = bool(kept.any()) and unseen < candidates.least - _INDEX_TOLERANCE
    return Ranking(rows[kept], found[kept], candidates.least, exact=False, last=last)


def _mean(weights: Weights, seen: dict[str, float], lacking: set[str]) -> float:
    """The weighted mean of cosines over the spaces but those; -1 where none is left."""
    rest = {space: weight for space, weight in weights.items() if space not in lacking}
    total = sum(rest.values())
    return sum(weight * seen[space] for space, weight in rest.items()) / total if total > 0 else -1.0
