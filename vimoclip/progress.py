"""Progress: how a long operation reports how far it is.

An operation takes a `Progress` and calls its methods; the caller decides what becomes of them: cli/progress.py draws a
bar. `Throughput` words the rate that an operation reports; `count` and `time_in_words` word numbers and durations.
"""

import time


class Progress:
    """Receives how far an operation is. This one ignores everything; a subclass overrides the methods it needs.

    An exception from a method ends the operation: a KeyboardInterrupt from one is like Ctrl-C at that moment.
    """

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage begins, and the one before has ended.

        Args:
            name: what it does, in a word or two: `loading models`, `epoch 3`, the name of a table.
            total: the number of its items; None if it is not known, or if there is nothing to count.
        """

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """`n` more items of the stage are done.

        Args:
            n: 0 where only the note is new. A video is one item, and its frames come in many batches.
            note: the rate, in words: `17 frames/s`. The operation writes it, because only the operation counts what is
                finer than its items (frames of videos, videos of batches) and knows how much each worker gave. None
                keeps the last note.
        """

    def message(self, text: str) -> None:
        """A line that stays on the screen: what is about to be done, a video that failed, the results of an epoch."""

    def partial(self, items: float) -> None:
        """Say how much of the items in progress is done: 0.25 is a quarter of one.

        Args:
            items: 0 or more; it replaces what was said before, and is not counted by `advance`.
        """


NO_PROGRESS = Progress()


def count(number: int, noun: str, plural: str = "") -> str:
    """Format a number of things: `1 video`, `2 videos`; `plural` is for nouns that take more than an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def time_in_words(seconds: float) -> str:
    """Format a duration to about two digits: `54 s`, `12 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Throughput:
    """Items per second since this object was made, as notes for `Progress.advance`."""

    def __init__(self, items: str, digits: int = 0) -> None:
        """Start the clock.

        Args:
            items: what is counted, in words.
            digits: digits after the decimal point.
        """
        self._items, self._digits = items, digits
        self._count, self._began = 0, time.monotonic()

    def add(self, count: int) -> str:
        """Count more items.

        Returns:
            The rate so far, such as `17 frames/s`.
        """
        self._count += count
        seconds = max(time.monotonic() - self._began, 1e-3)
        return f"{self._count / seconds:.{self._digits}f} {self._items}/s"
