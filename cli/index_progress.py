"""How far an index run is, on stderr."""

from cli import render
from cli.bar import Barred
from pipelines.index import Observer


class IndexProgress(Barred, Observer):
    """A bar, where stderr is a terminal."""

    def __init__(self) -> None:
        super().__init__("segments")

    def waiting(self, holder: str) -> None:
        render.waiting(holder)

    def videos(self, done: int, of: int) -> None:
        self._bar.update(self._task, completed=done, total=of)

    def indexing(self, space: str) -> None:
        self._bar.update(self._task, description=f"index of {space}", total=None)
