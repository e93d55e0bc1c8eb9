"""What a trained student is worth: TFAM on the rendered world, with the starting student's vectors and a trained one's.

    python -m benchmarks.motion_student FOLDER [--clips 400] [--seeds 5] [--epochs 10] [--fusion-epochs 20]
        [--width 128] [--encodings uvm wheel] [--student NAME=VALUE ...]

Renders clips of the behaviours that no single frame tells apart (vimoclip.savannah.PAIRS), ingests them with
vimoclip-tiny and DIS, trains a student on either image of the flow, and adds its vectors. Then TFAM is trained on each
row's input, with several seeds, and judged on the split test: macro mAP over all behaviours, and of each pair the share
of videos that show just one of the two and score it higher. Chance is 50% there. The intervals are of 95%, by Student's
t over the seeds. A second run goes on from what is there.

DIS underestimates the speed of small animals by half and more, which walking and stalking are told apart by.
"""

import argparse
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.machine import describe
from pipelines import embed, ingest, train_fusion, train_motion
from pipelines.embed import EmbedRequest
from pipelines.request import IngestRequest
from pipelines.train_fusion import TrainFusionRequest
from pipelines.train_motion import TrainMotionRequest
from pipelines.training_split import Asked
from vimoclip.checkpoint import read_checkpoint
from vimoclip.clip_name import TINY
from vimoclip.config import FlowImage, RunConfig
from vimoclip.device import pick_device
from vimoclip.fusion_config import Fusion, FusionConfig
from vimoclip.fusion_config import settings as fusion_settings
from vimoclip.fusion_task import scores
from vimoclip.intervals import Interval, interval, paired
from vimoclip.motion_config import settings as motion_settings
from vimoclip.savannah import PAIRS, write_folder
from vimoclip.sequence_reader import read_sequences
from vimoclip.splits import of_split
from vimoclip.store import FeatureStore

TEST = "test"
STARTING = "moclip"


@dataclass(frozen=True)
class Row:
    """One input of TFAM. motion: the feature it is taken from. positions: whether the model is told the order."""

    name: str
    fusion: Fusion
    motion: str = STARTING
    positions: bool = True


@dataclass(frozen=True)
class Measured:
    """One run. macro: mAP. pairs: of each of PAIRS the share that is right, None where no video shows just one; hard:
    their mean."""

    macro: float
    pairs: list[float | None]
    hard: float


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


def measure(store: FeatureStore, folder: Path) -> Measured:
    """Of a finished run of train-fusion."""
    from vimoclip.metrics import by_count, of_several

    model, meta = read_checkpoint(folder)
    config = meta.config
    sequences = read_sequences(store, config.sequences, config.tfam.fusion, of_split(store, TEST), meta.classes)
    device = pick_device("auto")
    found, shown = scores(model.to(device), sequences.to(device)), sequences.targets.bool()
    metrics = of_several(found, sequences.targets, by_count(meta.counts), config.training.batch_size)
    numbers = {name: number for number, name in enumerate(meta.classes)}
    pairs = [share_right(found, shown, numbers[one], numbers[other]) for one, other in PAIRS]
    known = [share for share in pairs if share is not None]
    return Measured(metrics.macro or 0.0, pairs, sum(known) / len(known))


def share_right(found: Tensor, shown: Tensor, one: int, other: int) -> float | None:
    """Of the videos that show just one of two classes, the share whose score of it is the higher; None where there is
    none. found: scores (V, C). shown: bool (V, C)."""
    alone = shown[:, one] != shown[:, other]
    right = (found[:, one] > found[:, other]) == shown[:, one]
    return int(right[alone].sum()) / int(alone.sum()) if alone.any() else None


