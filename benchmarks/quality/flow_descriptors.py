"""Which vector made from stored flow alone tells behaviours apart: what the starting `moclip` should be.

    python -m benchmarks.quality.flow_descriptors STORE [--by sequence|folds] [--pairs] [--names grid-8,hof-8,...]
        [--seeds 5] [--threads 1]

On a store with labels, one a video, that keeps its flow. Each candidate is made from the codes of the flow (see
vimoclip/flow/encoding.py), frame by frame, normalised as the store would and averaged over a video; logistic regression
on it, and on it beside the mean of the image vectors, is tested on videos that it was not trained on. `--by sequence`
leaves one sequence out, where a video's name begins with `<number>_<sequence>_`, as those of UT-Interaction do; `--by
folds` draws five stratified folds, once a seed. `--pairs` keeps the savannah's hard pairs, and tells each pair's two
behaviours apart by themselves. The features that the store has (`clip`, `moclip`) stand in the same table.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.common import describe_machine, sequence_of
from benchmarks.quality.probes import wilson
from vimoclip.api import Store
from vimoclip.config.store import RunConfig
from vimoclip.device import set_threads
from vimoclip.flow.encoding import decode_flows, from_planes
from vimoclip.savannah import PAIRS

Vectors = NDArray[np.float32]
Describe = Callable[[Vectors], Vectors]
"""From speeds, float32 (N, 2, 224, 224) in frame widths a second, to vectors (N, D)."""


def cells(values: Vectors, grid: int) -> Vectors:
    """The mean of each cell of a grid, (N, C, H, W) to (N, C · grid²)."""
    n, channels, height, width = values.shape
    parts = values.reshape(n, channels, grid, height // grid, grid, width // grid)
    return np.asarray(parts.mean((3, 5)).reshape(n, -1), np.float32)


def beside_camera(speeds: Vectors) -> Vectors:
    """Less each frame's median."""
    return speeds - np.median(speeds[:, :, ::4, ::4], axis=(2, 3), keepdims=True)


def signed_and_sizes(speeds: Vectors) -> Vectors:
    return np.concatenate([speeds, np.abs(speeds)], axis=1)


def histogram(x: Vectors, y: Vectors, grid: int, bins: int = 8) -> Vectors:
    """Lengths by direction in each cell, (N, H, W) twice to (N, bins · grid²)."""
    length, angle = np.hypot(x, y), np.arctan2(y, x)
    which = np.floor((angle / (2 * np.pi) + 1 / (2 * bins)) * bins).astype(np.int8) % bins
    return cells(np.stack([np.where(which == bin, length, 0) for bin in range(bins)], axis=1), grid)


def boundaries(speeds: Vectors, grid: int) -> Vectors:
    """Motion boundary histograms (Dalal et al., ECCV 2006): of the gradients of u, and of those of v."""
    found = []
    for i in range(2):
        down, right = np.gradient(speeds[:, i], axis=(1, 2))
        found.append(histogram(np.asarray(right), np.asarray(down), grid))
    return np.concatenate(found, axis=1)


def root(values: Vectors) -> Vectors:
    return np.sign(values) * np.sqrt(np.abs(values))


CANDIDATES: dict[str, Describe] = {
    "sizes-8": lambda f: cells(np.abs(f), 8),
    "sizes-16": lambda f: cells(np.abs(f), 16),
    "signs-8": lambda f: cells(f, 8),
    "grid-4": lambda f: cells(signed_and_sizes(f), 4),
    "grid-8": lambda f: cells(signed_and_sizes(f), 8),
    "grid-16": lambda f: cells(signed_and_sizes(f), 16),
    "codes-4": lambda f: cells(signed_and_sizes(root(f)), 4),
    "codes-8": lambda f: cells(signed_and_sizes(root(f)), 8),
    "codes-16": lambda f: cells(signed_and_sizes(root(f)), 16),
    "hof-4": lambda f: histogram(f[:, 0, ::2, ::2], f[:, 1, ::2, ::2], 4),
    "hof-8": lambda f: histogram(f[:, 0, ::2, ::2], f[:, 1, ::2, ::2], 8),
    "mbh-4": lambda f: boundaries(f[:, :, ::2, ::2], 4),
    "mbh-8": lambda f: boundaries(f[:, :, ::2, ::2], 8),
}


REST = 0.01
"""Frame widths a second that a cell of rest has, so that a frame at rest has a direction."""


