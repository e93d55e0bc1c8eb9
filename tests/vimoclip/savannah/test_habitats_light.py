"""Light dims, haze hides, rain is sparse."""

import numpy as np

from vimoclip.savannah.habitats import hazy, lit, rain


def test_haze_hides_what_is_far() -> None:
    black = np.zeros((1, 1, 3))
    assert not hazy(black, "noon", "fog", 0.0).any()
    assert hazy(black, "noon", "fog", 1.0).min() > 150
    assert (lit(np.full((1, 1, 3), 200.0), "night") < 160).all()


def test_rain_is_sparse_and_of_streaks() -> None:
    drops = rain((96, 80), np.random.default_rng(3))
    assert drops.shape == (80, 96, 3) and 0.005 < (drops > 0).mean() < 0.1
    wet = drops[..., 0] > 0
    assert (wet[:-1] & wet[1:]).sum() > 0.6 * wet.sum()
