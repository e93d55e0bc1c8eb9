"""The default preset of train-fusion beside the paper's, with each of its settings turned back to the paper's alone,
and with those that were tried and not kept.

    python -m benchmarks.quality.presets FOLDER [--clips 600] [--seeds 5] [--epochs 30] [--width 512] [--processes 2]
        [--rows cross] [--variants paper,positions,...]

On a rendered savannah with vimoclip-tiny and DIS, in FOLDER, which is rendered and ingested where it is not there yet.
Each variant is an ablation of the library (pipelines/ablate.py) in a folder of its own, so that a second run goes on.
What counts is the difference of a variant to the default on the split val, seed by seed: its mean and 95% interval by
Student's t. A setting is kept where the default without it loses.
"""

import argparse
import multiprocessing
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from pipelines import evaluate
from pipelines.ablate import AblateReport, AblateRequest, Figure, parse_rows, run_all
from pipelines.evaluate import EvaluateRequest
from pipelines.run_folder import records_of
from pipelines.train_fusion import TrainFusionRequest
from vimoclip.config.fusion import FusionConfig, fusion_settings
from vimoclip.config.store import RunConfig
from vimoclip.savannah import BEHAVIOURS, write_folder
from vimoclip.training.metrics import paired

FIGURES: tuple[Figure, ...] = ("micro", "macro")

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "no positions": {"tfam": {"positions": "none"}},
    "raw lengths": {"sequences": {"lengths": "raw"}},
    "bce": {"loss": {"name": "bce"}},
    "no mixup": {"mixup": "none"},
    "warm-up and clipping": {"training": {"warmup": 0.05, "decay": "matrices", "clip_gradient": 1.0}},
    "average of the weights": {"training": {"ema": 0.999}},
}
"""Of the default preset; `paper` is the other."""


def main() -> None:
    """Train what is not trained yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--width", type=int, default=512, help="of TFAM; its feed-forward is four times as wide")
    parser.add_argument("--rows", default="cross", help="of Table 2, by comma")
    parser.add_argument("--variants", default=",".join(["paper", *VARIANTS]), help="by comma; default is always one")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    store = world(arguments.folder, arguments.clips)
    names = list(dict.fromkeys(["default", *arguments.variants.split(",")]))
    sized = {
        "tfam": {"width": arguments.width, "feed_forward": 4 * arguments.width},
        "training": {"epochs": arguments.epochs},
    }
    folder = arguments.folder / f"presets-{arguments.width}-{arguments.epochs}"
    rows = parse_rows(arguments.rows)
    with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(_trained, store, folder, name, sized, rows, arguments.seeds) for name in names]
        done = dict(zip(names, (job.result() for job in jobs), strict=True))
    reports = {name: report for name, (report, _) in done.items()}
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    size = f"TFAM {arguments.width} wide, {arguments.epochs} epochs, {arguments.seeds} seeds"
    console.print(f"{arguments.clips} clips, {size}")
    for row in rows:
        console.print(table(reports, row))
    console.print("Expected calibration error of all runs, in the mean, after the last epoch and as the model is kept:")
    for name, (_, errors) in done.items():
        before, kept = np.mean(errors, axis=0)
        console.print(f"{name}: {before:.3f}, {kept:.3f}")


def world(folder: Path, clips: int, behaviours: Sequence[str] = BEHAVIOURS) -> Path:
    """The store of so many rendered clips in a folder; made where it is not there."""
    videos, store = folder / "videos", folder / "store"
    if not (videos / "labels.csv").is_file():
        write_folder(videos, clips, behaviours=behaviours)
    command = ["ingest", str(videos), "--store", str(store), "--clip-model", "vimoclip-tiny", "--flow", "dis"]
    subprocess.run([sys.executable, "-m", "vimoclip", *command], check=True, stderr=subprocess.DEVNULL)
    return store


def variant(name: str, sized: dict[str, Any]) -> FusionConfig:
    """The settings of a variant, in another size."""
    return fusion_settings("paper", sized) if name == "paper" else fusion_settings("default", sized, VARIANTS[name])


def _trained(
    store: Path, folder: Path, name: str, sized: dict[str, Any], rows: tuple[str, ...], seeds: int
) -> tuple[AblateReport, list[tuple[float, float]]]:
    """In a process of its own, with one thread: the ablation, and the calibration error of each of its runs, in its
    last epoch and of its model."""
    own, alone = folder / name.replace(" ", "-"), RunConfig(device="cpu", threads=1)
    base = TrainFusionRequest(store, variant(name, sized), folder=own, run=alone)
    report, errors = run_all(AblateRequest(base, rows=rows, seeds=seeds)), []
    for row in report.rows:
        for seed in row.seeds:
            run = own / f"{row.fusion}-{seed}"
            kept = evaluate.run(EvaluateRequest(store, run, report.held_out.removeprefix("split "), run=alone)).metrics
            errors.append((records_of(run)[-1]["held_out"]["calibration"], kept.calibration or 0.0))
    return report, errors


def table(reports: dict[str, AblateReport], fusion: str) -> Table:
    """A line a variant: its means, and what it has beyond the default, in points."""
    found = {name: next(row.last for row in report.rows if row.fusion == fusion) for name, report in reports.items()}
    title = f"{fusion}: mAP on {reports['default'].held_out}, percent"
    made = Table("", title=title, title_justify="left")
    for figure in FIGURES:
        made.add_column(figure, justify="right")
        made.add_column("beyond the default (95%)", justify="right")
    for name, last in found.items():
        cells = []
        for figure in FIGURES:
            cells.append(f"{100 * sum(last[figure]) / len(last[figure]):.2f}")
            cells.append("" if name == "default" else difference(last[figure], found["default"][figure]))
        made.add_row(name, *cells)
    return made


def difference(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """`-1.23 (-2.04 to -0.42)`, in points; without an interval for one seed."""
    found = paired(theirs, ours)
    if found.low is None or found.high is None:
        return f"{100 * found.mean:+.2f}"
    return f"{100 * found.mean:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


if __name__ == "__main__":
    main()
