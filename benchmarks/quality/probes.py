"""Which behaviours one frame cannot tell apart, and motion can: linear probes on the rendered world.

    python -m benchmarks.quality.probes [--model vimoclip-tiny] [--clips 200] [--seed 88001] [--processes 1]
        [--json FILE]

For each pair of behaviours that no single frame tells apart, logistic regression on one vector a clip, tested on folds
that it was not trained on: on the mean of the frames' image features, and on the mean over time of the exact flow,
(u, v, |f|) on a grid of 8 x 8, less the camera's, which is each frame's median. A clip here is a stretch of one
behaviour. Chance is 0.5, as the two behaviours have as many clips each; the interval is Wilson's, of 95%, over all
clips, each of which is tested once.
"""

import argparse
import dataclasses
import itertools
import json
import math
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.common import describe_machine
from vimoclip.config.store import ClipConfig, RunConfig
from vimoclip.device import set_threads
from vimoclip.models.backbones import TINY
from vimoclip.models.clip import ClipTeacher
from vimoclip.savannah import FPS, PAIRS, Scene, plan
from vimoclip.video.resize import resize_frames

GRID = 8
FOLDS = 10


@dataclass(frozen=True)
class Probe:
    """One probe of one pair. low, high: of the interval. clips: tested, of both behaviours together."""

    pair: tuple[str, str]
    feature: str
    accuracy: float
    low: float
    high: float
    clips: int


@dataclass(frozen=True)
class Stretch:
    """One behaviour of one scene. images: uint8 (n, 3, S, S). motion: float32 (3 · GRID²)."""

    label: str
    images: NDArray[np.uint8]
    motion: NDArray[np.float32]


def probe(pair: tuple[str, str], feature: str, vectors: NDArray[np.float32], second: NDArray[np.bool_]) -> Probe:
    """vectors (N, D), one a clip; second: bool (N,), whether it is the pair's second behaviour."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    right = int((cross_val_predict(model, vectors, second, cv=folds) == second).sum())
    low, high = wilson(right, len(second))
    return Probe(pair, feature, right / len(second), low, high, len(second))


def wilson(right: float, of: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share; `right` may be a mean over repetitions on the same `of` cases."""
    z = 1.959964
    centre = (right + z * z / 2) / (of + z * z)
    half = z / (of + z * z) * math.sqrt(right * (of - right) / of + z * z / 4)
    return centre - half, centre + half


def stretches(scene: Scene, size: int) -> list[Stretch]:
    """What one scene shows of each of its behaviours: the flow and the picture of every frame.

    Every one: pictures taken from the first on, some frames apart, would hold the pose that a behaviour begins with
    more often than the one it ends with, and tell the two of a reversed pair apart by that.
    """
    frames, flows = list(scene.frames()), list(scene.flows())
    found = []
    for span in scene.spans:
        first, end = round(span.start_s * FPS), min(round(span.end_s * FPS), len(frames))
        pictures = torch.from_numpy(np.stack(frames[first:end]))
        images = np.ascontiguousarray(resize_frames(pictures, size, "squash", "bilinear").numpy())
        # flows[t] runs to frame t + 1
        motion = np.stack([_on_grid(flow) for flow in flows[first : end - 1]]).mean(0)
        found.append(Stretch(span.label, images, motion))
    return found


def _on_grid(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    # float32 (h, w, 2) to (3 · GRID²): u, v and |f| beside the camera's, the mean of each cell.
    flow = flow - np.median(flow[::4, ::4].reshape(-1, 2), axis=0).astype(np.float32)
    with_length = np.dstack([flow, np.linalg.norm(flow, axis=-1)])
    return np.asarray(cv2.resize(with_length, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32).reshape(-1)


def _stretches(task: tuple[Scene, int]) -> list[Stretch]:
    torch.set_num_threads(1)
    return stretches(*task)


def main() -> None:
    """Render, probe and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=TINY, help="as for vimoclip ingest --clip-model")
    parser.add_argument("--clips", type=int, default=200, help="of each pair")
    parser.add_argument("--seed", type=int, default=88001, help="of the worlds")
    parser.add_argument("--processes", type=int, default=1, help="that render")
    parser.add_argument("--json", type=Path, help="a file to write the probes to as well")
    asked = parser.parse_args()
    set_threads(RunConfig())
    teacher = ClipTeacher(ClipConfig(asked.model, precision="fp32"), torch.device("cpu"))
    print(f"{describe_machine()}\n$ python -m benchmarks.quality.probes {' '.join(sys.argv[1:])}", flush=True)
    found: list[Probe] = []
    context = multiprocessing.get_context("spawn")
    for pair in PAIRS:
        tasks = [(scene, teacher.preprocessing.size) for scene in plan(asked.clips, asked.seed, pair)]
        with ProcessPoolExecutor(asked.processes, context) as pool:
            clips = [clip for clip in itertools.chain(*pool.map(_stretches, tasks)) if clip.label in pair]
        second = np.array([clip.label == pair[1] for clip in clips])
        pictures = np.stack([teacher(torch.from_numpy(clip.images)).mean(0).cpu().numpy() for clip in clips])
        motions = np.stack([clip.motion for clip in clips])
        found += [probe(pair, f"image, {asked.model}", pictures, second), probe(pair, "exact flow", motions, second)]
        for each in found[-2:]:
            interval = f"{each.low:.3f} to {each.high:.3f}"
            print(f"{' / '.join(pair)}; {each.feature}: {each.accuracy:.3f} ({interval}) of {each.clips}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps([dataclasses.asdict(each) for each in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
