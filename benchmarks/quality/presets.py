"""The default preset of train-fusion beside the paper's, with each of its settings turned back to the paper's alone,
and with those that were tried and not kept.

    python -m benchmarks.quality.presets FOLDER [--clips 600] [--seeds 5] [--epochs 30] [--width 512] [--processes 2]
        [--rows cross] [--variants paper,positions,...] [--judge SPLIT] [--store STORE]

On a rendered savannah with vimoclip-tiny and DIS, in FOLDER, which is rendered and ingested where it is not there yet;
or on a store of one's own, with runs in FOLDER. Each variant is an ablation of the library (pipelines/ablate.py) in a
folder of its own, so that a second run goes on. What counts is the difference of a variant to the default, seed by
seed: its mean and 95% interval by Student's t, which is over seeds on the same clips. A setting is kept where the
default without it loses on the split val. The default that came of that is judged on another split, `--judge test`.
"""

import argparse
import multiprocessing
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from pipelines import evaluate
from pipelines.ablate import AblateRequest, Figure, parse_rows, run_all
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
    "dropout in the head": {"tfam": {"head_dropout": 0.1}},
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
    parser.add_argument("--judge", help="the split that is looked at; by default the one that the runs held out")
    parser.add_argument("--store", type=Path, help="in place of the rendered one; its videos need splits and labels")
    arguments = parser.parse_args()
    store = arguments.store or world(arguments.folder, arguments.clips)
    names = list(dict.fromkeys(["default", *arguments.variants.split(",")]))
    sized = {
        "tfam": {"width": arguments.width, "feed_forward": 4 * arguments.width},
        "training": {"epochs": arguments.epochs},
    }
    folder = arguments.folder / f"presets-{arguments.width}-{arguments.epochs}"
    rows = parse_rows(arguments.rows)
    with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
        asked = (sized, rows, arguments.seeds, arguments.judge)
        jobs = [pool.submit(_trained, store, folder, name, *asked) for name in names]
        done = dict(zip(names, (job.result() for job in jobs), strict=True))
    console = Console(soft_wrap=True)
    console.print(
        f"{describe_machine()}\n$ python -m benchmarks.quality.presets {' '.join(sys.argv[1:])}", markup=False
    )
    size = f"TFAM {arguments.width} wide, {arguments.epochs} epochs, {arguments.seeds} seeds"
    console.print(f"{arguments.store or f'{arguments.clips} clips'}, {size}")
    for row in rows:
        console.print(table({name: runs[row] for name, runs in done.items()}, row))
    console.print(
        "Expected calibration error of all runs, in the mean, after the last epoch (on what was held out) and as the "
        "model is kept (on the split above):"
    )
    for name, runs in done.items():
        before, kept = np.mean([each.errors for own in runs.values() for each in own], axis=0)
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


@dataclass(frozen=True)
class Judged:
    """A run on the split that it is judged on.

    Attributes:
        split: its name.
        figures: as fractions, by their names in FIGURES.
        errors: the expected calibration error after the last epoch, of what was held out, and of the model as it is
            kept.
    """

    split: str
    figures: dict[Figure, float]
    errors: tuple[float, float]


def _trained(
    store: Path, folder: Path, name: str, sized: dict[str, Any], rows: tuple[str, ...], seeds: int, judge: str | None
) -> dict[str, list[Judged]]:
    """In a process of its own, with one thread: the ablation, and its runs by row, in the order of their seeds."""
    own, alone = folder / name.replace(" ", "-"), RunConfig(device="cpu", threads=1)
    base = TrainFusionRequest(store, variant(name, sized), folder=own, run=alone)
    report, found = run_all(AblateRequest(base, rows=rows, seeds=seeds)), dict[str, list[Judged]]()
    split = judge or report.held_out.removeprefix("split ")
    for row in report.rows:
        for seed in row.seeds:
            run = own / f"{row.fusion}-{seed}"
            kept = evaluate.run(EvaluateRequest(store, run, split, run=alone)).metrics
            figures = {figure: getattr(kept, figure) or 0.0 for figure in FIGURES}
            errors = (records_of(run)[-1]["held_out"]["calibration"], kept.calibration or 0.0)
            found.setdefault(row.fusion, []).append(Judged(split, figures, errors))
    return found


def table(runs: dict[str, list[Judged]], fusion: str) -> Table:
    """A line a variant: its means, and what it has beyond the default, in points."""
    made = Table("", title=f"{fusion}: mAP on split {runs['default'][0].split}, percent", title_justify="left")
    for figure in FIGURES:
        made.add_column(figure, justify="right")
        made.add_column("beyond the default (95%)", justify="right")
    found = {name: {figure: [each.figures[figure] for each in own] for figure in FIGURES} for name, own in runs.items()}
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
