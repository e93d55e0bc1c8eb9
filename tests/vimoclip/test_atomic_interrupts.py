"""An interrupt inside `defer_interrupts` arrives at its end, once."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from vimoclip.atomic import defer_interrupts


@pytest.fixture
def arrivals() -> Iterator[list[int]]:
    """Numbers of the signals that arrive, in order."""
    found: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: found.append(number)) for number in numbers}
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def test_it_arrives_at_the_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with defer_interrupts():
            signal.raise_signal(signal.SIGINT)
            done.append("committed")
        done.append("not reached")
    assert done == ["committed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_arrives_once_however_often_it_was_sent(arrivals: list[int], number: signal.Signals) -> None:
    with defer_interrupts():
        for _ in range(3):
            signal.raise_signal(number)
        assert arrivals == []
    assert arrivals == [number]


def test_nothing_arrives_when_nothing_was_sent_and_handlers_are_put_back(arrivals: list[int]) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with defer_interrupts():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert arrivals == []
    signal.raise_signal(signal.SIGINT)
    assert arrivals == [signal.SIGINT]


def test_nested_it_arrives_at_the_end_of_the_outer_block(arrivals: list[int]) -> None:
    with defer_interrupts():
        with defer_interrupts():
            signal.raise_signal(signal.SIGINT)
        assert arrivals == []
    assert arrivals == [signal.SIGINT]


def test_it_arrives_though_the_block_fails(arrivals: list[int]) -> None:
    with pytest.raises(OSError, match="full"), defer_interrupts():
        signal.raise_signal(signal.SIGTERM)
        raise OSError("full")
    assert arrivals == [signal.SIGTERM]


def test_keyboard_interrupt_goes_before_the_blocks_own_error_and_keeps_it() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, defer_interrupts():
        signal.raise_signal(signal.SIGINT)
        raise OSError("full")
    assert isinstance(caught.value.__context__, OSError)


def test_in_a_thread_it_changes_nothing(arrivals: list[int]) -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def block() -> None:
        with defer_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [before]
    assert arrivals == []


def test_in_a_process_a_real_signal_waits_for_the_block() -> None:
    code = (
        "import sys, time\n"
        "from vimoclip.atomic import defer_interrupts\n"
        "with defer_interrupts():\n"
        "    print('in', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    print('whole', flush=True)\n"
        "print('after', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == "in\n"
        os.kill(child.pid, signal.SIGTERM)
        time.sleep(0.1)
        assert child.poll() is None
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.read() == "whole\n"
        assert child.wait(10) == -signal.SIGTERM
