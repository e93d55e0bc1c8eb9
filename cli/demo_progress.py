"""The progress of a demo: a bar while clips are rendered, and of each step its command; the rest it shows itself."""

from pathlib import Path

from cli import render
from cli.bar import Barred
from pipelines.demo.run import DemoObserver
from pipelines.demo.steps import Step


class DemoProgress(Barred, DemoObserver):
    """On stderr. Its bar runs while clips are rendered."""

    def __init__(self) -> None:
        super().__init__("rendering")

    def rendering(self, clips: int, folder: Path) -> None:
        render.err.print(f"Rendering {clips} clips of a savannah into {folder}", markup=False, highlight=False)
        self._bar.update(self._task, total=clips)
        self._bar.start()

    def rendered(self) -> None:
        self._bar.advance(self._task)

    def step(self, step: Step) -> None:
        self._bar.stop()
        render.err.print(f"\n$ {step.line}", markup=False, highlight=False)
