"""Cosines from fp16 by moved bits, held against plain arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vimoclip.cosines import cosines, unit


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 1000])
def test_dot_products(n: int) -> None:
    rng = np.random.default_rng(n)
    raw = rng.normal(size=(n, 48))
    z = np.asarray(raw / np.linalg.norm(raw, axis=1)[:, None], np.float16)
    query = rng.normal(size=48).astype(np.float32)
    assert np.allclose(cosines(z, query), z.astype(np.float32) @ query, rtol=0, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 0xFFFF).filter(lambda h: h & 0x7C00 != 0x7C00), min_size=1, max_size=64))
def test_every_finite_value_is_what_numpy_says(bits: list[int]) -> None:
    values = np.array(bits, np.uint16).view(np.float16)[:, None]
    assert np.array_equal(cosines(values, np.ones(1, np.float32)), values[:, 0].astype(np.float32))


def test_unit() -> None:
    found = unit(np.array([3.0, 4.0]))
    assert found is not None and found.tolist() == pytest.approx([0.6, 0.8])
    for bad in ([0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]):
        assert unit(np.array(bad)) is None
