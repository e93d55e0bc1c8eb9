"""A store with all that an export may meet: ids of any spelling, three splits and none, features that are absent here
and there, a column that no feature names."""

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.labels import Label
from tests.vimoclip.stores import make_store
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table
from vimoclip.store.writer import StoreWriter

HOSTILE = [
    "x' OR '1'='1",
    'say "cheese".avi',
    unicodedata.normalize("NFC", "Taï.mp4"),
    unicodedata.normalize("NFD", "Taï.mp4"),
    "two  words /and more .mp4 ",
    "-rf.mp4",
    "new\nline\ttab\r.mp4",
    "100%_.mp4",
    "a\\b`c$d;e--.mp4",
    "猿/🦍.mp4",
    "null\x00byte",
    "A.mp4",
    "a.mp4",
    "v" * 4000,
    "/".join(["deep"] * 500),
    "a",
    "a.npz",
    "a.npz/a.mp4",
    "a.mp4.npz/b.mp4",
    "a.mp4%2Enpz/b.mp4",
    "A.MP4.NPZ/b.mp4",
    "../up.mp4",
    "a/../../up.mp4",
    "/etc/absolute.mp4",
    "./here//and/there.mp4",
    "..",
    "videos.json",
    "features.json/data.mp4",
    "README.md",
]
SPLITS = ["train", "val", "test set: 1/2", None]
DIMS = {"clip": 8, "moclip": 6, "bio": 4, "hidden": 4}
LATE, GAPPED = "猿/🦍.mp4", "a.mp4"
"""Videos of which `bio` was not computed yet, and of which it is missing here and there."""


def export_store(where: Path) -> FeatureStore:
    """Make it; of each kind of video there is one with one frame."""
    frames = {video_id: 1 + 3 * n % 11 for n, video_id in enumerate(HOSTILE)} | {GAPPED: 9, LATE: 4}
    store = make_store(where, frames, DIMS, chunk=3)
    writer = StoreWriter(store)
    for n, row in enumerate(list(writer.videos.values())):
        metadata = {"site": f"Taï {n}", "labels": f"{n} by hand", "file": f"{n}.txt"} if n % 2 else {}
        writer.put(replace(row, split=SPLITS[n % len(SPLITS)], metadata=json.dumps(metadata)))
    writer.flush()
    whole = [Label(video_id=name, label="resting", source="x.csv") for name in HOSTILE[::2]]
    spans = [
        Label(video_id=name, label='say "hé"\n', source="x.csv", start_s=start, end_s=start + 0.1)
        for name in HOSTILE[::3]
        for start in (0.0, 0.02)
    ]
    writer.set_labels([*whole, *spans], HOSTILE, "x.csv")
    table = Table.open(where, "frames")
    rows = table.read()
    gone = [
        video_id == LATE or (video_id == GAPPED and index in (0, 4, 8))
        for video_id, index in zip(rows["video_id"].to_pylist(), rows["frame_index"].to_pylist(), strict=True)
    ]
    order = np.arange(rows.num_rows)
    for name in ("bio", "bio_norm"):
        at = rows.schema.get_field_index(name)
        column = rows[name].combine_chunks().take(pa.array(order, mask=np.array(gone)))
        rows = rows.set_column(at, rows.schema.field(at), column)
    table.replace(rows)
    Table.open(where, "features").delete(pc.field("name") == "hidden")
    return FeatureStore.open(where)


def bits(values: object) -> bytes:
    """The very bits of an array of numbers, whatever may be read into their values."""
    return np.ascontiguousarray(values).tobytes()


def expected(store: FeatureStore, video_id: str, feature: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the store itself says of a feature: vectors with zeros where there is none, norms alike, and where there is
    one; value by value, apart from the code under test."""
    rows = store.sequence(video_id, [feature, f"{feature}_norm"]).to_pydict()
    dim = store.features[feature].dim
    vectors = [np.zeros(dim) if vector is None else vector for vector in rows[feature]]
    norms = [0.0 if norm is None else norm for norm in rows[f"{feature}_norm"]]
    present = [vector is not None for vector in rows[feature]]
    return np.array(vectors, np.float16), np.array(norms, np.float32), np.array(present)
