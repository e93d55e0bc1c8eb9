"""The ranking of segments by their cosine with a query, best first: exact, or by the index of a large table.

It is exact where at most EXACT_ROWS rows may be an answer, where a space has no index, and wherever the index does not
give enough. The index gives approximately the nearest rows of the table; rows that are not in it are compared exactly.
`RandomPairBaseline` says what a cosine is worth.
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
from vimoclip.search.query import ONE_ROW, MeanOf, Query
from vimoclip.store import vector_index

BASELINE_SEGMENTS = 1024
"""How many segments are drawn at random: one half paired with the other makes 262,144 pairs."""

BASELINE_ROWS = 4096
"""How many rows random means are made from, at most: 4 MB of vectors of 512."""

_RUNS, _MEANS = 2048, 128  # runs in a random mean, at most; and random means, at least, where there are so many
_SEED = 0

Weights = Mapping[str, float]
"""The weight of each space; they sum to 1."""

UnitVectors = Mapping[str, NDArray[np.float32]]
"""By space, unit vectors (n, D), NaN where one is missing."""


class RandomPairBaseline:
    """Cosines of random pairs, among which a score has a percentile.

    A cosine means little by itself: frames of one camera have 0.9 with each other, and a sentence hardly 0.3 with what
    it describes. A pair is a random query of the same kind and a random segment of the store:

    - for a single segment, a segment of another video;
    - for a mean of segments, such as a label or a whole video, the mean of as many segments at random places, in as
      many runs of segments that follow each other. A mean is closer to everything than the segments that it is made
      from, so that among pairs of single segments a label that means nothing would be far above chance;
    - for a text, an everyday text.

    A run of very many segments is thinned evenly, and at most 2,048 runs are drawn.

    Args:
        corpus: what is searched.
        weights: of the spaces.
        others: unit vectors (m, D) to pair segments with, in the one space that is searched; None pairs segments.
        mean_of: what the query is the mean of.

    Attributes:
        cosines: fp32, ascending; empty where the store has no two segments to compare.
    """

    def __init__(
        self,
        corpus: Corpus,
        weights: Weights,
        others: NDArray[np.float32] | None = None,
        mean_of: MeanOf = ONE_ROW,
    ) -> None:
        """Draw the pairs, the same ones each time."""
        rng = np.random.default_rng(_SEED)
        rows = rng.choice(len(corpus), min(BASELINE_SEGMENTS, len(corpus)), replace=False)
        if others is not None:
            (space,) = weights
            found = corpus.unit_vectors(space, rows) @ others.T
        elif mean_of == ONE_ROW:
            left, right = rows[: len(rows) // 2], rows[len(rows) // 2 :]
            found = _mixed(weights, _vectors(corpus, weights, left), _vectors(corpus, weights, right))
            apart = corpus.video[left][:, None] != corpus.video[right][None]
            found = found[apart] if apart.any() else found
        else:
            found = _of_means(corpus, weights, mean_of, rows[: BASELINE_SEGMENTS // 2], rng)
        flat = found.ravel()
        self.cosines = np.sort(flat[np.isfinite(flat)])

    def percentile(self, score: float) -> float | None:
        """Return how many of 100 random pairs are less alike than this score; None where there are no pairs."""
        if not len(self.cosines):
            return None
        return 100.0 * float(np.searchsorted(self.cosines, np.float32(score), "left")) / len(self.cosines)

    def least(self, percentile: float) -> float:
        """Return the least score that has this percentile; above every pair's score where none of them has it."""
        need = int(np.ceil(percentile / 100 * len(self.cosines) - 1e-6))  # floats round
        if need == 0:
            return -np.inf
        return float(np.nextafter(self.cosines[need - 1], np.float32(np.inf)))


