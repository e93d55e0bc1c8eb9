"""RowBuffer: what goes in comes out, once or again, and nothing that went in is held on to."""

import weakref

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimoclip.store.rows import RowBuffer

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("data", pa.binary())])


def rows(numbers: list[int]) -> pa.Table:
    return pa.table([pa.array(numbers, pa.int64()), pa.array([b"x" * (n % 7) or None for n in numbers])], SCHEMA)


@given(st.lists(st.one_of(st.none(), st.lists(st.integers(0, 1000), max_size=5)), max_size=12))
def test_rows_come_out_in_order_however_often_they_are_asked_for(steps: list[list[int] | None]) -> None:
    buffer, expected = RowBuffer(SCHEMA), list[int]()
    for step in steps:
        if step is None:
            assert buffer.table().equals(rows(expected))
        else:
            buffer.add(rows(step))
            expected += step
    assert buffer.table().equals(rows(expected))
    assert buffer.rows == len(expected)
    buffer.clear()
    assert (buffer.rows, buffer.bytes) == (0, 0)
    assert buffer.table().equals(rows([]))


def test_another_schema_is_refused_and_changes_nothing() -> None:
    buffer = RowBuffer(SCHEMA)
    buffer.add(rows([1, 2]))
    size = buffer.bytes
    with pytest.raises(pa.ArrowInvalid):
        buffer.add(pa.table({"n": pa.array([3], pa.int32())}))
    buffer.add(rows([4]))
    assert buffer.table()["n"].to_pylist() == [1, 2, 4]
    assert buffer.bytes == size + rows([4]).nbytes


def test_the_arrays_that_rows_came_in_are_let_go() -> None:
    buffer, source = RowBuffer(SCHEMA), np.arange(1000)
    held = weakref.ref(source)
    wrapped = pa.array(source)  # no copy: it keeps the array alive
    buffer.add(pa.table([wrapped, pa.nulls(1000, pa.binary())], SCHEMA))
    del source, wrapped
    assert held() is None
    assert buffer.table()["n"].to_pylist() == list(range(1000))
