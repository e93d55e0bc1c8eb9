"""Vectors as arrays: whatever form Arrow has them in, the numbers are those that Arrow itself lists."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vimoclip
from tests.vimoclip.stores import embedded, make_store
from vimoclip.frames import vectors

TYPES = {np.float16: pa.float16(), np.float32: pa.float32(), np.float64: pa.float64()}


@given(st.data(), st.sampled_from(list(TYPES)), st.integers(1, 4))
def test_chunks_slices_and_nulls(data: st.DataObject, dtype: type[np.floating], width: int) -> None:
    row = st.none() | st.lists(st.integers(-9, 9).map(float), min_size=width, max_size=width)
    kind = pa.list_(TYPES[dtype], width)
    chunks = []
    for rows in data.draw(st.lists(st.lists(row, max_size=5), max_size=3)):
        array = pa.array([None if row is None else [dtype(x) for x in row] for row in rows], kind)
        first = data.draw(st.integers(0, len(array)))
        chunks.append(array.slice(first, data.draw(st.integers(0, len(array) - first))))
    column = pa.chunked_array(chunks, kind)
    expected = [[math.nan] * width if row is None else row for row in column.to_pylist()]
    found = vectors(column)
    assert (found.dtype, found.shape) == (np.dtype(dtype), (len(column), width))
    assert np.array_equal(found, np.array(expected, dtype).reshape(-1, width), equal_nan=True)
    for chunk in chunks:
        assert np.array_equal(vectors(chunk), vectors(pa.chunked_array([chunk])), equal_nan=True)


def test_one_chunk_is_a_view_that_cannot_be_written_to() -> None:
    values = np.arange(12, dtype=np.float16)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values), 4).slice(1)
    found = vectors(column)
    assert found.__array_interface__["data"][0] == column.values.buffers()[1].address + 8
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1
    shared = torch.utils.dlpack.from_dlpack(found)  # which warns of nothing
    assert shared.data_ptr() == column.values.buffers()[1].address + 8
    assert shared.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]


def test_what_a_store_holds(tmp_path: Path) -> None:
    rows = make_store(tmp_path / "store").sequence("a.mp4")
    put = embedded("a.mp4", 0, 5).features
    assert np.array_equal(vimoclip.vectors(rows["clip"]), put["clip"].values)
    motion = vimoclip.vectors(rows["moclip"])
    assert np.isnan(motion[0]).all() and np.array_equal(motion[1:], put["moclip"].values[1:])


@pytest.mark.parametrize("column", [pa.array([1.0]), pa.array([[1.0]]), pa.array([[1]], pa.list_(pa.int8(), 1))])
def test_other_columns_are_refused(column: pa.Array) -> None:
    with pytest.raises(ValueError, match="fixed-size lists of floating-point numbers, not"):
        vectors(column)
