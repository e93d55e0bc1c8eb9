"""Coats look like what they are called, and noise is the same wherever it is asked for."""

import numpy as np

from vimoclip.savannah import drawing


def test_a_zebra_is_black_and_white_and_a_giraffe_in_patches() -> None:
    y, x = np.mgrid[0:40:0.25, 0:60:0.25].astype(float)
    zebra = drawing.striped(drawing.plain((240, 240, 240), 0.0), (30, 30, 30), 10.0)(x, y)[..., 0]
    assert ((zebra < 60) | (zebra > 210)).mean() > 0.7
    crossings = np.abs(np.diff((zebra > 135).astype(int), axis=1)).sum(1)
    assert 10 <= np.median(crossings) <= 14  # six stripes, two edges each
    giraffe = drawing.patched((230, 200, 150), (140, 80, 40), 12.0)(x, y)[..., 2]
    assert 0.5 < (giraffe < 95).mean() < 0.9


def test_noise_is_smooth_and_its_own_everywhere() -> None:
    y, x = np.mgrid[-50:50:1.0, -50:50:1.0]
    values = drawing.noise(x, y, 10.0, 3)
    assert values.min() >= 0 and values.max() < 1 and values.std() > 0.1
    assert np.abs(np.diff(values, axis=0)).max() < 0.16  # at most 1.5 cells' worth a cell, each of ten steps
    assert np.array_equal(drawing.noise(x[:7], y[:7], 10.0, 3), values[:7])
    assert not np.array_equal(drawing.noise(x, y, 10.0, 4), values)
