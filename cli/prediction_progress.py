"""How far a prediction is, on stderr."""

from cli import render
from cli.bar import Barred
from vimoclip.prediction.predictor import Watcher


class PredictionProgress(Barred, Watcher):
    """A bar, where stderr is a terminal; the failures in any case."""

    def __init__(self) -> None:
        super().__init__("loading models")
        self._frames = 0

    def planned(self, stored: int, files: int) -> None:
        render.err.print(f"{stored} videos from the store, {files} files to decode.", highlight=False)
        self._bar.update(self._task, total=stored + files)

    def frames(self, video: str, count: int) -> None:
        self._frames += count
        seconds = max(self._bar.tasks[0].elapsed or 0.0, 1e-3)
        self._bar.update(self._task, description="predicting", rate=f"{self._frames / seconds:.0f} frames/s")

    def video(self, video: str, outcome: str) -> None:
        self._bar.advance(self._task)
        if outcome != "ok":
            render.err.print(f"failed ({outcome}): {video}", markup=False, highlight=False)

    def interrupted(self) -> bool:
        return True
