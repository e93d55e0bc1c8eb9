"""Train vimoclip-tiny, the small CLIP model that comes with the package, on rendered frames and sentences about them.

    python -m benchmarks.worlds.train_tiny --out vimoclip/models/tiny --minutes 40 [--threads 2] [--seed 0]
        [--frames FOLDER] [--clips 2400] [--per-clip 6] [--steps N] [--device auto]

Renders (into --frames, or reads what an earlier run rendered there), trains, and writes into --out:
the model as an open_clip folder, its weights in fp16, and `training.json`, with the figures of
benchmarks/quality/zero_shot.py on other worlds.

--minutes is turned into a number of steps by timing a few. That number is in the record: with it as --steps, and the
same seed, threads and machine, a rerun gives the same weights.

L = L_pair + Σ_attribute λ · L_attribute. L_pair is CLIP's loss between the frames of a batch and a sentence about each,
in which every frame that a sentence is true of counts as its own: with nine species, most batches hold several.
L_attribute is the cross-entropy of a frame among one sentence for each class of the attribute. Both go through the text
tower, so that nothing is dropped after training.
"""

import argparse
import dataclasses
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from benchmarks.common import describe_machine
from benchmarks.quality.sentences import about, alone
from benchmarks.quality.zero_shot import HELD_OUT_SEED, answers, image_vectors
from benchmarks.worlds.rendered import ATTRIBUTES, Attribute, Shots, render
from vimoclip.config.store import ClipConfig, RunConfig
from vimoclip.device import DTYPES, pick_device, pick_precision, set_threads
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.clip_text import TextTower
from vimoclip.savannah import Scene, plan

MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 96, "layers": [1, 1, 1, 1], "width": 24, "head_width": 64},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 3},
}
"""CLIP's ResNet, and not its ViT: after 90 s of one core it named the species of three in four held-out frames. A ViT
of the same size, which first has to learn that an animal is the same one elsewhere, named one in six."""

MEAN = STD = (0.5, 0.5, 0.5)
PREPROCESS = {"mean": MEAN, "std": STD, "interpolation": "bilinear", "resize_mode": "squash"}

RENDERED = 160
"""Pixels a side of the frames that crops are taken from."""

LEAST_CROP = 0.75
"""Of a side. A smaller one would lose animals at the edge, which the sentence still names."""

CLOSE = (1.0, 0.3)
"""Share of crops that are taken around what moves, at the start of training and at its end."""
SURROUNDINGS = (1.2, 4.0)
"""Up to how many times as long as the longer side of what moves such a crop is, at the start and at the end. An animal
covers a twentieth of a frame: without seeing it from near first, a model takes hours to notice what tells species
apart."""

WEIGHTS: dict[Attribute, float] = {"species": 2.0, "habitat": 0.5, "behaviour": 0.5, "light": 0.2, "weather": 0.2}
"""λ of each attribute."""

RATE, DECAY, WARM_UP, BATCH = 2e-3, 0.05, 0.05, 128


