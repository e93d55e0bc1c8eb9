"""What a trained student is worth: TFAM on the rendered world, with the starting student's vectors and a trained one's.

    python -m benchmarks.quality.motion_student FOLDER [--clips 800] [--seeds 5] [--epochs 8] [--fusion-epochs 20]
        [--width 128] [--encodings uvm wheel] [--student NAME=VALUE ...] [--split test] [--processes 2]

Renders clips of the behaviours that no single frame tells apart (vimoclip.savannah.PAIRS), ingests them with
vimoclip-tiny and DIS, trains a student on either image of the flow, and adds its vectors. Then TFAM is trained on each
row's input, with several seeds, and judged on a split: macro mAP over all behaviours, and of each pair the share of
videos that show just one of the two and give it the higher probability. Chance is 50% there. Settings are to be chosen
on val, and test looked at once. There are two intervals, of 95% each: by Student's t over the seeds, which says nothing
about other clips, and Wilson's over the clips. A second run goes on from what is there.

DIS underestimates the speed of small animals by half and more, which walking and stalking are told apart by.
"""

import argparse
import itertools
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from benchmarks.quality.presets import world
from benchmarks.quality.probes import wilson
from cli.training_options import merged_settings
from pipelines import embed, evaluate, train_fusion, train_motion
from pipelines.demo.hard_pairs import Pair, pair_accuracy
from pipelines.embed import EmbedRequest
from pipelines.evaluate import EvaluateRequest
from pipelines.train_fusion import TrainFusionRequest
from pipelines.train_motion import TrainMotionRequest
from vimoclip.api import Store
from vimoclip.config.fusion import Fusion, FusionConfig, fusion_settings
from vimoclip.config.motion import MotionConfig, motion_settings
from vimoclip.config.store import FlowImage, RunConfig
from vimoclip.savannah import PAIRS
from vimoclip.training.metrics import Interval, interval, paired
from vimoclip.training.splits import SplitRequest, videos_of_split

STARTING = "moclip"
STUDENT = ("training.lr=1e-3", "training.batch_size=8")
"""Chosen on val: the default's 1e-4 and 32 are for thousands of clips, and leave hundreds untaught."""


@dataclass(frozen=True)
class Row:
    """One input of TFAM. motion: the feature it is taken from. positions: whether the model is told the order."""

    name: str
    fusion: Fusion
    motion: str = STARTING
    positions: bool = True


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        macro: mAP.
        pairs: of each of PAIRS that a video shows just one of, the share that is right.
        clips: of how many videos these shares are, of all pairs together; 0 where it is not known.
    """

    macro: float
    pairs: dict[Pair, float]
    clips: int = 0

    @property
    def hard(self) -> float:
        """The mean over the pairs."""
        return sum(self.pairs.values()) / len(self.pairs)


def rows(encodings: list[FlowImage]) -> list[Row]:
    """What is compared, the plainest first."""
    found = [
        Row("image, no positions", "image", positions=False),
        Row("image", "image"),
        Row("motion, starting", "motion"),
    ]
    found += [Row(f"motion, trained on {image}", "motion", f"trained_{image}") for image in encodings]
    found.append(Row("cross, starting", "cross"))
    return found + [Row(f"cross, trained on {image}", "cross", f"trained_{image}") for image in encodings]


def config_of(row: Row, epochs: int, seed: int, width: int) -> FusionConfig:
    """The default's settings, but for the row's input and a size that suits few videos."""
    size = {"width": width, "feed_forward": 4 * width}
    return fusion_settings(
        "default",
        {
            "tfam": {"fusion": row.fusion, "positions": "sinusoidal" if row.positions else None, **size},
            "sequences": {"motion": row.motion},
            "training": {"epochs": epochs, "seed": seed},
        },
    )


def student_of(image: FlowImage, epochs: int, changes: Sequence[str]) -> MotionConfig:
    """The default's settings for a student, with changes as of --set."""
    flags = {"encoding": image, "training": {"epochs": epochs}}
    return merged_settings(motion_settings, "default", None, list(changes), flags)


def measured(store: Path, config: FusionConfig, folder: Path, split: str) -> Measured:
    """In a process of its own, with one thread: a run of train-fusion, judged on a split."""
    alone = RunConfig(device="cpu", threads=1)
    train_fusion.run(TrainFusionRequest(store, config, folder, SplitRequest(held_out="val"), run=alone))
    found = evaluate.run(EvaluateRequest(store, folder, split, run=alone)).metrics
    snapshot = Store.open(store)
    pairs = pair_accuracy(snapshot, videos_of_split(snapshot, split), folder)
    shares = {pair: told.right / told.of for pair, told in pairs.items()}
    return Measured(found.macro or 0.0, shares, sum(told.of for told in pairs.values()))


