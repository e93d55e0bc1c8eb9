"""The progress of an ablation: which run it is at, and of that one what a training shows."""

from cli import render
from cli.training_progress import TrainingProgress
from pipelines.ablate import AblateObserver
from pipelines.train_fusion import TrainFusionReport
from vimoclip.config.fusion import Fusion


class AblationProgress(TrainingProgress, AblateObserver):
    """As of a training, and a line a run."""

    def run(self, fusion: Fusion, seed: int, number: int, of: int) -> None:
        render.err.print(f"Run {number} of {of}: {fusion}, seed {seed}", markup=False, highlight=False)

    def done(self, fusion: Fusion, seed: int, report: TrainFusionReport) -> None:
        held_out = report.records[-1].get("held_out", {}) if report.records else {}
        said = "was finished before" if report.known else f"{report.epochs} epochs in {report.seconds:.1f} s"
        figure = f", mAP micro {render.percent(held_out.get('micro'))}"
        render.err.print(f"{fusion}, seed {seed}: {said}{figure}", markup=False, highlight=False)
