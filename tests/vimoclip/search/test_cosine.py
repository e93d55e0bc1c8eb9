"""Cosines from fp16 by moved bits, held against plain arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vimoclip.search.cosine import cosines, lengths, unit


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 1000])
def test_cosines(n: int) -> None:
    rng = np.random.default_rng(n)
    raw = rng.normal(size=(n, 48)) / 7
    z = np.asarray(raw, np.float16)
    z[n // 2 : n // 2 + 1] = 0  # one that is not there
    query = rng.normal(size=48)
    query /= np.linalg.norm(query)
    norms = np.linalg.norm(z.astype(np.float64), axis=1)
    assert np.allclose(lengths(z), norms, rtol=1e-6, atol=0)
    expected = np.divide(z.astype(np.float64) @ query, norms, out=np.zeros(n), where=norms > 0)
    assert np.allclose(cosines(z, lengths(z), query.astype(np.float32)), expected, rtol=0, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 0xFFFF).filter(lambda h: h & 0x7C00 != 0x7C00), min_size=1, max_size=64))
def test_every_finite_value_is_what_numpy_says(bits: list[int]) -> None:
    values = np.array(bits, np.uint16).view(np.float16)[:, None]
    one = np.ones(1, np.float32)
    assert np.array_equal(cosines(values, np.ones(len(values), np.float32), one), values[:, 0].astype(np.float32))


def test_unit() -> None:
    found = unit(np.array([3.0, 4.0]))
    assert found is not None and found.tolist() == pytest.approx([0.6, 0.8])
    for bad in ([0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]):
        assert unit(np.array(bad)) is None
