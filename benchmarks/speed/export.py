"""What an export costs: seconds, and how much more memory a store of ten times the size takes.

    python -m benchmarks.speed.export [--videos 1000] [--frames 180]

Vectors are made up: two features of 512 values. Each export is the real command in a fresh process.
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import psutil
from rich.console import Console

from benchmarks.common import describe_machine
from benchmarks.speed.store import DIM, new_store, row
from pipelines.export import Format
from vimoclip.frames import Embeddings, FrameBatch
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=180)
    arguments = parser.parse_args()
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"tenth": arguments.videos // 10, "whole": arguments.videos}
        for name, videos in sizes.items():
            _fill(Path(folder, name), videos, arguments.frames)
        for form in get_args(Format):
            seconds, peaks, size = {}, {}, 0
            for name in sizes:
                seconds[name], peaks[name], size = _export(Path(folder, name), Path(folder, "out"), form)
            console.print(
                f"{form}: {seconds['whole']:.1f} s for {size / 1e6:.0f} MB of {sizes['whole']} videos, "
                f"{sizes['whole'] * arguments.frames / seconds['whole']:.0f} frames/s; peak {peaks['whole']:.0f} MB, "
                f"{peaks['whole'] - peaks['tenth']:+.0f} MB over that of {sizes['tenth']} videos "
                f"({seconds['tenth']:.1f} s)"
            )


def _fill(where: Path, videos: int, frames: int) -> None:
    store = new_store(where)
    rng = np.random.default_rng(0)
    index, norm = np.arange(frames), np.ones(frames, np.float32)
    flow = [None, *[b""] * (frames - 1)]
    with writer_lock(where):
        writer = StoreWriter(store)
        for n in rng.permutation(videos):  # ids in another order than they lie in
            take, video_id = writer.new_take(), f"site{n % 100:02d}/IMG_{n:05d}.MP4"
            values = rng.standard_normal((2, frames, DIM), np.float32)
            clip, moclip = (values / np.linalg.norm(values, axis=2, keepdims=True)).astype(np.float16)
            features = {"clip": Embeddings(clip, norm), "moclip": Embeddings(moclip, np.where(index > 0, norm, 0))}
            writer.add(take, FrameBatch(video_id, index, index, index / 25, norm, features, flow))
            made = row(video_id, f"/{video_id}", "/", 0, take, store.fingerprint)
            writer.put(replace(made, frames=frames, decoded_frames=frames, duration_s=frames / 25))
        writer.flush()


def _export(store: Path, out: Path, form: str) -> tuple[float, float, int]:
    """Seconds, peak resident memory in MB, sampled fifty times a second, and bytes written."""
    command = [sys.executable, "-m", "vimoclip", "export", str(out), "--format", form, "--store", str(store), "--json"]
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        assert process.stdout is not None
        report = json.load(process.stdout)
    shutil.rmtree(out)
    return seconds, peak / 1e6, report["bytes"]


if __name__ == "__main__":
    main()
