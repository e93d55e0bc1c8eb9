"""What is wrong with `segments`, held against the takes of `videos`."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from schemas.segments import segments_schema
from vimoclip.errors import StoreDamagedError
from vimoclip.search.segments import settings_in
from vimoclip.store.sound_tables import SoundTables
from vimoclip.store.table import Table
from vimoclip.store.verify_checks import UNIT
from vimoclip.store.verify_faults import MOST_PLACES

_ROWS = 4096
_ROW = np.dtype([("take", np.int64), ("start", np.int32), ("end", np.int32)])
_KEY = ["video_id", "take", "start_frame", "end_frame", "start_s", "end_s"]

Takes = Mapping[int, tuple[str, int | None]]
"""The takes that readers see: video_id, frames."""


def check_segments(sound: SoundTables, takes: Takes, named: set[int] | None) -> None:
    """Note every fault. named: the takes of every video; None where nobody knows them."""
    if (table := sound.opened.get("segments")) is None:
        return
    try:
        settings = settings_in(table)
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


def _check_rows(sound: SoundTables, table: Table, spaces: list[str], takes: Takes, named: set[int] | None) -> None:
    found, filled = np.zeros(table.count(), _ROW), 0
    leftovers: dict[int, tuple[str, int]] = {}
    sound.observer.table("segments", len(found))
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
        sound.observer.rows(rows.num_rows)
    for take, (video_id, count) in leftovers.items():
        sound.faults.add("leftover-rows", "segments", video_id, f"{count} rows of take {take}")
    _check_cover(sound, found[:filled], takes)


def _wrong(vectors: pa.FixedSizeListArray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows (n,) hold no finite vector, and which none of unit length; a null is neither."""
    present = vectors.is_valid().to_numpy(zero_copy_only=False)
    values = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, vectors.type.list_size)
    length = np.ones(len(vectors), np.float32)
    length[present] = np.sqrt(np.einsum("nd,nd->n", values, values))
    return ~np.isfinite(length), np.isfinite(length) & (np.abs(length - 1) > UNIT)


def _note(sound: SoundTables, fault: str, video_id: str, what: str, bad: np.ndarray) -> None:
    places = [f"{what} of the one at frame {start}" for start in bad["start"][:MOST_PLACES].tolist()]
    sound.faults.add(fault, "segments", video_id, *places, count=len(bad))


def _check_cover(sound: SoundTables, rows: np.ndarray, takes: Takes) -> None:
    """A take's segments are ranges of its frames, no two alike, from its first frame to its last."""
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
