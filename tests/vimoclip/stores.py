"""Small real stores with made-up vectors, written by the store's own writer: no model, no video file.

store = make_store(tmp_path / "store", {"a.mp4": 5, "b.mp4": 3})
writer = StoreWriter(store)
writer.add(take := writer.new_take(), embedded("c.mp4", 0, 4))
writer.put(ok_row("c.mp4", take, 4, store.fingerprint))
writer.flush()
"""

import functools
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from schemas.features import Feature
from schemas.labels import Label
from schemas.videos import Video
from vimoclip.api import Store
from vimoclip.config.store import ClipConfig, StoreConfig
from vimoclip.flow.encoding import PLANE, REST, encode_flow
from vimoclip.frames import Embeddings, FrameBatch, VideoInfo
from vimoclip.store.location import LocationLike
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter

DIMS: Mapping[str, int] = {"clip": 8, "moclip": 8}
VIDEOS: Mapping[str, int] = {"a.mp4": 5, "b/c.mp4": 3, "one.mp4": 1}
FPS = 25.0
ROOT = "/videos"
NOW = datetime(2025, 1, 1, tzinfo=UTC)


def make_store(
    where: LocationLike,
    videos: Mapping[str, int] = VIDEOS,
    dims: Mapping[str, int] = DIMS,
    *,
    keep_flow: bool = True,
    chunk: int = 4,
) -> Store:
    """A store of these videos, video_id → frames, each added `chunk` frames at a time; the same vectors every time."""
    clip = ClipConfig(weights="none", precision="fp32", batch_size=8)
    with writer_lock(where):
        store = Store.create(where, StoreConfig(clip=clip, keep_flow=keep_flow), features(dims))
        writer = StoreWriter(store)
        for video_id, count in videos.items():
            take = writer.new_take()
            for first in range(0, count, chunk):
                writer.add(take, embedded(video_id, first, min(chunk, count - first), dims))
            writer.put(ok_row(video_id, take, count, store.fingerprint))
        writer.flush()
    return store.refresh()


def write_in_turns(writer: StoreWriter, videos: Mapping[str, int], chunk: int) -> dict[str, int]:
    """Frames of all videos, `chunk` of each in turn, so that their rows lie between each other's; the take of each,
    which is yet to be committed."""
    takes = {video_id: writer.new_take() for video_id in videos}
    for first in range(0, max(videos.values()), chunk):
        for video_id, count in videos.items():
            if first < count:
                writer.add(takes[video_id], embedded(video_id, first, min(chunk, count - first)))
        writer.flush()
    return takes


def label_all(store: Store, label: Callable[[int], str], split: Callable[[int], str | None] | None = None) -> None:
    """Give the n-th video a label of the whole, and a split."""
    with writer_lock(store.place):
        writer = StoreWriter(store)
        rows = sorted(store.rows(), key=lambda row: row.video_id)
        labels = [Label(video_id=row.video_id, label=label(n), source="t") for n, row in enumerate(rows)]
        writer.set_labels(labels, [row.video_id for row in rows], "t")
        writer.flush()


def features(dims: Mapping[str, int] = DIMS) -> list[Feature]:
    """A `features` row for each vector column; `moclip` is the one made from motion."""
    return [
        Feature(
            name=name,
            kind="motion" if name == "moclip" else "image",
            dim=dim,
            model="ViT-B-16",
            weights="none",
            weights_sha256=hashlib.sha256(b"no weights").hexdigest(),
            training="random",
            preprocessing=json.dumps({"size": 224, "resize": "squash", "batch_size": 8}),
            precision="fp32",
            packages="{}",
            created_at=NOW,
        )
        for name, dim in dims.items()
    ]


def embedded(
    video_id: str, first: int, count: int, dims: Mapping[str, int] = DIMS, seed: int | None = None
) -> FrameBatch:
    """Frames first … first + count - 1 of a video, at 25 a second; frame 0 has no motion.

    Each vector follows from seed, feature and frame, however the frames are cut into chunks; the seed is by default the
    video's own.
    """
    seed = zlib.crc32(video_id.encode()) if seed is None else seed
    index = np.arange(first, first + count)
    moving = index > 0
    return FrameBatch(
        video_id=video_id,
        frame_index=index.astype(np.int32),
        source_frame=index.astype(np.int64),
        time_s=index / FPS,
        flow_speed=np.where(moving, 0.1, 0).astype(np.float32),
        features={
            name: _vectors(name, dim, index, seed, moving if name == "moclip" else np.ones(count, np.bool_))
            for name, dim in dims.items()
        },
        flow=[flow_bytes(seed + int(i)) if i > 0 else None for i in index],
    )


def ok_row(video_id: str, take: int, frames: int, fingerprint: str, **changes: Any) -> Video:
    """The `videos` row that commits a take of `embedded` frames; `changes` are other fields of Video."""
    row = Video(
        video_id=video_id,
        status="ok",
        path=f"{ROOT}/{video_id}",
        root=ROOT,
        content_hash=f"blake2b-128:{hashlib.blake2b(video_id.encode(), digest_size=16).hexdigest()}",
        bytes=1000 * frames,
        mtime_ns=1_700_000_000_000_000_000,
        ingested_at=NOW,
        take=take,
        codec="h264",
        width=320,
        height=240,
        fps=FPS,
        time_source="pts",
        frames=frames,
        decoded_frames=frames,
        duration_s=frames / FPS,
        fingerprint=fingerprint,
        attempts=1,
    )
    return replace(row, **changes)


@functools.cache
def flow_bytes(seed: int) -> bytes:
    """Encoded flow: a square that moves, over a background at rest."""
    planes = np.full((2, PLANE, PLANE), REST, np.uint8)
    x, y = np.random.default_rng(seed).integers(0, PLANE // 2, 2)
    planes[:, y : y + PLANE // 4, x : x + PLANE // 4] += np.uint8(20)
    return encode_flow(planes)


def _vectors(name: str, dim: int, index: np.ndarray, seed: int, present: np.ndarray) -> Embeddings:
    raw = [np.random.default_rng([seed, zlib.crc32(name.encode()), int(i)]).normal(size=dim) for i in index]
    z = np.array(raw, np.float32) * 10
    norm = np.linalg.norm(z, axis=1)
    return Embeddings((z / norm[:, None]).astype(np.float16), np.where(present, norm, 0).astype(np.float32))


def frames_of(time_s: np.ndarray, features: dict[str, Embeddings], video_id: str = "a.mp4") -> FrameBatch:
    """A batch of frames from the first on, at these times, with these vectors."""
    index = np.arange(len(time_s), dtype=np.int32)
    return FrameBatch(video_id, index, index.astype(np.int64), time_s, np.zeros(len(index), np.float32), features)


def info_of(duration_s: float, fps: float = 25.0) -> VideoInfo:
    """What decoding a video of this length found."""
    return VideoInfo("h264", 320, 240, 1.0, fps, "pts", round(duration_s * fps), duration_s)
