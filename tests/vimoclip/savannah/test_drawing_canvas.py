"""Shapes cover as much as their areas, and colours are laid on by it."""

import numpy as np
import pytest

from vimoclip.savannah.drawing import cover, ellipse, lay


def test_covering_by_area() -> None:
    square = cover([[(1.5, 1.5), (4.5, 1.5), (4.5, 3.5), (1.5, 3.5)]], (8, 6))
    assert (square > 0).sum() in range(6, 13) and (square[2:4, 2:5] == 255).all()
    disc = cover([ellipse(20.0, 20.0, 12.0, 7.0)], (41, 41))
    assert disc.sum() / 255 == pytest.approx(np.pi * 12 * 7, rel=0.06)
    assert set(np.unique(disc)) <= {round(255 * n / 9) for n in range(10)}
    assert not cover([], (5, 4)).any()


def test_laying_a_colour() -> None:
    picture = np.full((4, 4, 3), 100.0)
    mask = np.zeros((4, 4), np.uint8)
    mask[1, 2], mask[2, 2] = 255, 51
    lay(picture, mask, (200, 0, 100))
    assert picture[1, 2].tolist() == [200, 0, 100]
    assert picture[2, 2].tolist() == pytest.approx([120, 80, 100])
    assert (picture[0] == 100).all()
