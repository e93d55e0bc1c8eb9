"""Is a clip still found when its file is another: encoded anew, half as large, a fifth cut from either end?

    python -m benchmarks.quality.file_query FOLDER [--clips 40] [--fps 3] [--model ViT-B-32] [--weights none]

Clips drawn at random from a folder go into a store; each, so changed, is then searched for with `--clip`. Chance is
one of the clips.
"""

import argparse
import random
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from rich.console import Console

from benchmarks.common import describe_machine
from pipelines.index import IndexRequest
from pipelines.index import run as index
from pipelines.ingest import IngestRequest
from pipelines.ingest import run as ingest
from vimoclip.api import Store
from vimoclip.config.store import RunConfig, Sampling
from vimoclip.video.decode import FrameChunk, decode
from vimoclip.video.files import EXTENSIONS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--fps", type=float, default=3.0)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as place:
        where = Path(place)
        settings = {
            "clip": {"model": asked.model, "weights": asked.weights},
            "sampling": {"fps": asked.fps},
            "flow": {"estimator": "frame-difference"},
        }
        ranks = found(where, chosen(asked.folder, asked.clips), settings, RunConfig(threads=asked.threads))
    first = sum(rank == 1 for rank in ranks)
    console.print(f"found first: {first} of {len(ranks)}; ranks of the others: {[rank for rank in ranks if rank != 1]}")


def chosen(folder: Path, count: int) -> list[Path]:
    """Clips of a folder, at random but always the same."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    random.Random(0).shuffle(files)
    return files[:count]


def found(where: Path, files: list[Path], settings: dict[str, Any], run: RunConfig) -> list[int]:
    """At which place each clip is found by its changed file; 0 is not among the first 50 bouts."""
    (where / "videos").mkdir()
    for n, path in enumerate(files):
        shutil.copy(path, where / "videos" / f"{n:03d}{path.suffix}")
    ingest(IngestRequest([where / "videos"], where / "store", settings, run))
    index(IndexRequest(where / "store"))
    store = Store.open(where / "store")
    ranks = []
    for video_id in store.videos()["video_id"]:
        change(where / "videos" / video_id, where / "changed.mp4")
        ids = [hit.video_id for hit in store.search(clip=where / "changed.mp4", top=50, run=run)]
        ranks.append(ids.index(video_id) + 1 if video_id in ids else 0)
    return ranks


def change(source: Path, target: Path) -> None:
    """The middle three fifths of a clip, half as large, at another quality."""
    chunks = [event for event in decode(source, Sampling(), "keep") if isinstance(event, FrameChunk)]
    frames = np.concatenate([chunk.frames for chunk in chunks])
    fps = len(frames) / (float(chunks[-1].time_s[-1]) + 1 / 25)
    first, last = len(frames) // 5, max(len(frames) // 5 + 1, len(frames) * 4 // 5)
    height, width = (max(8, side // 4 * 2) for side in frames.shape[1:3])
    with av.open(str(target), "w") as output:
        stream: Any = output.add_stream("libx264", Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", {"crf": "28"}
        for frame in frames[first:last]:
            small = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        output.mux(stream.encode(None))


if __name__ == "__main__":
    main()
