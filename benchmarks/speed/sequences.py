"""Sequences in random order: ours in memory and mapped from files, numpy's memmap, and HDF5 as it is often used.

    python -m benchmarks.speed.sequences [--videos 2000] [--frames 180] [--turns 5]

Every path gives the fp16 vectors of whole videos, image and motion, copied into memory of their own: one video at a
time, and then eight, in one array. The HDF5 loader is the usual one: a group a video, gzip, a frame a chunk, and the
file opened for each item. The paths take turns, so that a noisy machine slows all; the page cache is warm.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from benchmarks.speed.store import DIM, new_store, unit_vectors, write_videos
from vimoclip.config.fusion import SequenceConfig
from vimoclip.sequences.reader import SequenceStorage, read_sequences
from vimoclip.sequences.sequences import Sequences
from vimoclip.store.feature_store import FeatureStore
from vimoclip.training.splits import videos_of_split

SLOW = "HDF5, opened per item"

Reader = Callable[[np.ndarray], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=180)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        _measure(console, Path(folder), arguments.videos, arguments.frames, arguments.turns)


def _measure(console: Console, folder: Path, videos: int, frames: int, turns: int) -> None:
    values = unit_vectors(frames + 1)  # and frame 0, which is not read
    store = new_store(folder / "store")
    write_videos(store, videos, values, b"")
    store = store.refresh()
    began = time.perf_counter()
    memory = _read(store, SequenceStorage("memory"))
    seconds = time.perf_counter() - began
    size = 2 * 2 * DIM * frames * videos
    console.print(f"{videos} videos of {frames} × 2 × {DIM} fp16, {size / 1e9:.2f} GB; into memory in {seconds:.2f} s")
    files = _read(store, SequenceStorage("files", folder / "cache"))
    readers: dict[str, Reader] = {
        "ours, in memory": _rows(memory),
        "ours, mapped files": _rows(files),
        "ours, for a step": memory.batch,
        "numpy memmap": memmap(folder / "vectors.bin", videos, values[1:]),
        SLOW: hdf5(folder / "vectors.h5", videos, values[1:]),
    }
    for together in (1, 8):
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for turn in range(turns):
            order = np.random.default_rng(turn).permutation(videos)
            for name, reader in readers.items():
                some = order[: max(together, videos // 10)] if name == SLOW else order
                began = time.perf_counter()
                for first in range(0, len(some), together):
                    reader(some[first : first + together])
                rates[name].append(len(some) / (time.perf_counter() - began))
        median = {name: float(np.median(each)) for name, each in rates.items()}
        title = f"{together} at a time"
        table = Table("", "videos/s", "over HDF5", "over memmap", title=title, title_justify="left")
        for name, rate in median.items():
            table.add_row(name, f"{rate:,.0f}", f"{rate / median[SLOW]:.2f}", f"{rate / median['numpy memmap']:.2f}")
        console.print(table)
    console.print("ours, for a step: padded, fp32, with masks and labels, as training takes a batch")


def _read(store: FeatureStore, storage: SequenceStorage) -> Sequences:
    return read_sequences(store, SequenceConfig(), "cross", videos_of_split(store), ["nothing"], "kept", storage)


def _rows(sequences: Sequences) -> Reader:
    return lambda videos: sequences.rows.read(videos, int(sequences.steps[videos].max()))


def memmap(path: Path, videos: int, values: np.ndarray) -> Reader:
    """Videos of these vectors, image and motion alike, in one array (videos, T, 2, D)."""
    shape = (videos, len(values), 2, DIM)
    written = np.memmap(path, np.float16, "w+", shape=shape)
    written[:] = values.astype(np.float16)[None, :, None]
    written.flush()
    mapped = np.memmap(path, np.float16, "r", shape=shape)

    def read(chosen: np.ndarray) -> object:
        found = np.empty((len(chosen), *shape[1:]), np.float16)
        for i, video in enumerate(chosen.tolist()):
            found[i] = mapped[video]
        return found

    return read


def hdf5(path: Path, videos: int, values: np.ndarray) -> Reader:
    """The same, as a group a video with a data set a feature."""
    half = values.astype(np.float16)
    with h5py.File(path, "w") as file:
        for video in range(videos):
            for name in ("clip", "moclip"):
                file.create_dataset(f"{video:06d}/{name}", data=half, chunks=(1, DIM), compression="gzip")

    def read(chosen: np.ndarray) -> object:
        found = np.empty((len(chosen), 2, *half.shape), np.float16)
        for i, video in enumerate(chosen.tolist()):
            with h5py.File(path, "r") as file:
                found[i] = [file[f"{video:06d}/{name}"][:] for name in ("clip", "moclip")]
        return found

    return read


if __name__ == "__main__":
    main()
