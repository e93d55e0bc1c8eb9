"""How much each video weighs in an epoch of training, how many steps that has, and how much of them is padding.

    python -m benchmarks.quality.batches [--videos 41 200 400 1000] [--batch-size 8] [--epochs 5]

Made-up lengths, log-normal (animal_kingdom.py), of which each epoch has others. The weight of a video is the derivative
of the sum of an epoch's losses with respect to the loss of that video, 1 in the mean; it is taken from the library's
own training task with a model as small as can be. Before: the batches of 0.1.0, which were cut until no more than 5% of
an epoch was padding, each a step of a batch mean. Weights are means over the videos of a tenth and over the epochs; max
/ min is the highest of any epoch. "of full" is how many steps full batches would be, "alone" the share of the videos in
a batch of one, which mixup leaves as they are, and "in one part" the padding if each batch were padded to its longest.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from benchmarks.quality.animal_kingdom import lengths
from vimoclip.config.fusion import PRESETS, FusionConfig, TfamConfig
from vimoclip.sequences.sequences import (
    MAX_PADDING,
    POOL,
    Batches,
    PackedRows,
    Sequences,
    cut_by_length,
    padding_share,
)
from vimoclip.training.fusion import FusionTask

TENTHS = ("shortest", "middle", "longest")
TINY = TfamConfig(fusion="image", layers=1, width=4, heads=1, feed_forward=4, hidden=4, dropout=0.0, positions=None)
_LIMITS = (0.5, 0.3, 0.2, 0.15, 0.1, 0.075, MAX_PADDING)


@dataclass(frozen=True)
class Epoch:
    """What an epoch does.

    Attributes:
        steps: of the optimizer.
        parts: how many parts a step is computed in, in the mean.
        padding: share of the computed steps of time that is padding.
        whole: the same if each batch were computed in one part.
        weights: of each video, 1 in the mean, fp64 (V,).
        alone: share of the videos that are in a batch of one, which mixup leaves as they are.
    """

    steps: int
    parts: float
    padding: float
    whole: float
    weights: NDArray[np.float64]
    alone: float


def cut_batches(steps: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> Batches:
    """The batches of 0.1.0: cut shorter until at most 5% of the epoch is padding."""
    order = np.random.default_rng([seed, epoch]).permutation(len(steps))
    pools = [order[i : i + batch_size * POOL] for i in range(0, len(order), batch_size * POOL)]
    pools = [pool[np.argsort(-steps[pool], kind="stable")] for pool in pools]
    for limit in _LIMITS:
        batches = [batch for pool in pools for batch in _cut(pool, steps, batch_size, limit)]
        if padding_share(batches, steps) <= MAX_PADDING:
            break
    return batches


def _cut(videos: NDArray[np.int64], steps: NDArray[np.int64], batch_size: int, limit: float) -> Batches:
    found: Batches = []
    first = 0
    for i in range(1, len(videos) + 1):
        full = i - first == batch_size
        wasteful = i < len(videos) and padding_share([videos[first : i + 1]], steps) > limit
        if full or wasteful or i == len(videos):
            found.append(videos[first:i])
            first = i
    return found


def before(steps: NDArray[np.int64], batch_size: int, epoch: int) -> Epoch:
    """An epoch of 0.1.0: each step is of a batch's mean."""
    batches = cut_batches(steps, batch_size, 49, epoch)
    weights = np.empty(len(steps))
    for batch in batches:
        weights[batch] = 1 / len(batch)
    return _epoch(batches, batches, steps, weights)


def now(steps: NDArray[np.int64], batch_size: int, epoch: int) -> Epoch:
    """An epoch of the library's training task."""
    task, video = _task(steps, batch_size)
    batches = task.plan(epoch)
    for batch in batches:
        task.loss(batch).backward()  # type: ignore[no-untyped-call]
    assert video.grad is not None
    parts = [part for batch in batches for part in cut_by_length(batch, steps)]
    return _epoch(batches, parts, steps, video.grad.double().numpy())


def _task(steps: NDArray[np.int64], batch_size: int) -> tuple[FusionTask, torch.Tensor]:
    """A task whose loss of video v is the v-th of the numbers that are returned, as each video's label is its own."""
    count = len(steps)
    offsets = np.concatenate([[0], np.cumsum(steps)])
    rows = PackedRows([torch.zeros(int(offsets[-1]), TINY.width, dtype=torch.float16)], offsets)
    names = [str(number) for number in range(count)]
    train = Sequences(
        names, offsets, rows, torch.ones(int(offsets[-1]), 1), {"image": TINY.width}, "unit", names,
        torch.eye(count, dtype=torch.uint8),
    )  # fmt: skip
    training = replace(PRESETS["paper"].training, batch_size=batch_size, precision="fp32")
    task = FusionTask(FusionConfig(tfam=TINY, mixup=None, training=training), train, None, torch.device("cpu"))
    video = torch.zeros(count, requires_grad=True)
    task._loss = lambda logits, targets: (targets @ video).mean()
    return task, video


def _epoch(batches: Batches, parts: Batches, steps: NDArray[np.int64], weights: NDArray[np.float64]) -> Epoch:
    alone = sum(len(batch) == 1 for batch in batches) / len(steps)
    wasted, whole = padding_share(parts, steps), padding_share(batches, steps)
    return Epoch(len(batches), len(parts) / len(batches), wasted, whole, weights / weights.mean(), alone)


def tenths(steps: NDArray[np.int64], weights: NDArray[np.float64]) -> list[float]:
    """The mean weight of the shortest tenth of the videos, of the tenth in the middle, and of the longest tenth."""
    order, count = np.argsort(steps, kind="stable"), max(len(steps) // 10, 1)
    middle = (len(steps) - count) // 2
    return [float(weights[order[a : a + count]].mean()) for a in (0, middle, len(steps) - count)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=[41, 200, 400, 1000])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=160, highlight=False)
    console.print(
        f"{describe_machine()}\n$ python -m benchmarks.quality.batches {' '.join(sys.argv[1:])}", markup=False
    )
    columns = (
        "videos",
        "",
        "steps",
        "of full",
        *TENTHS,
        "max / min",
        "alone",
        "parts a step",
        "padding",
        "in one part",
    )
    table = Table(*columns, title="Weight of a video in an epoch", title_justify="left")
    ways: dict[str, Callable[[NDArray[np.int64], int, int], Epoch]] = {"before": before, "now": now}
    for videos in asked.videos:
        drawn = [lengths(videos, seed) for seed in range(asked.epochs)]
        for name, way in ways.items():
            found = [way(steps, asked.batch_size, epoch) for epoch, steps in enumerate(drawn)]
            by_length = [tenths(steps, each.weights) for steps, each in zip(drawn, found, strict=True)]
            table.add_row(
                str(videos),
                name,
                f"{np.mean([each.steps for each in found]):.1f}",
                f"{videos / asked.batch_size:.1f}",
                *(f"{weight:.2f}" for weight in np.mean(by_length, axis=0)),
                f"{max(each.weights.max() / each.weights.min() for each in found):.2f}",
                f"{np.mean([each.alone for each in found]):.1%}",
                f"{np.mean([each.parts for each in found]):.2f}",
                f"{np.mean([each.padding for each in found]):.1%}",
                f"{np.mean([each.whole for each in found]):.1%}",
            )
    console.print(table)


if __name__ == "__main__":
    main()
