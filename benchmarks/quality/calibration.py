"""What the probabilities of a trained model are worth on videos it was not trained on, by what they are calibrated on.

    python -m benchmarks.quality.calibration [--videos 60] [--epochs 60] [--width 64] [--seeds 2] [--threads 1]
        [--folds 2] [--store STORE --epochs 30]

TFAM, cross-attention, with the default settings. On made-up vectors: `learnable` labels, which image or motion show,
with a background of each video's own; and `noise`, labels that nothing shows, which a model learns by heart. The
expected calibration error is micro, over all pairs of video and class, in 15 bins, on 200 other videos: of the raw
scores, calibrated on the training videos, calibrated on the training videos by models that were not trained on them
(what `train-fusion` does), and calibrated on 201 further videos (what more data would give). `sure` is how many pairs
of the other videos have p > 0.9, and how many of these are right.

With --store, the same on a store with the splits train and val, without further videos.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.common import describe_machine
from vimoclip.config.fusion import FusionConfig, fusion_settings
from vimoclip.config.store import RunConfig
from vimoclip.device import set_threads
from vimoclip.models.heads import FusionHead
from vimoclip.sequences.reader import read_sequences
from vimoclip.sequences.sequences import PackedRows, Sequences
from vimoclip.store.feature_store import FeatureStore
from vimoclip.training.fusion import FOLDS, FusionTask, fit_calibration, out_of_fold_scores, scores
from vimoclip.training.loop import Training
from vimoclip.training.metrics import interval, multiclass_metrics, multilabel_metrics, percent
from vimoclip.training.splits import SplitRequest, folds, training_split

CPU = torch.device("cpu")
OTHERS, STEPS = 200, 12
CLASSES, DIM = 9, 64
Labels = Literal["learnable", "noise"]


def made_up(videos: int, seed: int, labels: Labels) -> Sequences:
    """Videos of 12 steps of one to three behaviours of nine: five look different, and four move differently."""
    world, random = np.random.default_rng(1), np.random.default_rng([seed, videos])
    shown = world.normal(size=(CLASSES, 2, DIM)) / np.sqrt(DIM)
    shown[:5, 1] = 0
    shown[5:, 0] = 0
    steps = np.full(videos, STEPS)
    offsets = np.concatenate([[0], np.cumsum(steps)])
    targets = np.zeros((videos, CLASSES), np.uint8)
    for video in range(videos):
        targets[video, random.choice(CLASSES, random.integers(1, 4), replace=False)] = 1
    background = random.normal(size=(videos, 2, DIM)) / np.sqrt(DIM)
    seen = targets if labels == "learnable" else np.zeros_like(targets)
    whole = background + np.einsum("vc,crd->vrd", seen, shown)
    values = np.repeat(whole, steps, axis=0) + 0.5 * random.normal(size=(int(offsets[-1]), 2, DIM)) / np.sqrt(DIM)
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    parts = [torch.from_numpy(values[:, role]).half() for role in range(2)]
    norms = torch.ones(len(values), 2)
    ids, names = [f"{seed}/{video}.mp4" for video in range(videos)], [f"behaviour {c}" for c in range(CLASSES)]
    dims = {"image": DIM, "motion": DIM}
    rows = PackedRows(parts, offsets)
    return Sequences(ids, offsets, rows, norms, dims, "unit", names, torch.from_numpy(targets))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Found:
    """What one training came to. micro: mAP. errors: of calibration, by what it was calibrated on. sure: by the same,
    how many pairs have p > 0.9, and the share of them that is right. seconds: of the training, and of its folds."""

    micro: float
    errors: dict[str, float]
    sure: dict[str, tuple[int, float]]
    seconds: tuple[float, float]


def fitted(config: FusionConfig, task: FusionTask) -> FusionHead:
    """Train a task's model to the end."""
    Training(task, config.training, CPU).run()
    return task.model


