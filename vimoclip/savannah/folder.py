"""Clips as users have them: H.264 files and a labels.csv (docs/labels.md)."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.clips import write_clip
from vimoclip.savannah.behaviours import BEHAVIOURS, FPS
from vimoclip.savannah.scenes import Scene, plan

COLUMNS = (
    "filepath",
    "label",
    "start_s",
    "end_s",
    "split",
    "species",
    "habitat",
    "light",
    "weather",
    "camera",
    "caption",
)


def write_folder(
    folder: Path,
    count: int,
    seed: int = 0,
    behaviours: Sequence[str] = BEHAVIOURS,
    written: Callable[[], None] = lambda: None,
) -> list[Scene]:
    """Write `<folder>/<name>.mp4` of each scene of `plan`, and at last `<folder>/labels.csv` with a row a span.

    written: told after each clip.

    Raises:
        ConfigError: as `plan`.
    """
    scenes = plan(count, seed, behaviours)
    folder.mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        write_clip(folder / f"{scene.name}.mp4", scene.frames(), FPS)
        written()
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for scene in scenes:
            rest = ("; ".join(scene.species), scene.habitat, scene.light, scene.weather, scene.camera, scene.caption)
            for span in scene.spans:
                times = (f"{span.start_s:.6g}", f"{span.end_s:.6g}")
                writer.writerow((f"{scene.name}.mp4", span.label, *times, scene.split, *rest))
    return scenes
