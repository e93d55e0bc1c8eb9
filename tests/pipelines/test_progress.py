"""Rates by a clock that the test sets."""

import pytest

from pipelines.progress import WINDOW_S, Rates, WorkerRate


class Clock:
    """Shows the time that it is set to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_frames_over_the_time_since_the_start_and_then_over_the_last_minute() -> None:
    clock = Clock()
    counted = Rates(clock)
    assert counted.workers() == []
    for _ in range(10):
        clock.now += 1
        counted.add("GPU 0 of a", 30)
        counted.add("GPU 1 of a", 10)
    assert counted.workers() == [WorkerRate("GPU 0 of a", 300, 30.0), WorkerRate("GPU 1 of a", 100, 10.0)]
    clock.now += WINDOW_S - 5
    counted.add("GPU 1 of a", 60)
    (first, second) = counted.workers()
    assert (first.frames, second.frames) == (300, 160)
    assert first.frames_per_s == pytest.approx(6 * 30 / WINDOW_S)  # those of the last six of ten seconds
    assert second.frames_per_s == pytest.approx((6 * 10 + 60) / WINDOW_S)


def test_a_worker_that_is_gone_is_no_longer_named() -> None:
    clock = Clock()
    counted = Rates(clock)
    counted.add("process 1 of a", 5)
    clock.now += WINDOW_S + 1
    counted.add("process 2 of a", 5)
    assert [worker.name for worker in counted.workers()] == ["process 2 of a"]


def test_memory_is_bounded_by_the_window() -> None:
    clock = Clock()
    counted = Rates(clock)
    for _ in range(10_000):
        clock.now += 1
        counted.add("", 1)
    assert len(counted._lately[""]) <= WINDOW_S + 1
    assert counted.workers()[0].frames == 10_000


def test_a_note_names_the_workers_where_there_are_several() -> None:
    clock = Clock()
    counted = Rates(clock)
    clock.now += 10
    counted.add("GPU 0 of a", 300)
    assert counted.note(5) == "30 frames/s, 0.50 videos/s"
    counted.add("GPU 1 of a", 100)
    assert counted.note(5) == "40 frames/s, 0.50 videos/s (GPU 0 of a: 30, GPU 1 of a: 10)"