def measure(
    config: FusionConfig, train: Sequences, others: Sequences, further: Sequences | None, fold_of: np.ndarray
) -> Found:
    """Train once, and once a fold; calibrate in each way, and measure on the other videos."""
    one_each = config.loss.name == "cross-entropy"
    began = time.perf_counter()
    model = fitted(config, FusionTask(config, train, None, CPU))
    trained = time.perf_counter()
    apart = out_of_fold_scores(config, train, CPU, fold_of, lambda task, _: fitted(config, task))
    seconds = (trained - began, time.perf_counter() - trained)
    ways = {"train": (scores(model, train), train.targets), "unseen": (apart, train.targets)}
    if further is not None:
        ways["further videos"] = (scores(model, further), further.targets)
    logits, y = scores(model, others), others.targets
    measured = multiclass_metrics if one_each else multilabel_metrics
    groups = ["tail"] * len(train.classes)
    errors, sure = {}, {}
    for way, known in {"raw": None, **ways}.items():
        x: Tensor = logits
        if known is not None:
            calibration = fit_calibration(*known, one_each)
            x = calibration.scale * logits + calibration.bias
        metrics = measured(x, y, groups, config.training.batch_size)
        assert metrics.calibration is not None and metrics.micro is not None
        errors[way], micro = metrics.calibration, metrics.micro
        high = (torch.softmax(x, 1) if one_each else torch.sigmoid(x)) > 0.9
        sure[way] = int(high.sum()), float(y[high].double().mean()) if high.any() else float("nan")
    return Found(micro, errors, sure, seconds)


def show(title: str, found: list[Found], console: Console) -> None:
    """Print the mean over the seeds, and its 95% interval by Student's t."""
    micro = interval([each.micro for each in found])
    table = Table(title=f"{title}; mAP micro {percent(micro.mean)}", title_justify="left")
    for name in ("calibrated on", "calibration error", "the worst seed", "sure", "right of them"):
        table.add_column(name, justify="left" if name == "calibrated on" else "right")
    for way in found[0].errors:
        error = interval([each.errors[way] for each in found])
        half = "" if error.half is None else f" ± {error.half:.3f}"
        count = sum(each.sure[way][0] for each in found)
        right = sum(n * share for n, share in (each.sure[way] for each in found) if n)
        worst = max(each.errors[way] for each in found)
        share = f"{100 * right / count:.1f}%" if count else "–"
        table.add_row(way, f"{error.mean:.3f}{half}", f"{worst:.3f}", str(count // len(found)), share)
    console.print(table)
    training, more = (sum(each.seconds[part] for each in found) / len(found) for part in range(2))
    console.print(f"training {training:.1f} s, and the models to calibrate it {more:.1f} s")


def of_store(place: Path, config: FusionConfig, parts: int) -> Found:
    """The same on a store with splits."""
    store = FeatureStore.open(place)
    split = training_split(store, SplitRequest(), None, config.training.seed)
    classes = sorted({label for label in store.labels()["label"].to_list()})
    train, others = (
        read_sequences(store, config.sequences, config.head_name, videos, classes)
        for videos in (split.train, split.held_out)
    )
    used = set(train.video_ids)
    fold_of = np.array(folds([row for row in split.train if row.video_id in used], parts, config.training.seed))
    return measure(config, train, others, None, fold_of)


def main() -> None:
    """Train, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=60, help="to train on")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--width", type=int, default=64, help="of TFAM; its feed-forward is four times as wide")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--store", type=Path, help="with splits; instead of made-up videos")
    asked = parser.parse_args()
    set_threads(RunConfig(threads=asked.threads))
    console = Console(width=100)
    console.print(describe_machine())
    sized = {
        "tfam": {"width": asked.width, "feed_forward": 4 * asked.width},
        "training": {"epochs": asked.epochs, "precision": "fp32"},
    }
    base = fusion_settings("default", sized)
    seeds = range(base.training.seed, base.training.seed + asked.seeds)
    configs = [fusion_settings("default", sized, {"training": {"seed": seed}}) for seed in seeds]
    if asked.store is not None:
        show(f"{asked.store}", [of_store(asked.store, config, asked.folds) for config in configs], console)
        return
    labels: Labels
    for labels in ("learnable", "noise"):
        found = []
        for config in configs:
            seed = config.training.seed
            train, others, further = (made_up(n, seed, labels) for n in (asked.videos, OTHERS, OTHERS + 1))
            fold_of = np.random.default_rng(seed).permutation(asked.videos) % asked.folds
            found.append(measure(config, train, others, further, fold_of))
        show(f"{labels} labels, {asked.videos} training videos, {asked.epochs} epochs", found, console)


if __name__ == "__main__":
    main()
