"""Ahead: everything arrives in order, bounded, with its errors; and stopping never waits for the source."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimoclip.prefetch import Prefetcher


def rest(ahead: Prefetcher[int]) -> Iterator[int | None]:
    try:
        while True:
            yield ahead.get(5)
    except StopIteration:
        return


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_items_arrive_in_order_and_the_end_stays_the_end(items: list[int], size: int) -> None:
    ahead = Prefetcher(items, size)
    assert list(rest(ahead)) == items
    for _ in range(2):
        with pytest.raises(StopIteration):
            ahead.get(0)
    assert ahead.stop(5)


def test_what_drawing_raises_is_raised_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyError("lost")

    ahead = Prefetcher(source(), 4)
    assert ahead.get(5) == 1
    for _ in range(2):
        with pytest.raises(KeyError, match="lost"):
            ahead.get(5)


def test_it_draws_only_so_far_ahead() -> None:
    drawn = []

    def source() -> Iterator[int]:
        for n in range(100):
            drawn.append(n)
            yield n

    ahead = Prefetcher(source(), 3)
    assert ahead.get(5) == 0
    time.sleep(0.3)
    assert len(drawn) <= 1 + 3 + 1  # taken, waiting, and in the thread's hand
    assert ahead.stop(5)


def test_a_source_that_hangs_does_not_hang_the_caller() -> None:
    wait = threading.Event()

    def source() -> Iterator[int]:
        wait.wait()
        yield 1

    ahead = Prefetcher(source(), 1)
    assert ahead.get(0.05) is None
    assert ahead.get(0) is None
    assert not ahead.stop(0.05)
    wait.set()
    assert ahead.stop(5)
