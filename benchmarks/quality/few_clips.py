"""Which head to train on few clips: those of closed form beside TFAM, on the vectors and labels of a store.

    python -m benchmarks.quality.few_clips STORE [--by sequence|folds|draw] [--heads linear,prototype,cross,...]
        [--motion moclip] [--train 50,100,200] [--test 150] [--seeds 1] [--epochs 30] [--width 128] [--threads 1]

Each clip is scored by models that were not trained on it. `--by sequence` leaves one sequence out, where a clip's name
begins with `<number>_<sequence>_`, as those of UT-Interaction do. `--by folds` draws five folds a seed. `--by draw`
draws `--test` clips to score, and trains on so many of the others as `--train` says, anew for each seed. `linear
without thirds` and `prototype without thirds` read the mean of a whole video; `linear of the image` and `prototype of
the image` see no motion.

right: the share of clips whose highest label is one of theirs, in percent, with Wilson's 95% interval over the clips
(of the mean over seeds). mAP: over all clips scored by one seed's models, in the mean over seeds. Each head is compared
with the same on the image alone, where that is among the heads (of TFAM it is `image`), by McNemar's exact test: the
clips that only one of the two has right, in most seeds.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from benchmarks.common import describe_machine, sequence_of
from benchmarks.quality.probes import wilson
from vimoclip.config.fusion import ClosedFormConfig, FusionConfig, fusion_settings
from vimoclip.config.store import RunConfig
from vimoclip.device import set_threads
from vimoclip.models.heads.closed_form import ClosedFormHead
from vimoclip.sequences.reader import read_sequences
from vimoclip.sequences.sequences import Sequences
from vimoclip.store.feature_store import FeatureStore
from vimoclip.training.fusion import FusionTask, scores
from vimoclip.training.loop import Training
from vimoclip.training.metrics import multiclass_metrics, multilabel_metrics

CPU = torch.device("cpu")
WITHOUT = " without thirds"
IMAGE = " of the image"
CLOSED = ("linear", "prototype")
Numbers = NDArray[np.int64]


def head_of(name: str) -> str:
    """The head of a row."""
    return name.removesuffix(IMAGE).removesuffix(WITHOUT)


def settings(name: str, epochs: int, width: int, seed: int) -> FusionConfig:
    """The settings of a head by its name here."""
    head = head_of(name)
    sized = {"tfam": {"width": width, "feed_forward": 4 * width}, "training": {"epochs": epochs, "seed": seed}}
    config = fusion_settings("default", sized).with_head(head)
    return replace(config, closed_form=ClosedFormConfig(thirds=False)) if WITHOUT in name else config


def read(store: FeatureStore, motion: str, name: str) -> Sequences:
    """All labelled videos, with the features that a head reads."""
    classes = sorted({row.label for row in store.label_rows()})
    rows = [row for row in store.rows() if row.status == "ok"]
    return read_sequences(store, replace(FusionConfig().sequences, motion=motion), head_of(name), rows, classes)


def cuts(made: Sequences, by: str, seed: int, train: int, test: int) -> Iterator[tuple[Numbers, Numbers]]:
    """What is trained on, and what is scored."""
    count = len(made)
    if by == "draw":
        drawn = np.random.default_rng(seed).permutation(count)
        yield np.sort(drawn[test : test + train]), np.sort(drawn[:test])
        return
    if by == "sequence":
        part = np.array([sequence_of(video) for video in made.video_ids])
    else:
        part = np.random.default_rng(seed).permutation(count) % 5
    for number in np.unique(part):
        yield np.flatnonzero(part != number), np.flatnonzero(part == number)


def trained(config: FusionConfig, train: Sequences, image_only: bool = False) -> FusionTask:
    """A task whose model is trained; image_only: of closed form, without motion here and when it scores."""
    task = FusionTask(config, train, None, CPU)
    if image_only:
        assert isinstance(task.model, ClosedFormHead)
        means = task.model.means
        task.model.means = lambda vectors, present: means(  # type: ignore[method-assign]
            vectors, {**present, "motion": torch.zeros_like(present["motion"])}
        )
    Training(task, config.training, CPU).run()
    return task


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--by", choices=["sequence", "folds", "draw"], default="folds")
    parser.add_argument("--heads", default=f"linear,linear{WITHOUT},prototype,prototype{WITHOUT},cross")
    parser.add_argument("--motion", default="moclip", help="the feature of motion")
    parser.add_argument("--train", default="100", help="with --by draw: how many clips to train on, by comma")
    parser.add_argument("--test", type=int, default=150, help="with --by draw: how many clips to score")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=30, help="of TFAM")
    parser.add_argument("--width", type=int, default=128, help="of TFAM; its feed-forward is four times as wide")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    set_threads(RunConfig(threads=asked.threads))
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"{describe_machine()}\n$ python -m benchmarks.quality.few_clips {' '.join(sys.argv[1:])}", markup=False
    )
    store = FeatureStore.open(asked.store)
    made = read(store, asked.motion, "cross")
    one = made.one_each
    console.print(f"{len(made)} clips, {len(made.classes)} classes, {'one' if one else 'one or several'} a clip")
    for size in [int(each) for each in asked.train.split(",")] if asked.by == "draw" else [0]:
        table = Table("", title=f"trained on {size}" if size else f"by {asked.by}", title_justify="left")
        for heading in ("right", "95%", "mAP, micro", "mAP, macro", "seconds a fit"):
            table.add_column(heading, justify="right")
        hits: dict[str, NDArray[np.bool_]] = {}
        for name in asked.heads.split(","):
            cells, hits[name] = _row(read(store, asked.motion, name), name, asked, size)
            table.add_row(name, *cells)
        console.print(table)
        for name, own in hits.items():
            alone = hits.get(f"{name}{IMAGE}" if name.startswith(CLOSED) else "image")
            if asked.by != "draw" and alone is not None and own is not alone and not name.endswith(IMAGE):
                gained, lost = int((own & ~alone).sum()), int((alone & ~own).sum())
                chance = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
                console.print(
                    f"{name}: {gained} clips right that the image alone has wrong, {lost} reversed, p = {chance:.4f}"
                )


def _row(made: Sequences, name: str, asked: argparse.Namespace, size: int) -> tuple[list[str], NDArray[np.bool_]]:
    """The cells of a head, and which clips it has right in most seeds (of draws that means nothing)."""
    rights, figures, seconds, count = list[float](), list[list[float]](), list[float](), 0
    hits = np.zeros(len(made))
    for seed in range(asked.seeds):
        config = settings(name, asked.epochs, asked.width, seed)
        config = replace(config, loss=config.loss.fitting(made.one_each))
        found, own = torch.zeros(len(made), len(made.classes)), list[Numbers]()
        for train, test in cuts(made, asked.by, seed, size, asked.test):
            began = time.perf_counter()
            task = trained(config, made.only(train), name.endswith(IMAGE))
            seconds.append(time.perf_counter() - began)
            found[torch.from_numpy(test)] = scores(task.model, made.only(test))
            own.append(test)
        scored = torch.from_numpy(np.sort(np.concatenate(own)))
        logits, targets = found[scored], made.targets[scored]
        right = targets[torch.arange(len(targets)), logits.argmax(1)].numpy() > 0
        hits[scored.numpy()] += right
        rights.append(float(right.mean()))
        measure = multiclass_metrics if made.one_each else multilabel_metrics
        metrics = measure(logits, targets, ["all"] * len(made.classes), 32, len(targets))
        figures.append([metrics.micro or 0.0, metrics.macro or 0.0])
        count = len(targets)
    mean = float(np.mean(rights))
    low, high = wilson(mean * count, count)
    micro, macro = np.mean(figures, axis=0)
    shown = [f"{100 * mean:.1f}", f"{100 * low:.0f}–{100 * high:.0f}", f"{100 * micro:.1f}", f"{100 * macro:.1f}"]
    return [*shown, f"{np.mean(seconds):.2f}"], hits > asked.seeds / 2


if __name__ == "__main__":
    main()
