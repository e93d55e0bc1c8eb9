"""The progress bar of a training: batches of the epoch, and a line an epoch."""

from typing import Any

from cli import render
from cli.bar import Barred
from pipelines.train_fusion import FusionObserver, TrainFusionReport


class TrainingProgress(Barred, FusionObserver):
    """Shows a run on stderr while it goes on; on anything but a terminal a line an epoch."""

    def __init__(self) -> None:
        super().__init__("reading")
        self._videos = 0

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
