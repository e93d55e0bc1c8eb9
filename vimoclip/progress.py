"""Progress: how a long operation tells whoever called it how far it is.

An operation takes a Progress and calls it. What is made of that is the caller's affair: cli/progress.py draws a bar.
"""

import time


class Progress:
    """Told how far an operation is. This one ignores it all; a subclass overrides what it wants to hear.

    What a method raises ends the operation: a KeyboardInterrupt from one is Ctrl-C at that moment.
    """

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage begins, and the one before has ended.

        Args:
            name: what is done in it, in a word or two: `loading models`, `epoch 3`, the name of a table.
            total: how many items it has; None where that is not known, or where it has none to count.
        """

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """`n` more items of the stage are done.

        Args:
            n: 0 where only the note is new. A video is one item, and its frames come in many batches.
            note: how fast it goes, in words: `17 frames/s`. The operation writes it, for only the operation counts what
                is finer than its items (frames of videos, videos of batches) and knows which worker gave how many.
                None leaves the note as it was.
        """

    def message(self, text: str) -> None:
        """A line that is to stay: what is about to be done, a video that failed, the figures of an epoch."""


NO_PROGRESS = Progress()


class Throughput:
    """Items a second since it was made, as notes."""

    def __init__(self, items: str, digits: int = 0) -> None:
        """items: what is counted, in words. digits: after the decimal point."""
        self._items, self._digits = items, digits
        self._count, self._began = 0, time.monotonic()

    def add(self, count: int) -> str:
        """`count` more items are done; the rate so far, such as `17 frames/s`."""
        self._count += count
        seconds = max(time.monotonic() - self._began, 1e-3)
        return f"{self._count / seconds:.{self._digits}f} {self._items}/s"
