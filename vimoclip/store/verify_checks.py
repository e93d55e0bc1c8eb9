"""The checks that `verify` (verify.py) makes of the rows of `frames` and `flow`, of trained models and of `segments`.

The checks of rows need the rows alone and return what is wrong; `check_models` and `check_segments` note the faults
themselves.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from schemas.features import Feature
from schemas.models import META, WEIGHTS, folder_of, student_id
from schemas.segments import segments_schema
from vimoclip.errors import StoreDamagedError
from vimoclip.flow.encoding import decode_flow
from vimoclip.store.location import StoreLocation
from vimoclip.store.segments import parse_segment_settings
from vimoclip.store.table import Table
from vimoclip.store.verify_faults import MOST_PLACES, ReadableTables

UNIT = 0.01
"""By how much the length of a stored vector may be off 1: fp16 rounds."""


def counted(pairs: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Count how often each distinct column of an array occurs.

    Args:
        pairs: integers, (2, n).

    Yields:
        The two values, and the count.
    """
    distinct, counts = np.unique(pairs, axis=1, return_counts=True)
    return zip(*distinct.tolist(), counts.tolist(), strict=True)


def vector_faults(
    vectors: pa.Array, norms: pa.Array, index: np.ndarray, motion: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Find the rows whose vectors are wrong.

    Args:
        vectors: of a feature, fixed-size lists of D fp16, n rows.
        norms: fp32, n rows.
        index: their frame_index, (n,).
        motion: whether the feature is made from motion, which the first frame does not have.

    Yields:
        The name of each fault, with the rows that have it, bool (n,).
    """
    present = vectors.is_valid().to_numpy(zero_copy_only=False)
    values = vectors.flatten().to_numpy(zero_copy_only=False)  # of those present; a null inside one becomes NaN
    values = values.astype(np.float32).reshape(-1, vectors.type.list_size)
    length = np.ones(len(vectors), np.float32)
    length[present] = np.sqrt(np.einsum("nd,nd->n", values, values))
    norm = norms.to_numpy(zero_copy_only=False)
    yield "missing-vector", ~present & ~(motion & (index == 0))
    yield "motion-at-start", present & motion & (index == 0)
    yield "not-finite", ~np.isfinite(length)
    yield "not-unit", np.isfinite(length) & (np.abs(length - 1) > UNIT)
    yield "bad-norm", present & ~(np.isfinite(norm) & (norm > 0))


def order_faults(rows: np.ndarray, frames: bool) -> Iterator[tuple[str, list[str], int]]:
    """Find what is wrong with the order of one take's rows.

    Args:
        rows: structured array (n,) with the fields index, source and time, sorted by index.
        frames: whether they are rows of `frames` rather than of `flow`, which starts at frame 1.

    Yields:
        The name of each fault, its first places in words, and how many places it has.
    """
    twice = rows["index"][1:] == rows["index"][:-1]
    yield "duplicate-frame", [f"frame {index}" for index in rows["index"][1:][twice][:MOST_PLACES]], int(twice.sum())
    rows = rows[np.append(True, ~twice)[: len(rows)]]
    index = rows["index"]
    expected = np.arange(len(rows)) + (0 if frames else 1)
    astray = np.flatnonzero(index != expected)[:1]
    yield "frame-gap", [f"frame {index[at]} where {expected[at]} belongs" for at in astray], len(astray)
    if frames:
        for name, field in (("source-order", "source"), ("time-order", "time")):
            bad = np.append(False, ~(np.diff(rows[field]) > 0))[: len(rows)]
            if field == "time":
                bad[:1] = (index[:1] == 0) & (rows["time"][:1] != 0)
            at = np.flatnonzero(bad)
            yield name, [f"{rows[field][i]} at frame {index[i]}" for i in at[:MOST_PLACES]], len(at)


def decodes(data: bytes) -> bool:
    """Whether these bytes are encoded flow."""
    try:
        decode_flow(data)
    except StoreDamagedError:
        return False
    return True


def check_models(sound: ReadableTables, at: StoreLocation, features: Iterable[Feature]) -> None:
    """Note the trained models that `features` and `segments` name and that are missing or not whole.

    In memory at one time: the files of one model.

    Args:
        sound: the tables, and where faults are noted.
        at: the store.
        features: those of the store.
    """
    named = [("features", feature.name, id) for feature in features if (id := student_id(feature)) is not None]
    if (table := sound.opened.get("segments")) is not None:
        try:
            made = parse_segment_settings(table).behaviour
        except StoreDamagedError:  # a fault of its own
            made = None
        if made is not None:
            named.append(("segments", "behaviour", made.id))
    wrong = functools.cache(functools.partial(_wrong_model, at))
    for name, user, id in named:
        if why := wrong(id):
            sound.faults.add("missing-model", name, None, f"{user} was made with {folder_of(id)}, {why}")


def _wrong_model(at: StoreLocation, id: str) -> str | None:
    """What is wrong with a model's files, in words."""
    files = {name: at.read(f"{folder_of(id)}/{name}") for name in (WEIGHTS, META)}
    weights, meta = files[WEIGHTS], files[META]
    if weights is None or meta is None:
        return f"which has no {' and no '.join(name for name, data in files.items() if data is None)}"
    sha256 = hashlib.sha256(weights).hexdigest()
    if not sha256.startswith(id):
        return f"whose {WEIGHTS} is another, or damaged"
    try:
        whole = json.loads(meta)["weights_sha256"] == sha256
    except (ValueError, TypeError, KeyError):
        whole = False
    return None if whole else f"whose {META} is another, or damaged"


_ROWS = 4096
_ROW = np.dtype([("take", np.int64), ("start", np.int32), ("end", np.int32)])
_KEY = ["video_id", "take", "start_frame", "end_frame", "start_s", "end_s"]

Takes = Mapping[int, tuple[str, int | None]]
"""Video_id and number of frames of each take that readers see."""


def check_segments(sound: ReadableTables, takes: Takes, named: set[int] | None) -> None:
    """Check `segments` against the takes of `videos`, and note every fault.

    Args:
        sound: the tables, and where faults are noted.
        takes: those that readers see.
        named: the takes of every video; None where they are not known.
    """
    if (table := sound.opened.get("segments")) is None:
        return
    try:
        settings = parse_segment_settings(table)
    except StoreDamagedError:
        sound.faults.add("bad-settings", "segments", None, "it does not say what it was made from")
        return
    kinds = {field.name: field.type for field in table.schema if pa.types.is_fixed_size_list(field.type)}
    dims: dict[str, int] = {space: kinds[space].list_size if space in kinds else 0 for space in settings.names}
    sound.check_schema("segments", segments_schema(dims, settings))
    if sound.table("segments", *_KEY) is not None:
        spaces = [space for space in dims if sound.table("segments", space) is not None]
        with sound.reading("segments"):
            _check_rows(sound, table, spaces, takes, named)


def _check_rows(sound: ReadableTables, table: Table, spaces: list[str], takes: Takes, named: set[int] | None) -> None:
    found, filled = np.zeros(table.count(), _ROW), 0
    leftovers: dict[int, tuple[str, int]] = {}
    sound.progress.stage("segments", len(found))
    for rows in table.batches([*_KEY, *spaces], rows=_ROWS):
        part = found[filled : filled + rows.num_rows]
        filled += rows.num_rows
        for field, column in zip(_ROW.names or (), ("take", "start_frame", "end_frame"), strict=True):
            part[field] = rows[column].to_numpy()
        bad_time = ~(rows["start_s"].to_numpy() < rows["end_s"].to_numpy())
        wrong = [(space, *_wrong(rows[space])) for space in spaces]
        for take in np.unique(part["take"]).tolist():
            here = part["take"] == take
            video_ids = rows["video_id"].filter(pa.array(here)).unique().to_pylist()
            if take not in takes:
                if named is not None and take not in named:
                    first, count = leftovers.get(take, (video_ids[0], 0))
                    leftovers[take] = first, count + int(here.sum())
                continue
            owner = takes[take][0]
            for video_id in video_ids:
                if video_id != owner:
                    sound.faults.add("other-video", "segments", owner, f"rows of {video_id!r}")
            _note(sound, "bad-segment", owner, "times", part[here & bad_time])
            for space, not_finite, not_unit in wrong:
                _note(sound, "not-finite", owner, space, part[here & not_finite])
                _note(sound, "not-unit", owner, space, part[here & not_unit])
        sound.progress.advance(rows.num_rows)
    for take, (video_id, count) in leftovers.items():
        sound.faults.add("leftover-rows", "segments", video_id, f"{count} rows of take {take}")
    _check_cover(sound, found[:filled], takes)


def _wrong(vectors: pa.FixedSizeListArray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows hold a vector that is not finite, and which one not of unit length, each bool (n,); null passes."""
    present = vectors.is_valid().to_numpy(zero_copy_only=False)
    values = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, vectors.type.list_size)
    length = np.ones(len(vectors), np.float32)
    length[present] = np.sqrt(np.einsum("nd,nd->n", values, values))
    return ~np.isfinite(length), np.isfinite(length) & (np.abs(length - 1) > UNIT)


def _note(sound: ReadableTables, fault: str, video_id: str, what: str, bad: np.ndarray) -> None:
    places = [f"{what} of the one at frame {start}" for start in bad["start"][:MOST_PLACES].tolist()]
    sound.faults.add(fault, "segments", video_id, *places, count=len(bad))


def _check_cover(sound: ReadableTables, rows: np.ndarray, takes: Takes) -> None:
    """Check that a take's segments are ranges of its frames, no two alike, from its first frame to its last."""
    rows = rows[np.lexsort((rows["end"], rows["start"], rows["take"]))]
    cuts = np.flatnonzero(np.diff(rows["take"])) + 1
    for own in np.split(rows, cuts) if len(rows) else []:
        video_id, frames = takes.get(int(own["take"][0]), (None, None))
        if video_id is None or frames is None:
            continue
        outside = (own["start"] < 0) | (own["start"] >= own["end"]) | (own["end"] > frames)
        _note(sound, "bad-segment", video_id, "frames", own[outside])
        twice = np.append(False, (np.diff(own["start"]) == 0) & (np.diff(own["end"]) == 0))
        _note(sound, "bad-segment", video_id, "a second time, that", own[twice])
        if not outside.any() and (own["start"][0] != 0 or own["end"].max() != frames):
            reach = f"they reach from frame {own['start'][0]} to {own['end'].max()} of {frames}"
            sound.faults.add("bad-segment", "segments", video_id, reach)
