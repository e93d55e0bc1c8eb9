"""CommitBuffer: what goes in is committed once, in order, and nothing that went in is held on to."""

import time
import weakref

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimoclip.store.rows import CommitBuffer

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("data", pa.binary())])


def rows(numbers: list[int]) -> pa.Table:
    return pa.table([pa.array(numbers, pa.int64()), pa.array([b"x" * (n % 7) or None for n in numbers])], SCHEMA)


@given(st.lists(st.one_of(st.none(), st.lists(st.integers(0, 1000), max_size=5)), max_size=12))
def test_rows_come_out_in_order_however_often_they_are_asked_for(steps: list[list[int] | None]) -> None:
    committed: list[pa.Table] = []
    buffer, expected = CommitBuffer(SCHEMA, committed.append), list[int]()
    for step in steps:
        if step is None:
            assert buffer.table().equals(rows(expected))
        else:
            buffer.add(rows(step))
            expected += step
    assert buffer.table().equals(rows(expected))
    assert buffer.rows == len(expected)
    assert buffer.flush() == bool(expected)
    assert [table.equals(rows(expected)) for table in committed] == [True] * bool(expected)
    assert (buffer.rows, buffer.bytes) == (0, 0)
    assert buffer.table().equals(rows([])) and not buffer.flush()


def test_a_commit_that_fails_or_a_lock_that_is_lost_loses_nothing() -> None:
    failing, committed, calls = [True], list[pa.Table](), list[str]()

    def commit(table: pa.Table) -> None:
        if failing:
            raise OSError("the disk is full")
        committed.append(table)

    buffer = CommitBuffer(SCHEMA, commit, lambda: calls.append("checked"))
    buffer.add(rows([1, 2]))
    with pytest.raises(OSError, match="full"):
        buffer.flush()
    assert buffer.rows == 2
    failing.clear()
    buffer.add(rows([3]))
    assert buffer.flush() and [table["n"].to_pylist() for table in committed] == [[1, 2, 3]]
    assert calls == ["checked", "checked"]


def test_rows_are_due_at_a_limit() -> None:
    assert not CommitBuffer(SCHEMA, list, max_s=1e-9).due  # nothing waits
    for limits in ({"max_rows": 3}, {"max_bytes": rows([1, 2, 3]).nbytes}):
        buffer = CommitBuffer(SCHEMA, list, **limits)
        buffer.add(rows([1, 2]))
        assert not buffer.due
        buffer.add(rows([3]))
        assert buffer.due and buffer.flush() and not buffer.due
    buffer = CommitBuffer(SCHEMA, list, max_s=0.01)
    buffer.add(rows([1]))
    time.sleep(0.02)
    assert buffer.due


def test_another_schema_is_refused_and_changes_nothing() -> None:
    buffer = CommitBuffer(SCHEMA, list)
    buffer.add(rows([1, 2]))
    size = buffer.bytes
    with pytest.raises(pa.ArrowInvalid):
        buffer.add(pa.table({"n": pa.array([3], pa.int32())}))
    buffer.add(rows([4]))
    assert buffer.table()["n"].to_pylist() == [1, 2, 4]
    assert buffer.bytes == size + rows([4]).nbytes


def test_the_arrays_that_rows_came_in_are_let_go() -> None:
    buffer, source = CommitBuffer(SCHEMA, list), np.arange(1000)
    held = weakref.ref(source)
    wrapped = pa.array(source)  # no copy: it keeps the array alive
    buffer.add(pa.table([wrapped, pa.nulls(1000, pa.binary())], SCHEMA))
    del source, wrapped
    assert held() is None
    assert buffer.table()["n"].to_pylist() == list(range(1000))
