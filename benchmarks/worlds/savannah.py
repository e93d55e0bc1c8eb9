"""How fast the savannah is drawn, on one core, and what it looks like.

    python -m benchmarks.worlds.savannah [--clips 18] [--seed 0] [--flow] [--encode FOLDER] [--sheet SHEET.png]

Frames a second of one process with one thread, of wall time and of processor time: on a machine that other work
shares, the second is what the drawing took. Painting the background of each clip counts; the species' textures, made
once a process, do not. --flow: the exact flow as well. --encode: the clips and their labels are written to the folder.
--sheet: four frames a clip, as a picture.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import describe_machine
from vimoclip.savannah import SPECIES, Scene, plan, write_folder
from vimoclip.savannah.render import textures

COLUMNS = 2
"""Clips in a row of the sheet."""


def measure(what: str, work: Callable[[], int]) -> None:
    """Print frames a second of what `work` does, which says of how many frames that was."""
    wall, processor = time.perf_counter(), time.process_time()
    frames = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"{what:8} {frames} frames: {frames / wall:.0f} a second, {frames / processor:.0f} a second of processor time"
    )


def sheet(scenes: list[Scene]) -> np.ndarray:
    """uint8 (h, w, 3) in RGB: the frames at an eighth, three, five and seven eighths of each clip."""
    strips = []
    for scene in scenes:
        wanted = [scene.frames_count * part // 8 for part in (1, 3, 5, 7)]
        shown = [frame for t, frame in enumerate(scene.frames()) if t in wanted]
        label = np.full((20, sum(frame.shape[1] for frame in shown), 3), 24, np.uint8)
        cv2.putText(label, scene.caption, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
        strips.append(np.vstack([label, np.hstack(shown)]))
    strips += [np.zeros_like(strips[0])] * (-len(strips) % COLUMNS)
    return np.vstack([np.hstack(row) for row in [strips[n : n + COLUMNS] for n in range(0, len(strips), COLUMNS)]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flow", action="store_true")
    parser.add_argument("--encode", type=Path, metavar="FOLDER")
    parser.add_argument("--sheet", type=Path, metavar="SHEET.png")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(describe_machine())
    began = time.perf_counter()
    for name in SPECIES:
        textures(name)
    print(f"textures of {len(SPECIES)} species: {time.perf_counter() - began:.2f} s")
    scenes = plan(options.clips, options.seed)
    measure("drawn", lambda: sum(1 for scene in scenes for _ in scene.frames()))
    if options.flow:
        measure("flow", lambda: sum(1 for scene in scenes for _ in scene.flows()))
    if options.encode:
        folder: Path = options.encode

        def write() -> int:
            return sum(scene.frames_count for scene in write_folder(folder, options.clips, options.seed))

        measure("written", write)
    if options.sheet and not cv2.imwrite(str(options.sheet), sheet(scenes)[..., ::-1]):
        raise SystemExit(f"{options.sheet} cannot be written.")


if __name__ == "__main__":
    main()
