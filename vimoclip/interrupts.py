"""Holding back Ctrl-C across a commit: half a flush cannot be told from none, and must not be repeated."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Deliver an interrupt that arrives inside the block at its end. Only the main thread receives any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    before = {number: signal.signal(number, lambda *what: arrived.append(what)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:  # also when the block failed: whoever asked to stop must not be ignored
            signal.raise_signal(arrived[0][0])
