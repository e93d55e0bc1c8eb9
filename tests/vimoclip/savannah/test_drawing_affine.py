"""Affine maps: known answers, and maps undone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimoclip.savannah.drawing import IDENTITY, Affine, apply, compose, invert, place

angles = st.floats(-7, 7)
lengths = st.floats(-300, 300)
scales = st.floats(0.05, 4)
maps = st.builds(lambda x, y, turn, sx, sy: place((x, y), turn, (sx, -sy)), lengths, lengths, angles, scales, scales)


def test_known_answers() -> None:
    quarter = place((10.0, 20.0), math.pi / 2, (2.0, 3.0))
    assert apply(quarter, (1, 0)) == pytest.approx((10, 22))  # x has turned towards y, which is down
    assert apply(quarter, (0, 1)) == pytest.approx((7, 20))
    assert apply(IDENTITY, (4, 5)) == (4, 5)


@given(maps, maps, lengths, lengths)
def test_composed_is_one_after_the_other(outer: Affine, inner: Affine, x: float, y: float) -> None:
    assert apply(compose(outer, inner), (x, y)) == pytest.approx(apply(outer, apply(inner, (x, y))), abs=1e-6)


@given(maps, lengths, lengths)
def test_inverted_is_the_way_back(map_: Affine, x: float, y: float) -> None:
    assert apply(invert(map_), apply(map_, (x, y))) == pytest.approx((x, y), abs=1e-6)
