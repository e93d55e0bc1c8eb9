"""Training TFAM: what reading costs beside computing, what padding costs, and how much faster than a plain loop it is.

    python -m benchmarks.speed.train_fusion [--steps 12] [--videos 1500] [--threads 1]

An epoch against the same steps on batches that lie ready in memory; the padding of an epoch of all 24,004 clips; and
videos a second of our loop against a plain one of the same model: batches of videos at random, each padded to its
longest, in fp32. All on Animal Kingdom's labels, made-up vectors and made-up lengths (animal_kingdom.py); the paper's
settings. Steps are taken in turns, so that a noisy machine slows all; without the lists nothing can be measured.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.common import describe_machine
from benchmarks.quality.animal_kingdom import LISTS, TRAIN, clips, lengths, sequences
from vimoclip.config.fusion import PRESETS, FusionConfig, TfamConfig
from vimoclip.sequences.sequences import Batch, Sequences, cut_by_length, padding_share, shuffled_batches
from vimoclip.training.fusion import FusionTask
from vimoclip.training.loop import Training
from vimoclip.training.optimizer import training_precision


class ReadyTask(FusionTask):
    """The same task, whose batches lie ready."""

    ready: dict[bytes, Batch]

    def batch(self, videos: NDArray[np.int64]) -> Batch:
        """Of these videos."""
        return self.ready[videos.tobytes()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="of each kind")
    parser.add_argument("--videos", type=int, default=1500, help="that are held in memory")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=512, help="of the model, smaller to try the script out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    cpu, paper = torch.device("cpu"), PRESETS["paper"]
    config = replace(paper, tfam=_narrow(paper.tfam, arguments.width))
    train = sequences(LISTS / TRAIN, "cross", "raw", arguments.videos, cpu)
    console.print(f"precision auto is {training_precision('auto', cpu)} here; {arguments.threads} threads")
    _padding(console)
    _reading(console, config, train, arguments.steps)
    _plain(console, config, train, arguments.steps)


def _narrow(tfam: TfamConfig, width: int) -> TfamConfig:
    return tfam if width == tfam.width else replace(tfam, width=width, feed_forward=4 * width)


def _padding(console: Console) -> None:
    steps = lengths(len(clips(LISTS / TRAIN)))
    plans = [shuffled_batches(steps, 8, 49, epoch) for epoch in range(3)]
    parts = [[part for batch in plan for part in cut_by_length(batch, steps)] for plan in plans]
    wasted = max(padding_share(each, steps) for each in parts)
    random = np.array_split(np.random.default_rng(0).permutation(len(steps)), len(steps) // 8)
    console.print(
        f"padding of an epoch of {len(steps)} clips: {wasted:.1%} in {len(plans[0])} batches of {len(parts[0])} parts; "
        f"{padding_share(random, steps):.1%} with batches at random"
    )


def _reading(console: Console, config: FusionConfig, train: Sequences, steps: int) -> None:
    cpu = torch.device("cpu")
    reading, ready = FusionTask(config, train, None, cpu), ReadyTask(config, train, None, cpu)
    plan = reading.plan(0)[:steps]
    ready.ready = {videos.tobytes(): train.batch(videos) for videos in plan}
    spent: dict[str, list[float]] = {"reading": [], "ready": []}
    stepping = {"reading": _stepper(reading, config), "ready": _stepper(ready, config)}
    for turn, videos in enumerate(plan):
        for name in sorted(stepping, reverse=bool(turn % 2)):
            began = time.perf_counter()
            stepping[name](videos)
            spent[name].append(time.perf_counter() - began)
    ratios = np.array(spent["reading"][1:]) / np.array(spent["ready"][1:])  # the first of each warms up
    whole = sum(spent["reading"][1:]) / sum(spent["ready"][1:])
    console.print(
        f"a step that reads its batch over one whose batch lies ready, {len(plan)} of each: median "
        f"{np.median(ratios):.3f}, all together {whole:.3f}"
    )
    began = time.perf_counter()
    for videos in plan:
        train.batch(videos)
    console.print(f"reading alone: {(time.perf_counter() - began) / len(plan) * 1e3:.1f} ms a batch")


def _plain(console: Console, config: FusionConfig, train: Sequences, steps: int) -> None:
    plain = replace(config, training=replace(config.training, precision="fp32"))
    cpu = torch.device("cpu")
    ours, theirs = FusionTask(config, train, None, cpu), FusionTask(plain, train, None, cpu)
    random = np.random.default_rng(0)
    bucketed = ours.plan(0)
    stepping = {"ours": _stepper(ours, config), "plain": _stepper(theirs, plain)}
    seconds, videos = dict.fromkeys(stepping, 0.0), dict.fromkeys(stepping, 0)
    for step in range(steps + 1):
        batches = {"ours": bucketed[step % len(bucketed)], "plain": random.choice(len(train), 8, replace=False)}
        for name, batch in batches.items():
            began = time.perf_counter()
            stepping[name](batch)
            if step:  # the first of each warms up
                seconds[name] += time.perf_counter() - began
                videos[name] += len(batch)
    rate = {name: videos[name] / seconds[name] for name in stepping}
    table = Table("", "videos/s", title=f"{steps} steps of each", title_justify="left")
    for name, each in rate.items():
        table.add_row(name, f"{each:.2f}")
    table.add_row("ours / plain", f"{rate['ours'] / rate['plain']:.2f}")
    console.print(table)


def _stepper(task: FusionTask, config: FusionConfig) -> Callable[[NDArray[np.int64]], Tensor]:
    """One step of the library's own loop."""
    training = Training(task, config.training, torch.device("cpu"))
    task.model.train()
    return lambda videos: training.step(videos, config.training.lr)


if __name__ == "__main__":
    main()
