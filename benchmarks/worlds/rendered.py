"""Frames of the rendered world at one size, with what there is to see in them: what a model is trained and tested on.

Rendering is the slow part, and is spread over processes; the frames of a plan are the same however many there are.
"""

import itertools
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from vimoclip.savannah import BEHAVIOURS, FPS, HABITATS, SPECIES, Scene
from vimoclip.video.resize import resize_frames

Attribute = Literal["species", "behaviour", "habitat", "light", "weather"]
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)

LEAST_MOVING = 0.01
"""Share of a frame's pixels. Less is a tail, or a breath."""

T = TypeVar("T")


@dataclass(frozen=True)
class Shots:
    """N frames.

    images: uint8 (N, 3, S, S), squashed. clip: int64 (N,), which scene each is of. captions: one a scene.
    boxes: float32 (N, 4), left, top, right and bottom of what moves on its own in each, in shares of its sides; all of
        the frame where next to nothing does.
    classes: of each attribute. holds: bool (N, classes) for each attribute, true where the frame shows it. A frame of
        two animals has two species or one, and a frame between two behaviours none.
    """

    images: NDArray[np.uint8]
    clip: NDArray[np.int64]
    boxes: NDArray[np.float32]
    captions: list[str]
    classes: dict[Attribute, tuple[str, ...]]
    holds: dict[Attribute, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.images)

    def save(self, folder: Path) -> None:
        """Into a folder that `load` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"images": self.images, "clip": self.clip, "boxes": self.boxes}
        np.savez(folder / "frames.npz", **arrays, **self.holds)  # type: ignore[arg-type]
        (folder / "frames.json").write_text(json.dumps({"captions": self.captions, "classes": self.classes}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Shots":
        """What `save` wrote."""
        said = json.loads((folder / "frames.json").read_text())
        classes = {name: tuple(values) for name, values in said["classes"].items()}
        with np.load(folder / "frames.npz") as held:
            holds = {name: held[name] for name in ATTRIBUTES}
            return cls(held["images"], held["clip"], held["boxes"], said["captions"], classes, holds)


def render(scenes: Sequence[Scene], size: int, per_scene: int, processes: int = 1) -> Shots:
    """`per_scene` frames of each scene, evenly spread over it, squashed to size x size."""
    tasks = [(scene, size, per_scene) for scene in scenes]
    if processes > 1:
        context = multiprocessing.get_context("spawn")  # torch has threads by now, which a fork would lose
        with ProcessPoolExecutor(processes, context, torch.set_num_threads, (1,)) as pool:
            made = list(pool.map(_render_one, tasks, chunksize=4))
    else:
        made = [_render_one(task) for task in tasks]
    classes: dict[Attribute, tuple[str, ...]] = {
        "species": SPECIES,
        "behaviour": BEHAVIOURS,
        "habitat": HABITATS,
        "light": tuple(sorted({scene.light for scene in scenes})),
        "weather": tuple(sorted({scene.weather for scene in scenes})),
    }
    seen = [(scene, time_s) for scene, (_, _, times) in zip(scenes, made, strict=True) for time_s in times]
    holds = {
        name: np.array([[value in _shown(scene, time_s, name) for value in classes[name]] for scene, time_s in seen])
        for name in ATTRIBUTES
    }
    clip = np.repeat(np.arange(len(scenes)), [len(times) for _, _, times in made])
    images, boxes = (np.concatenate([one[part] for one in made]) for part in (0, 1))
    return Shots(images, clip, boxes, [scene.caption for scene in scenes], classes, holds)


def _render_one(task: tuple[Scene, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32], list[float]]:
    scene, size, per_scene = task
    wanted = sorted(
        {round(n) for n in np.linspace(0, scene.frames_count - 2, per_scene)}
    )  # the last has no flow from it
    frames = np.stack(list(_picked(scene.frames(), wanted)))
    images = resize_frames(torch.from_numpy(frames), size, "squash", "bilinear").numpy()
    boxes = np.stack([moving_box(flow) for flow in _picked(scene.flows(), wanted)])
    return np.ascontiguousarray(images), boxes, [n / FPS for n in wanted]


def _picked(items: Iterator[T], wanted: Sequence[int]) -> Iterator[T]:
    last = 0
    for n in wanted:
        yield next(itertools.islice(items, n - last, None))
        last = n + 1


def moving_box(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """The box around what does not move as most of the frame does, as in `Shots`, of float32 (h, w, 2) flow."""
    height, width, _ = flow.shape
    apart = np.abs(flow - np.median(flow.reshape(-1, 2), axis=0)).max(-1) > 0.02
    if apart.sum() < LEAST_MOVING * height * width:
        return np.array([0, 0, 1, 1], np.float32)
    columns, rows = np.flatnonzero(apart.any(0)), np.flatnonzero(apart.any(1))
    edges = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    return np.array(edges, np.float32)


def _shown(scene: Scene, time_s: float, name: Attribute) -> tuple[str, ...]:
    match name:
        case "species":
            return scene.species
        case "behaviour":
            return tuple(span.label for span in scene.spans if span.start_s <= time_s < span.end_s)
        case "habitat":
            return (scene.habitat,)
        case "light":
            return (scene.light,)
        case "weather":
            return (scene.weather,)
