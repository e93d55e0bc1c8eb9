"""A store to search in, with made-up vectors and hostile ids, and the answers worked out the slow way."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.index import IndexRequest, run
from schemas.labels import Label
from schemas.segments import SPACES
from tests.vimoclip.stores import make_store
from vimoclip.api import Store
from vimoclip.config.fusion import HEADS, Fusion, FusionConfig, SequenceConfig, TfamConfig
from vimoclip.frames import vectors
from vimoclip.models.checkpoint import Meta, Source, write_checkpoint
from vimoclip.store.writer import StoreWriter

HOSTILE = (
    "x' OR '1'='1.mp4",
    "-leading-dash.mp4",
    'it\'s "quoted".mp4',
    "Ta\u00ef e\u0301.mp4",
    "Tai\u0308 \u00e9.mp4",  # the same to the eye
    "star*[a]?{b}.mp4",
    "%03d 100%.mp4",
    "new\nline.mp4",
    "<b>bold</b> & [red].mp4",
    "http:colon,comma|pipe.mp4",
    "猫 🐈/UPPER.MP4",
)
PLAIN = {"a.mp4": 160, "b/c.mp4": 100, "b/d.mp4": 75, "one.mp4": 1}
LABELS = ("grazing", "x' OR '1'='1", "<i>alert</i>")


def make(where: Path) -> Store:
    """Indexed, with labels, splits and metadata."""
    videos = PLAIN | {name: 60 + 5 * n for n, name in enumerate(HOSTILE)}
    writer = StoreWriter(make_store(where, videos, chunk=64))
    for n, video_id in enumerate(sorted(videos)):
        metadata = '{"site": "Taï", "note": "x\' OR 1=1"}' if n % 2 else '{"site": "other"}'
        writer.put(replace(writer.videos[video_id], split=("train", "val")[n % 2], metadata=metadata))
    writer.flush()
    labels = [
        Label(video_id="a.mp4", label="grazing", source="s", start_s=1.0, end_s=4.0),
        Label(video_id="b/c.mp4", label="grazing", source="s", start_s=0.0, end_s=1.5),
        Label(video_id="b/d.mp4", label=LABELS[1], source="s"),
        *(Label(video_id=video_id, label=LABELS[2], source="s") for video_id in HOSTILE),
    ]
    writer.set_labels(labels, {label.video_id for label in labels}, "s")
    run(IndexRequest(where))
    return Store.open(where)


def make_run(
    store: Store, folder: Path, fusion: Fusion = "cross", sequences: SequenceConfig | None = None, seed: int = 0
) -> Path:
    """A finished run on the store's features, with random weights: a small model without a training."""
    torch.manual_seed(seed)
    tfam = TfamConfig(fusion=fusion, layers=1, width=16, heads=2, feed_forward=32, hidden=8)
    config = FusionConfig(sequences=sequences or SequenceConfig(), tfam=tfam)
    features = {role: Source.of(store.features[getattr(config.sequences, role)]) for role in HEADS[fusion].roles}
    meta = Meta(config, ["läuft", "frißt"], [3, 1], features, str(store.place), {"frames": 1})
    write_checkpoint(folder, meta.model(), meta)
    return folder


Row = dict[str, Any]


def segments(store: Store) -> list[Row]:
    """Every segment that readers see, its vectors in float64."""
    live = set(store.live_takes())
    return [
        row | {space: _unit(row[space]) for space in SPACES if space in row}
        for row in store.tables["segments"].read().to_pylist()
        if row["take"] in live
    ]


def _unit(values: list[float] | None) -> np.ndarray | None:
    """In float64: what fp16 rounds of a vector's length is no part of a cosine."""
    return None if values is None else np.asarray(np.array(values) / np.linalg.norm(values))


def mean_of(store: Store, video_id: str, start_s: float, end_s: float, feature: str = "clip") -> np.ndarray:
    """The unit mean of a video's frames in a span, from the frames."""
    rows = store.sequence(video_id)
    time_s = rows["time_s"].to_numpy()
    z = vectors(rows[feature]).astype(np.float64)[(time_s >= start_s - 1e-6) & (time_s < end_s - 1e-6)]
    mean = np.nansum(z, axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def ranked(store: Store, score: Callable[[Row], float | None], wanted: Callable[[Row], bool]) -> list[Row]:
    """The segments that are wanted and have a score, best first, with it."""
    found = [row | {"score": score(row)} for row in segments(store) if wanted(row)]
    return sorted((row for row in found if row["score"] is not None), key=lambda row: -row["score"])
