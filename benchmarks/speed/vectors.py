"""A store whose segments are vectors made up for a benchmark, and queries that were held out from them."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.speed.store import new_store, row
from pipelines.index import IndexReport, IndexRequest, run
from schemas.segments import segments_schema
from vimoclip.api import Store
from vimoclip.frames import Embeddings, FrameBatch, vectors
from vimoclip.store.segments import read_segment_settings
from vimoclip.store.table import Table
from vimoclip.store.writer import StoreWriter

DIM = 512
OF_VIDEO = 50
"""Segments a video."""
APART_S = 3.0
"""They begin so far apart, and are 2 s long: each is a bout of its own, and hits can be held against single vectors."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Drawn:
    """Unit vectors, fp32: of the store (n, D), and held-out queries (q, D)."""

    stored: Array
    queries: Array


def clusters(rows: int, queries: int, seed: int = 0) -> Drawn:
    """One cluster for each 500 rows, of which the members have a cosine of about 0.7 with each other."""
    rng = np.random.default_rng(seed)
    centres = _unit(rng.standard_normal((max(2, rows // 500), DIM), np.float32))
    return _around(centres, rows, queries, 0.65, rng)


def jittered(frames: Array, rows: int, queries: int, seed: int = 0) -> Drawn:
    """Real vectors, (n, D), each again and again beside itself, as an animal that moves on: at a cosine of 0.94."""
    return _around(_unit(frames), rows, queries, 0.25, np.random.default_rng(seed))


def _around(centres: Array, rows: int, queries: int, spread: float, rng: np.random.Generator) -> Drawn:
    found = np.empty((rows + queries, centres.shape[1]), np.float32)
    for first in range(0, len(found), 1 << 16):
        part = found[first : first + (1 << 16)]
        noise = rng.standard_normal(part.shape, np.float32) * np.float32(spread / np.sqrt(part.shape[1]))
        part[:] = _unit(centres[rng.integers(0, len(centres), len(part))] + noise)
    return Drawn(found[:rows], found[rows:])


def of_store(path: Path) -> Array:
    """The clip vectors of a real store's frames, fp32 (n, D)."""
    found = [vectors(batch["clip"]).astype(np.float32) for batch in Store.open(path).batches(["clip"])]
    return np.concatenate(found)


def _unit(values: Array) -> Array:
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), np.float32)


def make_store(path: Path, stored: Array) -> Store:
    """A store of these segments, without an index of them yet; and one video of 100 frames, `asked.mp4`."""
    store = new_store(path, stored.shape[1])
    writer = StoreWriter(store)
    values = stored[np.arange(100) % len(stored)].astype(np.float16)
    index, norm = np.arange(100), np.ones(100, np.float32)
    features = {"clip": Embeddings(values, norm), "moclip": Embeddings(values, np.where(index > 0, norm, 0))}
    flow = [None, *[b""] * 99]
    writer.add(take := writer.new_take(), FrameBatch("asked.mp4", index, index, index / 25, norm, features, flow))
    writer.put(row("asked.mp4", "/asked.mp4", "/", 0, take, store.fingerprint, 100))
    writer.flush()
    run(IndexRequest(path))
    add(Store.open(path), stored, 0)
    return Store.open(path)


def add(store: Store, stored: Array, first: int) -> None:
    """Add videos with these segments; the first one is number `first`. Each video says of itself in what share of all
    it is."""
    settings = read_segment_settings(store)
    assert settings is not None
    table, writer = store.tables["segments"].latest(), StoreWriter(store)
    rows = []
    takes = []
    count = -(-len(stored) // OF_VIDEO)
    for n in range(first, first + count):
        take, video_id = writer.new_take(), f"{n:06d}.mp4"
        metadata = json.dumps({f"in {share:g}": "yes" for share in (0.1, 0.01, 0.001) if n % round(1 / share) == 0})
        made = row(video_id, f"/{video_id}", "/", 0, take, store.fingerprint, 25 * OF_VIDEO * 3)
        rows.append(dataclasses.replace(made, metadata=metadata))
        takes.append(take)
    schema = segments_schema({"appearance": stored.shape[1], "motion": stored.shape[1]}, settings)
    for part in _tables(schema, stored, takes, first):
        table.append(part)
    writer.put(*rows)
    writer.flush()


def _tables(schema: pa.Schema, stored: Array, takes: list[int], first: int) -> Iterator[pa.Table]:
    step = OF_VIDEO * 1000
    for start in range(0, len(stored), step):
        values = stored[start : start + step].astype(np.float16)
        n = np.arange(start, start + len(values))
        video, at = n // OF_VIDEO, n % OF_VIDEO
        start_s = at * APART_S
        columns = [
            pa.array([f"{first + k:06d}.mp4" for k in video.tolist()]),
            pa.array(np.array(takes, np.int64)[video]),
            pa.array((start_s * 25).astype(np.int32)),
            pa.array((start_s * 25 + 50).astype(np.int32)),
            pa.array(start_s),
            pa.array(start_s + 2.0),
            pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1]),
            pa.nulls(len(values), schema.field("motion").type),
        ]
        yield pa.Table.from_arrays(columns, schema=schema)


def index(store: Store) -> IndexReport:
    """Make, or complete, the index as a user would."""
    return run(IndexRequest(store.place))


def latest(store: Store) -> Table:
    """The table of segments as it is now."""
    return store.refresh().tables["segments"]
