"""Intervals: known answers, and how often they hold the truth."""

import numpy as np
import pytest

from vimoclip.training.metrics import interval, paired


def test_known_answers_of_a_table_of_t() -> None:
    found = interval([1.0, 2.0, 3.0])  # s = 1, t(2) = 4.3027
    assert found.mean == 2.0
    assert found.half == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert found.low == pytest.approx(2.0 - 4.302653 / 3**0.5, rel=1e-6)
    assert interval([1.0, 2.0, 3.0], 0.9).half == pytest.approx(2.919986 / 3**0.5, rel=1e-6)


def test_one_value_has_no_interval_and_none_is_refused() -> None:
    assert (interval([5.0]).mean, interval([5.0]).low, interval([5.0]).half) == (5.0, None, None)
    with pytest.raises(ValueError, match="one value or more"):
        interval([])
    with pytest.raises(ValueError, match="zip"):
        paired([1.0], [1.0, 2.0])


def test_it_holds_the_true_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, (2000, 5))
    held = [found.low <= 3.0 <= found.high for found in map(interval, draws.tolist())]  # type: ignore[operator]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_pairs_cancel_what_both_have() -> None:
    seeds = [10.0, 50.0, 90.0]
    found = paired([seed + difference for seed, difference in zip(seeds, (1.0, 1.1, 0.9), strict=True)], seeds)
    assert found.mean == pytest.approx(1.0)
    assert found.low is not None and found.low > 0.7
