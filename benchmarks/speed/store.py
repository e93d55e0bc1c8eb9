"""What the store itself costs: a second ingest of 30,000 known videos, the writer's time a video as a store grows, and
sequences read in random order without an index and with either kind.

    python -m benchmarks.speed.store [--known 30000] [--many 10000] [--few 100] [--sequences 500]

Rows and vectors are made up; the known videos are empty files. The ingest is the real command in a fresh process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import cv2
import lance
import numpy as np
from rich.console import Console

from benchmarks.common import describe_machine
from schemas.features import Feature, Kind
from schemas.videos import Video
from vimoclip.config.store import ClipConfig, StoreConfig
from vimoclip.flow.encoding import encode_flow
from vimoclip.frames import Embeddings, FrameBatch
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.table import Table
from vimoclip.store.writer import StoreWriter

DIM = 512
FRAMES = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=30_000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--sequences", type=int, default=500)
    arguments = parser.parse_args()
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        _known(console, Path(folder), arguments.known)
    with tempfile.TemporaryDirectory() as folder:
        _growing(console, Path(folder), arguments.few, arguments.many)
    for count, frames in ((arguments.sequences, 180), (arguments.known, 30)):
        with tempfile.TemporaryDirectory() as folder:
            _reading(console, Path(folder), count, frames)


def _known(console: Console, folder: Path, count: int) -> None:
    store, videos = new_store(folder / "store"), folder / "videos"
    writer = StoreWriter(store)
    for n in range(count):
        path = videos / f"site{n % 100:02d}" / f"IMG_{n:05d}.MP4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        stat = path.stat()
        video_id = path.relative_to(videos).as_posix()
        writer.put(row(video_id, str(path), str(videos), stat.st_mtime_ns, writer.new_take(), store.fingerprint))
    writer.flush()
    before = Table.open(store.place, "videos").version
    command = [sys.executable, "-m", "vimoclip", "ingest", str(videos), "--store", str(store.place), "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    report = json.loads(done.stdout)
    untouched = Table.open(store.place, "videos").version == before
    console.print(
        f"second ingest of {report['known']} known videos: {seconds:.2f} s whole process, "
        f"{report['ingested']} ingested, nothing written: {untouched}"
    )


def _growing(console: Console, folder: Path, few: int, many: int) -> None:
    store, values = new_store(folder / "store"), unit_vectors(FRAMES)
    noise = np.random.default_rng(0).integers(0, 256, (2, 224, 224), np.uint8)
    flow = encode_flow(np.stack([cv2.GaussianBlur(plane, (0, 0), 2.5) for plane in noise]))  # some 10 kB
    small, large = [], 0.0
    # stores of a few videos before and after the large one, since a shared machine's speed drifts
    for turn in range(9):
        if turn == 4:
            large = write_videos(store, many, values, flow) / many
        small.append(write_videos(new_store(folder / f"few{turn}"), few, values, flow) / few)
    typical = sorted(small)[4]
    console.print(
        f"{FRAMES} frames of 2 × {DIM} and {len(flow)} bytes of flow a video; milliseconds a video, commits included:"
    )
    console.print(f"  at {few} videos {typical * 1e3:.2f}, at {many} {large * 1e3:.2f}: ratio {large / typical:.2f}")


def _reading(console: Console, folder: Path, count: int, frames: int) -> None:
    """What an index of takes wins: one video at a time, and all of them at once, which is how `store.frames()` asks."""
    store = new_store(folder / "store")
    write_videos(store, count, unit_vectors(frames), b"")
    with writer_lock(store.place):
        StoreWriter(store).optimize(timedelta(0))
    path = str(folder / "store" / "frames.lance")
    lance.dataset(path).drop_index("take")
    console.print(f"{count} videos of {frames} frames of 2 × {DIM}, sequences in random order:")
    kinds: tuple[Literal["BTREE", "BITMAP"] | None, ...] = (None, "BTREE", "BITMAP")
    for kind in kinds:
        if kind is not None:
            lance.dataset(path).create_scalar_index("take", kind, name="take", replace=True)
        rates, at_once = [], []
        for turn in range(3):
            snapshot = FeatureStore.open(store.place)
            ids = snapshot.videos()["video_id"].sample(min(count, 200), seed=turn).to_list()
            snapshot.sequence(ids[0])
            began = time.perf_counter()
            for video_id in ids:
                snapshot.sequence(video_id)
            rates.append(len(ids) / (time.perf_counter() - began))
            began = time.perf_counter()
            snapshot.frames(["time_s"])
            at_once.append(time.perf_counter() - began)
        console.print(
            f"  index {kind or 'none'}: {sorted(rates)[1]:.0f} videos/s; one column of all {sorted(at_once)[1]:.2f} s"
        )


def unit_vectors(count: int) -> np.ndarray:
    """Made-up vectors, fp32 (count, DIM)."""
    values = np.random.default_rng(0).standard_normal((count, DIM)).astype(np.float32)
    unit: np.ndarray = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit


def write_videos(store: FeatureStore, count: int, values: np.ndarray, flow: bytes, first: int = 0) -> float:
    """Add `count` videos of these very vectors, numbered from `first` on; the seconds that took."""
    frames, half = len(values), values.astype(np.float16)
    norm = np.ones(frames, np.float32)
    features = {"clip": Embeddings(half, norm), "moclip": Embeddings(half, np.where(np.arange(frames) > 0, norm, 0))}
    index = np.arange(frames)
    encoded = [None, *[flow] * (frames - 1)]
    began = time.perf_counter()
    with writer_lock(store.place):
        writer = StoreWriter(store)
        for n in range(first, first + count):
            take, video_id = writer.new_take(), f"{n:06d}.mp4"
            writer.add(take, FrameBatch(video_id, index, index, index / 25, norm, features, encoded))
            writer.put(row(video_id, f"/{video_id}", "/", 0, take, store.fingerprint, frames))
        writer.flush()
    return time.perf_counter() - began


def new_store(path: Path, dim: int = DIM) -> FeatureStore:
    """An empty store with two made-up features."""
    kinds: dict[str, Kind] = {"clip": "image", "moclip": "motion"}
    features = [
        Feature(
            name=name,
            kind=kind,
            dim=dim,
            model="ViT-B-32",
            weights="none",
            weights_sha256="0" * 64,
            training="random",
            preprocessing="{}",
            precision="fp32",
            packages="{}",
            created_at=datetime.now(UTC),
        )
        for name, kind in kinds.items()
    ]
    config = StoreConfig(clip=ClipConfig("ViT-B-32", "none", precision="fp32", batch_size=8))
    with writer_lock(path):
        return FeatureStore.create(path, config, features)


def row(video_id: str, path: str, root: str, mtime_ns: int, take: int, fingerprint: str, frames: int = FRAMES) -> Video:
    """A made-up row of a video that is in."""
    return Video(
        video_id=video_id,
        status="ok",
        path=path,
        root=root,
        content_hash=f"blake2b-128:{take:032x}",
        bytes=0,
        mtime_ns=mtime_ns,
        ingested_at=datetime.now(UTC),
        take=take,
        codec="h264",
        width=640,
        height=360,
        fps=25.0,
        time_source="pts",
        frames=frames,
        decoded_frames=frames,
        duration_s=frames / 25,
        fingerprint=fingerprint,
        attempts=1,
    )


if __name__ == "__main__":
    main()
