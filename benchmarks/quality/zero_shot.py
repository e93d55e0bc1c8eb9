"""Species and habitat by text alone, on rendered frames that the model was not trained on.

    python -m benchmarks.quality.zero_shot [--model vimoclip-tiny] [--clips 240] [--frames 3] [--seed 77001]
        [--json FILE]

A frame's class is the one whose sentence has the highest cosine with the frame. Species are asked of frames with one
animal, habitats of all. Each is asked twice, in words of the training's templates and in words that it never had.
Chance is the largest class's share. Frames are squashed, as `vimoclip ingest` does it.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from benchmarks.quality.sentences import ASKED, articled
from benchmarks.worlds.rendered import Attribute, Shots, render
from vimoclip.config.store import ClipConfig, RunConfig
from vimoclip.device import set_threads
from vimoclip.models.backbones import TINY
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.clip_text import TextTower
from vimoclip.savannah import plan

HELD_OUT_SEED = 77001
"""Of worlds that no training of ours rendered."""

QUESTIONS: tuple[Attribute, ...] = ("species", "habitat")


@dataclass(frozen=True)
class Answer:
    """How often one question was answered right.

    sentence: as asked, {} standing for the class. top1, chance: shares of `frames`. per_class: top-1 among the frames
    of each class that there were.
    """

    attribute: Attribute
    sentence: str
    top1: float
    chance: float
    frames: int
    per_class: dict[str, float]


def image_vectors(teacher: ClipTeacher, images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (N, 3, S, S) to unit vectors, fp32 (N, D)."""
    parts = [teacher(torch.from_numpy(images[n : n + 64])) for n in range(0, len(images), 64)]
    return F.normalize(torch.cat(parts).cpu(), dim=-1)


def answers(images: torch.Tensor, shots: Shots, encode: Callable[[list[str]], torch.Tensor]) -> list[Answer]:
    """Ask everything. images: the unit vectors of `shots`; encode: sentences to unit vectors."""
    found = []
    for attribute in QUESTIONS:
        holds, classes = shots.holds[attribute], shots.classes[attribute]
        asked = holds.sum(1) == 1
        truth = holds[asked].argmax(1)
        for sentence in ASKED[attribute]:
            texts = encode([articled(sentence.format(name)) for name in classes])
            right = (images[torch.from_numpy(asked)] @ texts.T).argmax(1).numpy() == truth
            shares = {name: float(right[truth == n].mean()) for n, name in enumerate(classes) if (truth == n).any()}
            chance = float(np.bincount(truth).max() / len(truth))
            found.append(Answer(attribute, sentence, float(right.mean()), chance, len(truth), shares))
    return found


def main() -> None:
    """Render, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=TINY, help="as for vimoclip ingest --clip-model")
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--frames", type=int, default=3, help="of each clip")
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="of the worlds")
    parser.add_argument("--processes", type=int, default=1, help="that render")
    parser.add_argument("--json", type=Path, help="a file to write the answers to as well")
    asked = parser.parse_args()
    set_threads(RunConfig())
    cpu = torch.device("cpu")
    teacher = ClipTeacher(ClipConfig(asked.model, precision="fp32"), cpu)
    shots = render(plan(asked.clips, asked.seed), teacher.preprocessing.size, asked.frames, asked.processes)
    found = answers(image_vectors(teacher, shots.images), shots, TextTower(teacher.config, cpu).encode)
    table = Table("", "asked", "top-1", "chance", "frames", title=f"{asked.model}, zero-shot", title_justify="left")
    for answer in found:
        row = (f"{answer.top1:.3f}", f"{answer.chance:.3f}", str(answer.frames))
        table.add_row(answer.attribute, answer.sentence, *row, end_section=True)
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    console.print(f"$ python -m benchmarks.quality.zero_shot {' '.join(sys.argv[1:])}")
    console.print(table)
    for answer in found:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in answer.per_class.items())
        console.print(f"{answer.attribute}, {answer.sentence}: {shares}")
    if asked.json:
        asked.json.write_text(json.dumps([dataclasses.asdict(answer) for answer in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