class _Runs:
    """A corpus cut into runs of rows that follow each other in a video, about equally long; each row is in one."""

    def __init__(self, corpus: Corpus, rows: int) -> None:
        self._video = corpus.video
        self._sizes = np.bincount(corpus.video, minlength=len(corpus.video_ids)).astype(np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._parts = np.where(self._sizes > 0, np.maximum(1, np.rint(self._sizes / rows)), 0).astype(np.int64)
        self._ends = np.cumsum(self._parts)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def videos(self, runs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of the videos that runs are in."""
        return np.searchsorted(self._ends, runs, "right")

    def bounds(self, runs: NDArray[np.int64]) -> tuple[Rows, Rows]:
        """The first row of each run, and one past its last."""
        video = self.videos(runs)
        size, parts, start = self._sizes[video], self._parts[video], self._starts[video]
        number = runs - (self._ends[video] - parts)
        return start + number * size // parts, start + (number + 1) * size // parts

    def at(self, rows: Rows) -> NDArray[np.int64]:
        """The run that each row is in."""
        video = self._video[rows]
        size, parts = self._sizes[video], self._parts[video]
        return self._ends[video] - parts + ((rows - self._starts[video] + 1) * parts - 1) // size


def _of_means(
    corpus: Corpus, weights: Weights, mean_of: MeanOf, partners: Rows, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Cosines (n,) of random means with segments that are not in them; with a single run, of another video."""
    cut = _Runs(corpus, mean_of.rows)
    of_mean = min(mean_of.runs, len(cut), _RUNS)
    wanted = int(np.clip(BASELINE_ROWS // mean_of.rows, _MEANS, BASELINE_SEGMENTS // 2))
    drawn = np.sort(rng.choice(len(cut), min(len(cut), max(of_mean, wanted)), replace=False))
    if of_mean == 1:
        chosen = np.eye(len(drawn), dtype=np.bool_)
    elif of_mean == len(drawn):
        chosen = np.ones((1, len(drawn)), np.bool_)
    else:
        chosen = np.zeros((_MEANS, len(drawn)), np.bool_)
        order = rng.random(chosen.shape).argpartition(of_mean, axis=1)
        np.put_along_axis(chosen, order[:, :of_mean], True, axis=1)
    found = _mixed(weights, _means(corpus, weights, *cut.bounds(drawn), chosen), _vectors(corpus, weights, partners))
    own = cut.at(partners)
    place = np.minimum(np.searchsorted(drawn, own), len(drawn) - 1)
    outside = ~(chosen[:, place] & (drawn[place] == own))
    if of_mean == 1:
        other_video = cut.videos(drawn)[:, None] != corpus.video[partners][None]
        outside = other_video if other_video.any() else outside
    return np.asarray(found[outside] if outside.any() else found.ravel(), np.float32)


def _means(corpus: Corpus, weights: Weights, first: Rows, last: Rows, chosen: NDArray[np.bool_]) -> UnitVectors:
    """The mean directions (n, D) of the rows of several runs, in each space.

    Args:
        corpus: what is searched.
        weights: of the spaces.
        first: of m runs, their first rows, int64 (m,).
        last: one past their last rows.
        chosen: which runs each mean is made from, bool (n, m).
    """
    sizes = last - first
    read = np.minimum(sizes, max(1, BASELINE_ROWS // len(first)))
    begins = np.cumsum(read) - read
    run = np.repeat(np.arange(len(read)), read)
    rows = first[run] + (np.arange(len(run)) - begins[run]) * sizes[run] // read[run]
    means = {}
    for space in weights:
        sums = np.add.reduceat(np.nan_to_num(corpus.unit_vectors(space, rows)), begins, axis=0)
        total = chosen.astype(np.float32) @ (sums * (sizes / read).astype(np.float32)[:, None])
        length = np.linalg.norm(total, axis=1, keepdims=True)
        means[space] = np.divide(total, length, out=np.full_like(total, np.nan), where=length > 0)
    return means


def _vectors(corpus: Corpus, weights: Weights, rows: Rows) -> UnitVectors:
    return {space: corpus.unit_vectors(space, rows) for space in weights}


def _mixed(weights: Weights, left: UnitVectors, right: UnitVectors) -> NDArray[np.float32]:
    """Weighted cosines (n, m), over the spaces that both have; NaN where they share none."""
    shape = len(next(iter(left.values()))), len(next(iter(right.values())))
    total, share = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for space, weight in weights.items():
        a, b = left[space], right[space]
        both = weight * (~np.isnan(a[:, :1]) & ~np.isnan(b[:, 0]))
        total += np.where(both > 0, weight * (a @ b.T), 0)
        share += both
    return np.divide(total, share, out=np.full_like(total, np.nan), where=share > 0)


EXACT_ROWS = 250_000
"""Comparing with this many rows takes less than a tenth of a second."""

_SORTED = 4096
_INDEX_TOLERANCE = 1e-3  # how far the index's cosines may be off: it rounds lengths, so hits are compared again
_FIRST, _MORE, _MOST = 4, 8, 8192
"""The index is asked for _FIRST hits a bout, then for _MORE times as many, up to _MOST; then every row is compared."""


_MISSING_SPACES: tuple[set[str], ...] = (set(), {"motion"}, {"behaviour"}, {"motion", "behaviour"})
"""What segments may lack: motion, and what a model of motion alone makes of a single frame."""


@dataclass(frozen=True)
class Candidates:
    """Which rows may be an answer.

    Attributes:
        allowed: whether each row may be, bool (n,); None allows all.
        without: rows that may not be, int64, ascending.
        least: the least score.
    """

    allowed: NDArray[np.bool_] | None
    without: Rows
    least: float

    def count(self, corpus: Corpus) -> int:
        """Count the rows that may be an answer, whatever their score."""
        if self.allowed is None:
            return len(corpus) - len(self.without)
        return int(self.allowed.sum()) - int(self.allowed[self.without].sum())

    def rows(self, corpus: Corpus) -> Rows:
        """Return all of them, int64."""
        return self.among(np.arange(len(corpus)) if self.allowed is None else np.flatnonzero(self.allowed))

    def among(self, rows: Rows) -> Rows:
        """Return those of `rows` that may be an answer; a -1 among them is dropped."""
        rows = rows[rows >= 0]
        if self.allowed is not None:
            rows = rows[self.allowed[rows]]
        return rows[~np.isin(rows, self.without)] if len(self.without) else rows


@dataclass(frozen=True)
class Ranking:
    """Rows and their scores, in no order, down to the score `least`.

    Attributes:
        rows: int64 (n,).
        scores: fp32 (n,).
        least: the least score that passes.
        exact: whether every row that may be an answer is in it.
        last: whether no longer ranking has more rows that pass.
    """

    rows: Rows
    scores: NDArray[np.float32]
    least: float
    exact: bool
    last: bool

    @property
    def best(self) -> float | None:
        """The best score, whether it passes or not; None where nothing could be compared."""
        top = self.scores.max(initial=-np.inf)
        return float(top) if np.isfinite(top) else None

    def hits(self, corpus: Corpus) -> Iterator[Bout]:
        """Yield the rows that pass, as `bouts` takes them, best first; the first few come before all are in order."""
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
    """Compute the weighted cosines of rows with a query, over the spaces that both have.

    Args:
        corpus: what is searched.
        query: with a vector in each space of `weights`.
        weights: of the spaces.
        rows: int64 (n,).

    Returns:
        fp32 (n,); -inf where they share no space.
    """
    total, share = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.float32)
    for space, weight in weights.items():
        for part, (values, lengths) in corpus.pieces(space, rows):
            total[part] += weight * cosines(values, lengths, query.vectors[space])
            share[part] += weight * (lengths > 0)
    found = np.divide(total, share, out=np.full_like(total, -np.inf), where=share > 0)
    return np.clip(found, None, 1.0)


def rankings(corpus: Corpus, query: Query, weights: Weights, most: int, candidates: Candidates) -> Iterator[Ranking]:
    """Rank the candidates.

    Args:
        corpus: what is searched.
        query: what for.
        weights: of the spaces.
        most: how many bouts are wanted.
        candidates: which rows may be an answer.

    Yields:
        Rankings, each longer than the one before, until one is the last.
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
    """Rank the `asked` nearest rows in each space, down to the score where an unseen row could come in between."""
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
    # No unseen row scores above this, whichever of the optional spaces it lacks.
    unseen = max(_mean(weights, seen, lacking) for lacking in _MISSING_SPACES)
    rows = candidates.among(np.unique(np.concatenate(parts)))
    found = space_scores(corpus, query, weights, rows)
    kept = found >= unseen - _INDEX_TOLERANCE
    last = bool(kept.any()) and unseen < candidates.least - _INDEX_TOLERANCE
    return Ranking(rows[kept], found[kept], candidates.least, exact=False, last=last)


def _mean(weights: Weights, seen: dict[str, float], lacking: set[str]) -> float:
    """The weighted mean of cosines over the spaces that are not lacking; -1 where none is left."""
    rest = {space: weight for space, weight in weights.items() if space not in lacking}
    total = sum(rest.values())
    return sum(weight * seen[space] for space, weight in rest.items()) / total if total > 0 else -1.0
