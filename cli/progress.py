"""The progress bar of an ingest or an embed: videos done, frames and videos a second, time left."""

import time

from cli import render
from cli.bar import Barred
from pipelines.ingest import Observer
from pipelines.ingest_plan import Plan
from pipelines.progress import Rates
from vimoclip.config.store import ClipConfig, FlowConfig

SAY_S = 60.0


class Progress(Barred, Observer):
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