def main() -> None:
    """Render, ingest, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for clips, store and runs")
    parser.add_argument("--clips", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8, help="of a student")
    parser.add_argument("--fusion-epochs", type=int, default=20, help="of a TFAM")
    parser.add_argument("--width", type=int, default=128, help="of a TFAM")
    parser.add_argument("--encodings", nargs="+", choices=get_args(FlowImage), default=list(get_args(FlowImage)))
    parser.add_argument("--student", nargs="*", default=STUDENT, metavar="NAME=VALUE", help="settings of train-motion")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="to judge on")
    parser.add_argument("--processes", type=int, default=2, help="TFAMs that are trained at a time")
    asked = parser.parse_args()
    console = Console(width=160, highlight=False)
    console.print(
        f"{describe_machine()}\n$ python -m benchmarks.quality.motion_student {' '.join(sys.argv[1:])}", markup=False
    )
    store = world(asked.folder, asked.clips, [each for pair in PAIRS for each in pair])
    for image in asked.encodings:
        _teach(console, asked, store, image)
    runs = list(itertools.product(rows(asked.encodings), range(asked.seeds)))
    found: dict[str, list[Measured]] = {}
    with ProcessPoolExecutor(asked.processes, multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(
                measured,
                store,
                config_of(row, asked.fusion_epochs, seed, asked.width),
                asked.folder / "runs" / f"{row.name.replace(', ', '-').replace(' ', '-')}-{seed}",
                asked.split,
            )
            for row, seed in runs
        ]
        for (row, _), job in zip(runs, jobs, strict=True):
            found.setdefault(row.name, []).append(job.result())
    _print(console, found, asked.split)


def _teach(console: Console, asked: argparse.Namespace, store: Path, image: FlowImage) -> None:
    """A student on one image of the flow, and its vectors beside the starting one's."""
    config = student_of(image, asked.epochs, asked.student)
    report = train_motion.run(
        TrainMotionRequest(store, config, asked.folder / "runs" / f"student-{image}", SplitRequest())
    )
    first, last = report.records[0], report.records[-1]
    console.print(
        f"student on {image}: loss {first['loss']:.3f} to {last['loss']:.3f}, cosine to the image "
        f"{last['held_out']['cosine']:.3f}, {sum(record['seconds'] for record in report.records):.0f} s"
    )
    embed.run(EmbedRequest(store, f"trained_{image}", motion=report.folder))


def _print(console: Console, found: dict[str, list[Measured]], split: str) -> None:
    pairs = list(next(iter(found.values()))[0].pairs)
    names = [f"{one} / {other}" for one, other in pairs]
    heads = ("TFAM on", "macro mAP", "hard pairs", "by clips", *names)
    table = Table(*heads, title=f"Split {split}, %", title_justify="left")
    for name, runs in found.items():
        figures = [[each.macro for each in runs], [each.hard for each in runs]]
        figures += [[each.pairs[pair] for each in runs] for pair in pairs]
        cells = [_said(interval(values)) for values in figures]
        table.add_row(name, *cells[:2], by_clips(runs), *cells[2:])
    console.print(table)
    console.print(
        "±: 95% by Student's t over the seeds, on the same clips. by clips: 95% of the share by Wilson's interval."
    )
    for ours, theirs in _compared(list(found)):
        macro, hard = (
            paired([getattr(each, what) for each in found[ours]], [getattr(each, what) for each in found[theirs]])
            for what in ("macro", "hard")
        )
        console.print(f"{ours} over {theirs}: macro {_said(macro)}, hard pairs {_said(hard)} points, seed by seed")


def by_clips(runs: Sequence[Measured]) -> str:
    """Wilson's interval of the share of the hard pairs that is right, in the mean over the runs: `95.6 to 99.7`."""
    clips = runs[0].clips
    if not clips:
        return ""
    low, high = wilson(sum(each.hard for each in runs) / len(runs) * clips, clips)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _compared(names: list[str]) -> list[tuple[str, str]]:
    trained = [name for name in names if "trained" in name]
    pairs = [(name, name.partition(",")[0] + ", starting") for name in trained]
    return pairs + [(name, "image") for name in names if name.startswith("cross")]


def _said(found: Interval) -> str:
    return f"{100 * found.mean:.1f}" + ("" if found.half is None else f" ± {100 * found.half:.1f}")


if __name__ == "__main__":
    main()
