"""An ingest against the loop that is usual: one frame at a time, one model after the other, in fp32.

    python -m benchmarks.speed.peer VIDEOS [--clips 2] [--frames 40] [--rounds 3] [--flow raft-large|none]
        [--clip-model ViT-B-32]

The loop does what v-iashin/video_features publishes as its order of work, written anew: OpenCV reads a frame, PIL
resizes and crops it, CLIP embeds it alone (its batch size unless told otherwise); for flow the file is read once more
and RAFT takes one pair after the other, with 20 updates; arrays are saved as .npy, a few a video. Both begin as
commands of their own, on every frame of the same clips, with random weights, and are timed from start to end, in turns;
medians.
The ingest also resizes and keeps the flow, makes motion vectors and commits to a store. It has no way to do without
flow, so that beside CLIP alone stands the cheapest flow it has, the difference of frames.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine, finish, start
from vimoclip.video.encode import write_clip

UPDATES = 20  # of RAFT's flow, in the loop; the ingest takes torchvision's 12
DEADLINE_S = 3600.0
WAITING = {"GOMP_SPINCOUNT": "300000"}  # how the loop's threads wait where nothing of ours is imported


def loop(work: str, model: str, files: list[Path], out: Path) -> None:
    """The usual loop over files; work: `clip`, or `raft-large`, which is flow after CLIP."""
    import cv2
    import open_clip
    import PIL.Image
    import torch
    from torchvision.models import optical_flow

    with torch.no_grad():
        clip, _, prepare = open_clip.create_model_and_transforms(model)
        clip.eval()
        for path in files:
            found, film = [], cv2.VideoCapture(str(path))
            while (read := film.read())[0]:
                image = PIL.Image.fromarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
                found.extend(clip.encode_image(prepare(image)[None]).tolist())
            np.save(out / f"{path.stem}_clip.npy", np.array(found))
        if work == "clip":
            return
        raft = getattr(optical_flow, work.replace("-", "_"))(weights=None).eval()
        for path in files:
            flows, before, film = [], None, cv2.VideoCapture(str(path))
            while (read := film.read())[0]:
                frame = (
                    torch.from_numpy(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)).permute(2, 0, 1)[None].float() / 127.5
                    - 1
                )
                frame = torch.nn.functional.pad(frame, (0, -frame.shape[3] % 8, 0, -frame.shape[2] % 8), "replicate")
                if before is not None:
                    flows.extend(raft(before, frame, num_flow_updates=UPDATES)[-1].tolist())
                before = frame
            np.save(out / f"{path.stem}_raft.npy", np.array(flows, np.float32))


def cut(videos: Path, clips: int, frames: int, folder: Path) -> list[Path]:
    """The first frames of some clips, encoded alike."""
    import cv2

    made: list[Path] = []
    for source in sorted(path for path in videos.rglob("*") if path.suffix.lower() in (".avi", ".mp4", ".mov", ".mkv")):
        film, read = cv2.VideoCapture(str(source)), list[np.ndarray]()
        while len(read) < frames and (found := film.read())[0]:
            height, width = (side // 2 * 2 for side in found[1].shape[:2])
            read.append(cv2.cvtColor(found[1][:height, :width], cv2.COLOR_BGR2RGB))
        if len(read) == frames:
            made.append(folder / f"{len(made)}.mp4")
            write_clip(made[-1], np.stack(read), 10)
        if len(made) == clips:
            return made
    sys.exit(f"There are {len(made)} videos of {frames} frames in {videos}.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flow", default="raft-large", choices=["raft-large", "raft-small", "none"])
    parser.add_argument("--clip-model", default="ViT-B-32")
    parser.add_argument("--loop", choices=["clip", "raft-large", "raft-small"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.loop:
        loop(asked.loop, asked.clip_model, sorted(asked.videos.glob("*.mp4")), asked.out)
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (videos := work / "videos").mkdir()
        cut(asked.videos, asked.clips, asked.frames, videos)
        works = {asked.flow: [asked.flow, "--flow-weights", "none"], "clip": ["frame-difference"]}
        works.pop("none", None)
        for turn in range(asked.rounds):
            for what, flow in works.items():
                (out := work / f"{turn}-{what}").mkdir()
                began = time.perf_counter()
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.speed.peer",
                    str(videos),
                    "--loop",
                    what,
                    "--out",
                    str(out),
                ]
                command += ["--clip-model", asked.clip_model]
                subprocess.run(command, check=True, capture_output=True, env=os.environ | WAITING)
                found.setdefault((what, "loop"), []).append(time.perf_counter() - began)
                assert len(list(out.glob("*.npy"))) == asked.clips * (1 if what == "clip" else 2)
                store = work / f"{turn}-{what}-store"
                began = time.perf_counter()
                model = ["--clip-model", asked.clip_model, "--clip-weights", "none", "--flow", *flow]
                ingest = start(["ingest", str(videos), "--store", str(store), *model, "--labels", "none"])
                said = finish(ingest, DEADLINE_S)
                found.setdefault((what, "ingest"), []).append(time.perf_counter() - began)
                if ingest.returncode:
                    sys.exit(said)
                shutil.rmtree(store)
                shutil.rmtree(out)
    title = (
        f"{asked.clips * asked.frames} frames, {asked.clip_model}, random weights; seconds, medians of {asked.rounds}"
    )
    table = Table("", title=title, title_justify="left")
    for heading in ("the loop", "ingest", "ratio"):
        table.add_column(heading, justify="right")
    for what in works:
        label = "CLIP alone" if what == "clip" else f"CLIP and {what}"
        slow, fast = (statistics.median(found[what, way]) for way in ("loop", "ingest"))
        table.add_row(label, f"{slow:.1f}", f"{fast:.1f}", f"{slow / fast:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
