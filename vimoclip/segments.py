"""Segments of stored videos, made from their frames in one pass and bounded memory; and what an index of them is of."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.features import Feature, Kind
from schemas.segments import INDEX_KEY, SPACES, MadeFrom, SegmentSettings, Space, segments_schema
from schemas.videos import Video
from vimoclip.arrays import vectors
from vimoclip.errors import FeatureError, StoreDamagedError
from vimoclip.store import FeatureStore
from vimoclip.windows import Window, WindowMeans

WINDOW_S, STRIDE_S = 2.0, 1.0
OF: dict[Space, tuple[str, Kind]] = {"appearance": ("clip", "image"), "motion": ("moclip", "motion")}
"""By space, the feature that it is made from unless another is named, and the kind of feature that it can be."""

_ROWS = 4096


def made_from(store: FeatureStore, asked: dict[Space, str]) -> dict[str, MadeFrom]:
    """The features of each space that the store can have: those asked for, else its own.

    Raises:
        FeatureError: the store has no such feature, or it is of another kind.
    """
    found = {}
    for space in SPACES:
        own, kind = OF[space]
        name = asked.get(space, own)
        feature = store.features.get(name)
        if feature is not None and feature.kind == kind:
            found[str(space)] = MadeFrom(name, feature.fingerprint)
        elif space in asked:
            fitting = [other.name for other in store.features.values() if other.kind == kind]
            raise FeatureError(
                f"Segments cannot have their {space} from this feature.",
                received=name if feature is None else f"{name}, a feature of kind {feature.kind}",
                expected=" or ".join(fitting) or f"a feature of kind {kind}, of which the store has none",
                hint="`vimoclip features` lists them.",
            )
    return found


def settings_of(store: FeatureStore) -> SegmentSettings | None:
    """What the store's segments were made from; None where there are none.

    Raises:
        StoreDamagedError: their table does not say.
    """
    table = store.tables.get("segments")
    if table is None:
        return None
    try:
        return SegmentSettings.from_json((table.schema.metadata or {})[INDEX_KEY])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreDamagedError(
            f"The table segments of {store.place} does not say what it was made from.",
            hint="`vimoclip index --rebuild` makes it anew.",
        ) from error


def changed(store: FeatureStore, settings: SegmentSettings) -> list[str]:
    """The spaces whose feature is another one now than when the segments were made, or is gone."""

    def now(feature: Feature | None) -> str | None:
        return None if feature is None else feature.fingerprint

    return [
        space for space, made in settings.spaces.items() if now(store.features.get(made.feature)) != made.fingerprint
    ]


def schema_of(store: FeatureStore, settings: SegmentSettings) -> pa.Schema:
    """The schema of the store's segments with these settings."""
    dims = {space: store.features[made.feature].dim for space, made in settings.spaces.items()}
    return segments_schema(dims, settings)


def segments_of(store: FeatureStore, settings: SegmentSettings, rows: Sequence[Video]) -> Iterator[pa.Table]:
    """The segments of these videos, a table for each, in no particular order of videos; `rows` are live ones.

    In memory at one time: a few thousand frames, and the segments of the videos that they belong to.

    Raises:
        StoreDamagedError: a video's frames are not whole.
    """
    schema = schema_of(store, settings)
    features = {space: made.feature for space, made in settings.spaces.items()}
    waiting = {row.take: row for row in rows}
    open_takes: dict[int, _Take] = {}
    where = None
    if len(waiting) < len(store.live_takes()):
        where = pc.field("take").isin(pa.array(list(waiting), pa.int64()))
    columns = ["take", "frame_index", "time_s", *features.values()]
    for batch in store.tables["frames"].batches(list(dict.fromkeys(columns)), where, _ROWS):
        takes, index, time_s = (batch[name].to_numpy() for name in ("take", "frame_index", "time_s"))
        if not (wanted := [take for take in np.unique(takes).tolist() if take in waiting]):
            continue
        arrays = {space: vectors(batch[feature]).astype(np.float64) for space, feature in features.items()}
        present = {space: ~np.isnan(array[:, 0]) for space, array in arrays.items()}
        for space, array in arrays.items():
            array[~present[space]] = 0
        cuts = [0, *(np.flatnonzero(np.diff(takes)) + 1).tolist(), len(takes)]
        for first, last in itertools.pairwise(cuts):
            take = int(takes[first])
            if take not in wanted:
                continue
            part = open_takes.get(take) or open_takes.setdefault(take, _Take(waiting[take], settings))
            run = slice(first, last)
            part.add(
                index[run],
                time_s[run],
                {space: array[run] for space, array in arrays.items()},
                {space: array[run] for space, array in present.items()},
            )
            if part.whole:
                del open_takes[take], waiting[take]
                yield part.table(schema)
    if waiting:
        row = next(iter(waiting.values()))
        raise _not_whole(row, open_takes[row.take].count if row.take in open_takes else 0)


class _Take:
    """One video on its way into windows."""

    def __init__(self, row: Video, settings: SegmentSettings) -> None:
        if row.duration_s is None or not row.frames:
            raise _not_whole(row, 0)
        self._row = row
        self._means = WindowMeans(row.duration_s, settings.window_s, settings.stride_s, list(settings.spaces))
        self._windows: list[Window] = []

    @property
    def count(self) -> int:
        return self._means.frames

    @property
    def whole(self) -> bool:
        return self.count == self._row.frames

    def add(
        self,
        index: np.ndarray,
        time_s: np.ndarray,
        arrays: dict[str, np.ndarray],
        present: dict[str, np.ndarray],
    ) -> None:
        if not np.array_equal(index, np.arange(self.count, self.count + len(index))):
            raise _not_whole(self._row, self.count)
        self._windows += self._means.add(time_s, arrays, present)
        if self.whole:
            self._windows += self._means.rest()

    def table(self, schema: pa.Schema) -> pa.Table:
        n = len(self._windows)
        columns: dict[str, pa.Array] = {
            "video_id": pa.array([self._row.video_id] * n, pa.string()),
            "take": pa.array([self._row.take] * n, pa.int64()),
        }
        for name in ("start_frame", "end_frame", "start_s", "end_s"):
            columns[name] = pa.array([getattr(window, name) for window in self._windows], schema.field(name).type)
        for name in schema.names[len(columns) :]:
            columns[name] = _column([window.vectors[name] for window in self._windows], schema.field(name).type)
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _column(values: list[np.ndarray | None], kind: pa.FixedSizeListType) -> pa.Array:
    absent = np.array([value is None for value in values], np.bool_)
    nothing = np.zeros(kind.list_size, np.float16)
    flat = np.concatenate([nothing if value is None else value for value in values])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), kind.list_size, mask=pa.array(absent))


def _not_whole(row: Video, count: int) -> StoreDamagedError:
    return StoreDamagedError(
        f"The frames of {row.video_id} are not whole.",
        received=f"frames in order up to {count}",
        expected=f"{row.frames} frames",
        hint="Run `vimoclip verify` to see what is damaged.",
    )
