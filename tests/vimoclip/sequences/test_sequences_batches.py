"""Batches hold every video once, are equally large, are computed with little padding, and follow from the seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimoclip.sequences.sequences import (
    MAX_PADDING,
    batches_by_length,
    cut_by_length,
    even_batches,
    padding_share,
    shuffled_batches,
)

LENGTHS = st.lists(st.integers(1, 2000), min_size=1, max_size=60).map(np.array)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 3), st.integers(0, 3))
def test_every_video_is_in_one_batch_and_padding_is_bounded(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> None:
    drawn = shuffled_batches(lengths, batch_size, seed, epoch)
    parts = [part for batch in drawn for part in cut_by_length(batch, lengths)]
    for batches in (parts, batches_by_length(lengths, batch_size)):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert all(0 < len(batch) <= batch_size for batch in batches)
        padded = sum(len(batch) * max(lengths[batch]) for batch in batches)
        assert padding_share(batches, lengths) == pytest.approx(1 - lengths.sum() / padded)
        assert padding_share(batches, lengths) <= MAX_PADDING + 1e-12


@given(LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_batches_are_full_whatever_the_lengths(lengths: np.ndarray, batch_size: int, epoch: int) -> None:
    batches = shuffled_batches(lengths, batch_size, 49, epoch)
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    assert all((np.diff(lengths[batch]) <= 0).all() for batch in batches)  # the longest first


@pytest.mark.parametrize("videos", [41, 200, 400, 1000, 1030, 2060])
def test_every_video_weighs_the_same_in_an_epoch(videos: int) -> None:
    """A step is of a batch's mean: a video in a batch of one would weigh eight times one in a batch of eight."""
    for seed in range(5):
        lengths = np.random.default_rng(seed).lognormal(np.log(140), 0.7, videos).astype(np.int64) + 1
        sizes = [len(batch) for batch in shuffled_batches(lengths, 8, 49, seed)]
        assert max(sizes) <= 1.2 * min(sizes) and len(sizes) == -(-videos // 8)


def test_the_batches_of_equal_videos_are_not_cut() -> None:
    lengths = np.full(41, 100)
    assert all(len(cut_by_length(batch, lengths)) == 1 for batch in shuffled_batches(lengths, 8, 49, 0))
    assert [batch.tolist() for batch in even_batches(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


def animal_kingdom() -> np.ndarray:
    return np.random.default_rng(0).lognormal(np.log(150), 0.7, 24_004).astype(np.int64) + 1


def test_batches_of_many_videos_are_full() -> None:
    lengths = animal_kingdom()
    batches = shuffled_batches(lengths, 8, 49, 0)
    assert len(batches) <= 1.01 * len(lengths) / 8


def test_seed_and_epoch_decide_the_order() -> None:
    lengths = animal_kingdom()[:3000]

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in shuffled_batches(lengths, 8, seed, epoch)]

    assert order(49, 0) == order(49, 0)
    assert order(49, 0) != order(49, 1) and order(49, 0) != order(50, 0)
    longest = [lengths[batch].max() for batch in shuffled_batches(lengths, 8, 49, 0)]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.15  # long ones come at no time of their own


def test_companions_change_from_epoch_to_epoch() -> None:
    lengths = animal_kingdom()[:3000]
    pairs = [
        {frozenset((a, b)) for batch in shuffled_batches(lengths, 8, 49, epoch) for a in batch for b in batch if a < b}
        for epoch in (0, 1)
    ]
    assert len(pairs[0] & pairs[1]) < 0.2 * len(pairs[0])


def test_scoring_begins_with_the_longest() -> None:
    batches = batches_by_length(np.array([3, 9, 1, 9, 4]), 2)
    assert [batch.tolist() for batch in batches] == [[1, 3], [4], [0], [2]]


def test_no_videos_no_batches() -> None:
    assert shuffled_batches(np.array([], np.int64), 8, 0, 0) == batches_by_length(np.array([], np.int64), 8) == []
    assert padding_share([], np.array([], np.int64)) == 0
