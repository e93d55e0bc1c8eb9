"""Train vimoclip-tiny, the small CLIP model that comes with the package, on rendered frames and sentences about them.

    python -m benchmarks.worlds.train_tiny --out vimoclip/models/tiny --minutes 40 [--threads 2] [--seed 0]
        [--frames FOLDER] [--clips 2400] [--per-clip 6] [--steps N] [--device auto]

Renders (into --frames, or reads what an earlier run rendered there), trains (benchmarks/worlds/tiny_trainer.py), and
writes into --out: the model as an open_clip folder, its weights in fp16, and `training.json`, with the figures of
benchmarks/quality/zero_shot.py on other worlds.

--minutes is turned into a number of steps by timing a few. That number is in the record: with it as --steps, and the
same seed, threads and machine, a rerun gives the same weights.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import describe
from benchmarks.quality.zero_shot import HELD_OUT_SEED, answers, image_vectors
from benchmarks.worlds.rendered import Shots, render
from benchmarks.worlds.tiny_trainer import BATCH, RENDERED, Trainer
from vimoclip.config.store import ClipConfig, RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.clip_text import TextTower
from vimoclip.savannah import Scene, plan

WORLDS_SEED = 1001


def main() -> None:
    """Render, train, write, test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="of training; rendering and testing come on top")
    length.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches")
    parser.add_argument("--frames", type=Path, default=Path("tiny-frames"), help="rendered ones, or where to put them")
    parser.add_argument("--clips", type=int, default=2400)
    parser.add_argument("--per-clip", type=int, default=6)
    parser.add_argument("--threads", type=int, default=0, help="0 is one a core")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    threads, device = set_threads(RunConfig(threads=asked.threads)), pick_device(asked.device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    began = time.monotonic()
    shots = rendered(asked.frames, plan(asked.clips, WORLDS_SEED), asked.per_clip, threads)
    print(f"{len(shots)} frames of {len(shots.captions)} clips in {time.monotonic() - began:.0f} s", flush=True)
    record = train(shots, asked, device)
    cpu = torch.device("cpu")
    teacher = ClipTeacher(ClipConfig(f"local-dir:{asked.out}", precision="fp32"), cpu)
    held_out = render(plan(240, HELD_OUT_SEED), teacher.preprocessing.size, 3, threads)
    found = answers(image_vectors(teacher, held_out.images), held_out, TextTower(teacher.config, cpu).encode)
    record |= {
        "zero_shot": [dataclasses.asdict(answer) for answer in found],
        "held_out_seed": HELD_OUT_SEED,
        "weights_sha256": teacher.weights_sha256,
    }
    (asked.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    for answer in found:
        print(
            f"{answer.attribute} ({answer.sentence}): {answer.top1:.3f} of {answer.frames}, chance {answer.chance:.3f}"
        )


def rendered(folder: Path, scenes: list[Scene], per_clip: int, processes: int) -> Shots:
    """What `folder` holds, if that is still what the scenes look like; else rendered, and kept there."""
    if (folder / "frames.json").is_file():
        held, first = Shots.load(folder), render(scenes[:1], RENDERED, per_clip)
        if held.captions == [scene.caption for scene in scenes] and np.array_equal(
            held.images[: len(first)], first.images
        ):
            return held
        print(f"{folder} holds frames of other worlds; rendering anew", flush=True)
    shots = render(scenes, RENDERED, per_clip, processes)
    shots.save(folder)
    return shots


def train(shots: Shots, asked: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Train and write into `asked.out`; returns what to record of it."""
    trainer = Trainer(shots, asked.seed, device)
    steps = asked.steps or _steps_in(asked.minutes, Trainer(shots, asked.seed, device))
    curve: list[dict[str, float]] = []
    sums: dict[str, float] = {}
    every, began = max(1, steps // 40), time.monotonic()
    for step in range(steps):
        for name, loss in trainer.step(step / steps).items():
            sums[name] = sums.get(name, 0.0) + loss
        if (step + 1) % every == 0:
            curve.append({"step": step + 1} | {name: round(total / every, 4) for name, total in sums.items()})
            sums = {}
            said = "  ".join(f"{name} {value:g}" for name, value in curve[-1].items())
            print(f"{(time.monotonic() - began) / 60:5.1f} min  {said}", flush=True)
    spent = time.monotonic() - began
    trainer.write(asked.out)
    return {
        "machine": describe(),
        "seed": asked.seed,
        "worlds_seed": WORLDS_SEED,
        "clips": len(shots.captions),
        "frames": len(shots),
        "steps": steps,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "device": device.type,
        "minutes": round(spent / 60, 2),
        "frames_per_second": round(steps * BATCH / spent, 1),
        "losses": curve,
    }


def _steps_in(minutes: float, trial: Trainer) -> int:
    # By timing a trainer that is thrown away, so that the real one's random numbers do not depend on it.
    for _ in range(3):
        trial.step(0.5)
    began, timed = time.monotonic(), 10
    for _ in range(timed):
        trial.step(0.5)
    return max(1, int(minutes * 60 / ((time.monotonic() - began) / timed)))


if __name__ == "__main__":
    main()
