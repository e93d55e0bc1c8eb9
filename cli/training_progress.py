"""The progress bar of a training: batches of the epoch, and a line an epoch."""

from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cli import render
from pipelines.train_fusion import FusionObserver, TrainFusionReport


class TrainingProgress(FusionObserver):
    """Shows a run on stderr while it goes on; on anything but a terminal a line an epoch."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=render.err,
            transient=True,
            disable=not render.err.is_terminal,
        )
        self._task = self._bar.add_task("reading", total=None, rate="")
        self._videos = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def ready(self, report: TrainFusionReport, device: str) -> None:
        done = f", from epoch {len(report.records) + 1} on" if report.records else ""
        what = f"Training in {report.folder} on {device}{done}; {report.held_out} held out."
        render.err.print(what, markup=False, highlight=False)

    def began(self, epoch: int, batches: int) -> None:
        self._videos = 0
        self._bar.reset(self._task, total=batches, description=f"epoch {epoch}", rate="")

    def step(self, videos: int) -> None:
        self._videos += videos
        seconds = max(self._bar.tasks[0].elapsed or 0.0, 1e-3)
        self._bar.update(self._task, advance=1, rate=f"{self._videos / seconds:.1f} videos/s")

    def ended(self, record: dict[str, Any]) -> None:
        line = f"epoch {record['epoch']}: loss {record['loss']:.4f}"
        if metrics := record.get("held_out"):
            line += f", mAP micro {render.percent(metrics['micro'])}, macro {render.percent(metrics['macro'])}"
        render.err.print(f"{line}, {record['seconds']:.1f} s", markup=False, highlight=False)