class Trainer:
    """The model in training, and its random numbers."""

    def __init__(self, shots: Shots, seed: int, device: torch.device) -> None:
        torch.manual_seed(seed)
        self.device = device
        self.model: Any = open_clip.CLIP(**MODEL).to(device)
        self.model.visual.to(memory_format=torch.channels_last)  # half as fast again on a CPU
        self.dtype = DTYPES[pick_precision("auto", device)]
        self._tokenize = open_clip.SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])
        self._shots, self._rng, self._np_rng = shots, random.Random(seed), np.random.default_rng(seed)
        self._holds = {name: torch.from_numpy(shots.holds[name]).to(device).float() for name in ATTRIBUTES}
        decayed = [p for p in self.model.parameters() if p.ndim >= 2]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
        self._batches = self._endless()
        self.words: set[int] = set()
        """Tokens of any sentence so far."""

    def _endless(self) -> Iterator[np.ndarray]:
        while True:
            order = self._np_rng.permutation(len(self._shots))
            for start in range(0, len(order) - BATCH + 1, BATCH):
                yield order[start : start + BATCH]

    def step(self, progress: float) -> dict[str, float]:
        """One update, at a `progress` of 0 to 1 through the training. Returns the losses by name."""
        losses = self._losses(next(self._batches), progress)
        total = losses["pair"] + sum(weight * losses[name] for name, weight in WEIGHTS.items())
        for group in self._optimizer.param_groups:
            group["lr"] = rate_at(progress)
        self._optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _losses(self, chosen: np.ndarray, progress: float) -> dict[str, torch.Tensor]:
        sentences, named = self._sentences(chosen)
        classes = self._shots.classes
        questions = {name: [alone(name, value, self._rng) for value in classes[name]] for name in ATTRIBUTES}
        texts = self._encode_texts(sentences + [sentence for asked in questions.values() for sentence in asked])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32):
            images = self.model.visual(self._crops(chosen, progress))
        images = F.normalize(images.float(), dim=-1) * self.model.logit_scale.exp()
        holds = {name: held[chosen] for name, held in self._holds.items()}
        own, *asked = torch.split(texts, [len(sentences), *(len(some) for some in questions.values())])
        true = torch.ones(len(chosen), len(chosen), device=self.device)
        for name, used in named.items():
            same = (holds[name][:, None] == holds[name][None]).all(-1)
            true *= same | ~torch.tensor(used, device=self.device)[None]
        logits = images @ own.T
        losses = {"pair": (cross_entropy(logits, true) + cross_entropy(logits.T, true.T)) / 2}
        for name, some in zip(questions, asked, strict=True):
            losses[name] = cross_entropy(images @ some.T, holds[name])
        return losses

    def _sentences(self, chosen: np.ndarray) -> tuple[list[str], dict[Attribute, list[bool]]]:
        # One about each frame, and which attributes it names.
        sentences, named = [], {name: [False] * len(chosen) for name in ATTRIBUTES}
        for n, frame in enumerate(chosen):
            shown = {name: np.flatnonzero(self._shots.holds[name][frame]) for name in ATTRIBUTES}
            if self._rng.random() < 0.3:
                sentences.append(self._shots.captions[self._shots.clip[frame]])
                used = list(ATTRIBUTES)
            else:
                used = [name for name in ATTRIBUTES if len(shown[name]) and self._rng.random() < 0.5]
                values = {name: [self._shots.classes[name][k] for k in shown[name]] for name in used}
                sentences.append(about(values, self._rng))
            for name in used:
                named[name][n] = True
        return sentences, named

    def _encode_texts(self, sentences: list[str]) -> torch.Tensor:
        tokens = self._tokenize(sentences)
        self.words.update(tokens.unique().tolist())
        return F.normalize(self.model.encode_text(tokens.to(self.device)), dim=-1)

    def _crops(self, chosen: np.ndarray, progress: float) -> torch.Tensor:
        # Of each frame a part of its own; half of them mirrored, brightness and contrast moved.
        whole, size = RENDERED, (MODEL["vision_cfg"]["image_size"],) * 2
        parts = []
        for image, box in zip(self._shots.images[chosen], self._shots.boxes[chosen], strict=True):
            left, top, right, bottom = (round(edge * whole) for edge in self._window(box, progress))
            part = torch.from_numpy(image[None, :, top:bottom, left:right])
            part = F.interpolate(part, size, mode="bilinear", align_corners=False, antialias=True)
            parts.append(part.flip(-1) if self._rng.random() < 0.5 else part)
        pixels = torch.cat(parts).to(self.device, torch.float32, memory_format=torch.channels_last)
        gain, shift = (
            torch.from_numpy(self._np_rng.uniform(low, high, (len(chosen), 1, 1, 1))).float().to(self.device)
            for low, high in ((0.8, 1.2), (-25, 25))
        )
        return ((pixels * gain + shift).clamp(0, 255) / 255 - MEAN[0]) / STD[0]

    def _window(self, box: np.ndarray, progress: float) -> tuple[float, float, float, float]:
        # Left, top, right and bottom, in shares of the frame.
        left, top, right, bottom = (float(edge) for edge in box)
        close, most = (start + progress * (end - start) for start, end in (CLOSE, SURROUNDINGS))
        side = self._rng.uniform(LEAST_CROP, 1)
        if self._rng.random() < close:
            side = min(1.0, max(right - left, bottom - top) * self._rng.uniform(1, most))
            x = self._rng.uniform(max(0.0, right - side), min(left, 1 - side))
            y = self._rng.uniform(max(0.0, bottom - side), min(top, 1 - side))
        else:
            x, y = (self._rng.uniform(0, 1 - side) for _ in range(2))
        return x, y, x + side, y + side

    def write(self, folder: Path) -> None:
        """The model as an open_clip folder, in fp16. Words that no sentence had are zero: their random vectors say
        nothing, and zeros take no room in a wheel."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
            for name, tensor in self.model.state_dict().items()
        }
        unknown = torch.ones(MODEL["text_cfg"]["vocab_size"], dtype=torch.bool)
        unknown[sorted(self.words)] = False
        state["token_embedding.weight"][unknown] = 0
        path = folder / "open_clip_model.safetensors"
        save_file(state, path)
        path.chmod(0o644)  # safetensors keeps it to its owner
        config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
        (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def cross_entropy(logits: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean over the rows of which something is true; what is true of one shares its probability evenly.

    logits, true: fp32 (N, M), true being 0 or 1.
    """
    shares = true / true.sum(1, keepdim=True).clamp_min(1)
    return -(shares * logits.log_softmax(1)).sum() / max(1, int((true.sum(1) > 0).sum()))


def rate_at(progress: float) -> float:
    """Learning rate at a progress of 0 to 1: a warm-up, then half a cosine to nothing."""
    return RATE * min((progress + 1e-3) / WARM_UP, 0.5 * (1 + math.cos(math.pi * progress)))


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
        "machine": describe_machine(),
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
