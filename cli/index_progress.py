"""How far an index run is, on stderr."""

from types import TracebackType
from typing import Self

from rich.progress import Progress

from cli import render
from pipelines.index import Observer


class IndexProgress(Observer):
    """A bar, where stderr is a terminal."""

    def __init__(self) -> None:
        self._bar = Progress(console=render.err, transient=True, disable=not render.err.is_terminal)
        self._task = self._bar.add_task("segments", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def waiting(self, holder: str) -> None:
        render.waiting(holder)

    def videos(self, done: int, of: int) -> None:
        self._bar.update(self._task, completed=done, total=of)

    def indexing(self, space: str) -> None:
        self._bar.update(self._task, description=f"index of {space}", total=None)