def unit(values: Vectors, rest: float) -> Vectors:
    """To unit length beside a constant, so that a frame at rest has a direction too."""
    values = np.concatenate([values, np.full((len(values), 1), rest, np.float32)], axis=1)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)


FRAMES = 16
"""At most so many frames of a video are described, evenly spread; its mean hardly depends on more."""


def flows(store: Store) -> Iterator[tuple[str, Vectors]]:
    """Each video's speeds, frame by frame."""
    for row in store.videos().iter_rows(named=True):
        found = store.tables["flow"].read(["frame_index", "flow"], pc.field("take") == row["take"])
        if found.num_rows:
            data = found.sort_by("frame_index")["flow"].to_pylist()
            chosen = np.unique(np.linspace(0, len(data) - 1, FRAMES).round().astype(int))
            yield row["video_id"], from_planes(decode_flows([data[i] for i in chosen]))


def features(store: Store, names: list[str]) -> dict[str, dict[str, Vectors]]:
    """The mean vector of each video, by candidate and video."""
    found: dict[str, dict[str, Vectors]] = {}
    for video, speeds in flows(store):
        for camera, own in (("", speeds), (", beside the camera", beside_camera(speeds))):
            for name in names:
                if camera and not name.startswith(("grid", "codes")):
                    continue
                made = CANDIDATES[name](own)
                ways = [(", root of the mean", root(made), REST**0.5), ("", made, REST)]
                if name.startswith("codes"):
                    ways = [(", mean of the root", made, REST**0.5)]
                for how, values, rest in ways:
                    found.setdefault(name + how + camera, {})[video] = unit(values, rest).mean(0)
    for name in ("clip", "moclip"):
        for video in found[next(iter(found))]:
            column = store.sequence(video, [name])[name].drop_null().combine_chunks()
            values = column.flatten().to_numpy().reshape(len(column), -1).astype(np.float32)
            found.setdefault(name, {})[video] = values.mean(0)
    return found


def right(x: Vectors, y: NDArray[np.int64], folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> int:
    """How many videos are right, each tested once."""
    found = 0
    for train, test in folds:
        # In the span of the few videos the optimum is the same, and found at once.
        model = make_pipeline(StandardScaler(), PCA(svd_solver="full"), LogisticRegression(C=0.1, max_iter=2000))
        found += int((model.fit(x[train], y[train]).predict(x[test]) == y[test]).sum())
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--by", choices=["sequence", "folds"], default="folds")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--names", default=",".join(CANDIDATES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    set_threads(RunConfig(threads=asked.threads))
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    store = Store.open(asked.store)
    made = features(store, asked.names.split(","))
    labels: dict[str, set[str]] = {video: set() for video in made["clip"]}
    for row in store.labels().iter_rows(named=True):
        labels.get(row["video_id"], set()).add(row["label"])
    groups = list(PAIRS) if asked.pairs else [tuple(sorted(set().union(*labels.values())))]
    shown: dict[str, list[int]] = {}
    count = 0
    for group in groups:
        seen = {video: own & set(group) for video, own in labels.items()}
        own = [video for video in seen if len(seen[video]) == 1]
        count += len(own)
        y = np.array([group.index(min(seen[video])) for video in own])
        for seed in range(asked.seeds if asked.by == "folds" else 1):
            if asked.by == "sequence":
                folds = list(LeaveOneGroupOut().split(y, groups=[sequence_of(video) for video in own]))
            else:
                folds = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y))
            for name, vectors in made.items():
                x = np.stack([vectors[video] for video in own])
                image = np.stack([made["clip"][video] for video in own])
                for title, inputs in ((name, x), (f"clip + {name}", np.concatenate([image, x], axis=1))):
                    shown.setdefault(title, []).append(right(inputs, y, folds))
    table = Table("", title=f"accuracy, percent, {count} videos, 95% by the videos", title_justify="left")
    for heading in ("alone", "", "with image", ""):
        table.add_column(heading, justify="right")
    seeds = asked.seeds if asked.by == "folds" else 1
    for name in made:
        line = list[str]()
        for title in (name, f"clip + {name}"):
            mean = sum(shown[title]) / seeds
            low, high = wilson(mean, count)
            line += [f"{100 * mean / count:.1f}", f"{100 * low:.0f}–{100 * high:.0f}"]
        table.add_row(name, *line)
    console.print(table)


if __name__ == "__main__":
    main()
