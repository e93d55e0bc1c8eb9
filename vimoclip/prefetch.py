"""Prefetcher: draws the items of an iterator in another thread, a few before they are needed."""

import contextlib
import queue
import threading
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_END = object()


class Prefetcher(Generic[T]):
    """An iterator that runs in a thread of its own, at most `size` items ahead of `get`.

    Args:
        items: what to draw from.
        size: how many items may wait.
    """

    def __init__(self, items: Iterable[T], size: int) -> None:
        self._items: queue.Queue[Any] = queue.Queue(size)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw, args=(items,), name="vimoclip-prefetch", daemon=True)
        self._thread.start()

    def _draw(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                self._put((item, None))
                if self._stop.is_set():
                    return
            self._put((_END, None))
        except BaseException as error:
            self._put((_END, error))

    def _put(self, item: object) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._items.put(item, timeout=0.1)
                return

    def get(self, timeout_s: float) -> T | None:
        """The next item.

        Args:
            timeout_s: how long to wait for it, seconds; 0 does not wait.

        Returns:
            None if there is not one yet.

        Raises:
            StopIteration: there are no more items. Any error that drawing them raised is raised here, too.
        """
        try:
            item, error = self._items.get(timeout=timeout_s) if timeout_s > 0 else self._items.get_nowait()
        except queue.Empty:
            return None
        if item is not _END:
            return item  # type: ignore[no-any-return]
        self._items.put((_END, error))  # for the next call
        raise StopIteration if error is None else error

    def stop(self, timeout_s: float) -> bool:
        """Stop drawing, and wait for the thread, which may itself be waiting for an item.

        Args:
            timeout_s: how long to wait, seconds.

        Returns:
            Whether the thread has ended.
        """
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
