"""The progress bar of an ingest or an embed: videos done, frames and videos a second, time left."""

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from cli import render
from pipelines.ablate import AblateObserver
from pipelines.demo.run import DemoObserver
from pipelines.demo.steps import Step
from pipelines.index import Observer as IndexObserver
from pipelines.ingest_plan import Plan
from pipelines.progress import Observer, Rates
from pipelines.run_folder import SELECTED, RunObserver, TrainReport
from pipelines.train_fusion import TrainFusionReport
from vimoclip.config.store import ClipConfig, FlowConfig
from vimoclip.prediction.predictor import Watcher

# A bar on stderr while a command is at work; where stderr is no terminal there is none.


class ProgressBar:
    """Shows a bar from the start of its block to the end. `_bar` has one task, `_task`, with a field `rate`."""

    def __init__(self, description: str) -> None:
        self._bar = RichProgress(
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
        self._task = self._bar.add_task(description, total=None, rate="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


SAY_S = 60.0


class Progress(ProgressBar, Observer):
    """Shows a run on stderr while it goes on; on anything but a terminal only the milestones."""

    def __init__(self, doing: str = "ingesting") -> None:
        self._doing = doing
        super().__init__("planning")
        self._rates = Rates()
        self._frames = 0
        self._said = time.monotonic()

    def waiting(self, holder: str) -> None:
        render.waiting(holder)

    def planned(self, plan: Plan, todo: int) -> None:
        render.err.print(f"{todo} videos to look into, {plan.known} known.", highlight=False)
        self._bar.update(self._task, total=todo, description="loading models")

    def ready(self, clip: ClipConfig, flow: FlowConfig | None, device: str) -> None:
        by = f", flow by {flow.estimator}" if flow is not None else ""
        what = f"{clip.model} ({clip.weights}, {clip.precision}) on {device}{by}."
        render.err.print(what, markup=False, highlight=False)
        if clip.weights == "none":
            render.err.print(
                "[yellow]These weights are random:[/] the vectors mean nothing, whatever the pipeline proves."
            )
        self._bar.reset(self._task, description=self._doing, rate="")
        self._rates = Rates()

    def frames(self, video_id: str, count: int, worker: str) -> None:
        self._rates.add(worker, count)
        self._frames += count
        task = self._bar.tasks[0]
        seconds = max(task.elapsed or 0.0, 1e-3)
        rate = f"{self._frames / seconds:.0f} frames/s, {task.completed / seconds:.2f} videos/s"
        workers = self._rates.workers()
        if len(workers) > 1:
            rate += f" ({', '.join(f'{each.name}: {each.frames_per_s:.0f}' for each in workers)})"
        self._bar.update(self._task, rate=rate)

    def video(self, video_id: str, outcome: str) -> None:
        self._bar.advance(self._task)
        if not render.err.is_terminal and time.monotonic() - self._said > SAY_S:  # a log shows no bar
            self._said = time.monotonic()
            task = self._bar.tasks[0]
            line = f"{task.completed:.0f} of {task.total or 0:.0f} videos, {task.fields['rate']}"
            render.err.print(line, markup=False, highlight=False)
        if outcome not in ("ok", "known", "duplicate", "moved"):
            render.err.print(f"failed ({outcome}): {video_id}", markup=False, highlight=False)


# The progress of a demo: a bar while clips are rendered, and of each step its command; the rest it shows itself.


class DemoProgress(ProgressBar, DemoObserver):
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


# How far an index run is, on stderr.


class IndexProgress(ProgressBar, IndexObserver):
    """A bar, where stderr is a terminal."""

    def __init__(self) -> None:
        super().__init__("segments")

    def waiting(self, holder: str) -> None:
        render.waiting(holder)

    def videos(self, done: int, of: int) -> None:
        self._bar.update(self._task, completed=done, total=of)

    def indexing(self, space: str) -> None:
        self._bar.update(self._task, description=f"index of {space}", total=None)


# How far a prediction is, on stderr.


class PredictionProgress(ProgressBar, Watcher):
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


# What a training shows: a bar of the batches of the epoch, a line an epoch, and what came out.


class TrainingProgress(ProgressBar, RunObserver):
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


# The progress of an ablation: which run it is at, and of that one what a training shows.


class AblationProgress(TrainingProgress, AblateObserver):
    """As of a training, and a line a run."""

    def run(self, fusion: str, seed: int, number: int, of: int) -> None:
        render.err.print(f"Run {number} of {of}: {fusion}, seed {seed}", markup=False, highlight=False)

    def done(self, fusion: str, seed: int, report: TrainFusionReport) -> None:
        held_out = report.records[-1].get("held_out", {}) if report.records else {}
        said = "was finished before" if report.known else f"{report.epochs} epochs in {report.seconds:.1f} s"
        figure = f", mAP micro {render.percent(held_out.get('micro'))}"
        render.err.print(f"{fusion}, seed {seed}: {said}{figure}", markup=False, highlight=False)