def main() -> None:
    """Render, ingest, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for clips, store and runs")
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10, help="of a student")
    parser.add_argument("--fusion-epochs", type=int, default=20, help="of a TFAM")
    parser.add_argument("--width", type=int, default=128, help="of a TFAM")
    parser.add_argument("--encodings", nargs="+", choices=get_args(FlowImage), default=list(get_args(FlowImage)))
    parser.add_argument("--student", nargs="*", default=[], metavar="NAME=VALUE", help="settings of train-motion")
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    console = Console(width=160, highlight=False)
    console.print(f"{describe()}\n$ python -m benchmarks.motion_student {' '.join(sys.argv[1:])}", markup=False)
    run = RunConfig(threads=asked.threads)
    store = _store(asked.folder, asked.clips, run)
    changes = [_change(text) for text in asked.student]
    for image in asked.encodings:
        config = motion_settings("default", *changes, {"encoding": image, "training": {"epochs": asked.epochs}})
        student = TrainMotionRequest(store, config, asked.folder / "runs" / f"student-{image}", Asked(), run=run)
        report = train_motion.run(student)
        last = report.records[-1]
        console.print(
            f"student on {image}: loss {report.records[0]['loss']:.3f} to {last['loss']:.3f}, cosine to the image "
            f"{last['held_out']['cosine']:.3f}, {sum(record['seconds'] for record in report.records):.0f} s"
        )
        embed.run(EmbedRequest(store, f"trained_{image}", motion=report.folder, run=run))
    found: dict[str, list[Measured]] = {}
    snapshot = FeatureStore.open(store)
    for row, seed in itertools.product(rows(asked.encodings), range(asked.seeds)):
        folder = asked.folder / "runs" / f"{row.name.replace(', ', '-').replace(' ', '-')}-{seed}"
        request = TrainFusionRequest(
            store, config_of(row, asked.fusion_epochs, seed, asked.width), folder, Asked(held_out="val"), run=run
        )
        train_fusion.run(request)
        found.setdefault(row.name, []).append(measure(snapshot, folder))
    _print(console, found)


def _change(text: str) -> dict[str, object]:
    name, _, value = text.partition("=")
    section, dot, setting = name.partition(".")
    known = json.loads(value) if value[:1].isdigit() else value
    return {section: {setting: known}} if dot else {section: known}


def _store(folder: Path, clips: int, run: RunConfig) -> Path:
    videos, store = folder / "videos", folder / "store"
    if not (videos / "labels.csv").is_file():
        write_folder(videos, clips, behaviours=[each for pair in PAIRS for each in pair])
    asked = {"clip": {"model": TINY}, "flow": {"estimator": "dis"}}
    ingest.run(IngestRequest([videos], store, asked, run))
    return store


def _print(console: Console, found: dict[str, list[Measured]]) -> None:
    names = [f"{one} / {other}" for one, other in PAIRS]
    table = Table("TFAM on", "macro mAP", "hard pairs", *names, title="Split test, %", title_justify="left")
    for name, runs in found.items():
        pairs = [[share for each in runs if (share := each.pairs[i]) is not None] for i in range(len(PAIRS))]
        cells = [interval([each.macro for each in runs]), interval([each.hard for each in runs])]
        table.add_row(name, *(_said(each) for each in cells), *(_said(interval(p)) if p else "-" for p in pairs))
    console.print(table)
    for ours, theirs in _compared(list(found)):
        macro, hard = (
            paired([getattr(each, what) for each in found[ours]], [getattr(each, what) for each in found[theirs]])
            for what in ("macro", "hard")
        )
        console.print(f"{ours} over {theirs}: macro {_said(macro)}, hard pairs {_said(hard)} points, seed by seed")


def _compared(names: list[str]) -> list[tuple[str, str]]:
    trained = [name for name in names if "trained" in name]
    pairs = [(name, name.partition(",")[0] + ", starting") for name in trained]
    return pairs + [(name, "image") for name in names if name.startswith("cross")]


def _said(found: Interval) -> str:
    return f"{100 * found.mean:.1f}" + ("" if found.half is None else f" ± {100 * found.half:.1f}")


if __name__ == "__main__":
    main()
