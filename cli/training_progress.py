"""What a training shows: a bar of the batches of the epoch, a line an epoch, and what came out."""

from typing import Any

from cli import render
from cli.bar import Barred
from pipelines.run_folder import SELECTED, RunObserver, TrainReport


class TrainingProgress(Barred, RunObserver):
    """Shows a run on stderr while it goes on; on anything but a terminal a line an epoch."""

    def __init__(self, items: str = "videos") -> None:
        """items: what a batch is of."""
        super().__init__("reading")
        self._items, self._done = items, 0

    def ready(self, report: TrainReport, device: str) -> None:
        done = f", from epoch {len(report.records) + 1} on" if report.records else ""
        what = f"Training in {report.folder} on {device}{done}; {report.held_out} held out."
        render.err.print(what, markup=False, highlight=False)

    def began(self, epoch: int, batches: int) -> None:
        self._done = 0
        self._bar.reset(self._task, total=batches, description=f"epoch {epoch}", rate="")

    def step(self, items: int) -> None:
        self._done += items
        seconds = max(self._bar.tasks[0].elapsed or 0.0, 1e-3)
        self._bar.update(self._task, advance=1, rate=f"{self._done / seconds:.1f} {self._items}/s")

    def ended(self, record: dict[str, Any]) -> None:
        line = f"epoch {record['epoch']}: loss {record['loss']:.4f}"
        if metrics := record.get("held_out"):
            line += f", mAP micro {render.percent(metrics['micro'])}, macro {render.percent(metrics['macro'])}"
        render.err.print(f"{line}, {record['seconds']:.1f} s", markup=False, highlight=False)


def finish(report: TrainReport) -> bool:
    """Print the figures of the last epoch and what became of the run; False where it was interrupted."""
    last = report.records[-1] if report.records else {}
    metrics = last.get("held_out", {})
    shown = [("mAP, micro", "micro"), ("mAP, micro of batches", "micro_batches"), ("mAP, macro", "macro")]
    figures = [(name, render.percent(metrics[key])) for name, key in shown if key in metrics]
    figures += [(f"mAP, {name}", render.percent(value)) for name, value in metrics.get("segments", {}).items()]
    figures += [("accuracy", render.percent(metrics["accuracy"]))] if metrics.get("accuracy") is not None else []
    figures += [("cosine to the image", f"{metrics['cosine']:.3f}")] if "cosine" in metrics else []
    if figures:
        render.err.print(render.table(f"After epoch {last['epoch']}", ("", ""), figures, numbers=("",)))
    if report.interrupted:
        render.err.print("Interrupted. The last epoch is kept; the same command goes on from there.")
        return False
    if report.selected is not None:
        chosen = f"Epoch {report.selected} is the best on what was cut from train"
        render.err.print(f"{chosen}: {report.folder / SELECTED}.", markup=False, highlight=False)
    done = "was finished before" if report.known else f"{report.epochs} epochs in {report.seconds:.1f} s"
    render.err.print(f"{report.folder}: {done}.", markup=False, highlight=False)
    return True
