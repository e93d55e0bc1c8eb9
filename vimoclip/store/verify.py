"""`verify`: whether a store is whole. It checks every table against every other and against schemas/.

It reads everything and changes nothing. A table that is missing or damaged is itself a fault, and whatever can be
checked without it still is. In memory at one time: the videos and labels, 28 bytes a frame, and one batch of rows or
the files of one trained model. The checks of single rows, of models and of segments are in verify_checks.py; the faults
and what to do about each in verify_faults.py.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from schemas import SETTINGS_KEY
from schemas.features import FEATURES, OWN, Feature, feature_columns, store_fingerprint
from schemas.flow import FLOW
from schemas.frames import frames_schema
from schemas.labels import LABELS, PAST_END_S
from schemas.videos import VIDEOS
from vimoclip.config.store import StoreConfig
from vimoclip.errors import ConfigError, StoreDamagedError
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.location import LocationLike, StoreLocation, as_location
from vimoclip.store.lock import writing_since_ns
from vimoclip.store.snapshot import TABLES, check_format, missing, with_missing
from vimoclip.store.table import Table
from vimoclip.store.verify_checks import check_models, check_segments, counted, decodes, order_faults, vector_faults
from vimoclip.store.verify_faults import MOST_PLACES, Fault, ReadableTables

_ENDS = {"video_id": pl.String, "duration_s": pl.Float64}
_BATCH_ROWS = {"frames": 4096, "flow": 1024}
_ROW = np.dtype([("take", np.int64), ("index", np.int32), ("source", np.int64), ("time", np.float64)])
_VIDEO_COLUMNS = ["video_id", "status", "take", "frames", "duration_s"]
_VIDEO_COLUMNS += ["fingerprint", "duplicate_of", "metadata", "error_kind"]


def verify(where: LocationLike, progress: Progress = NO_PROGRESS) -> list[Fault]:
    """List what is wrong with the store at a place.

    Args:
        where: the store.
        progress: a stage a table, whose items are rows.

    Returns:
        The faults, in the order of FAULTS; empty when the store is whole.

    Raises:
        StoreMissingError: there is no table at all.
        StoreNewerError: a newer version of ViMoCLIP wrote the store.
        StoreUnreachableError: the object store does not answer, or refuses.
    """
    progress.stage("opening")
    at = as_location(where)
    if not {f"{name}.lance" for name in TABLES} & set(at.list_names()):
        raise missing(at)
    return _Verify(at, progress).run()


class _Verify:
    """One run. What a damaged table would have said stays None, and what depends on it is not checked."""

    def __init__(self, at: StoreLocation, progress: Progress) -> None:
        self._at, self._sound = at, ReadableTables(at, progress)
        self._progress, self._faults = progress, self._sound.faults
        self._promoting: str | None = None
        self._keep_flow: bool | None = None
        self._motion: dict[str, bool] = {}  # vector column -> whether it is made from motion
        self._added: dict[str, bool] = {}  # vector column of an added feature -> whether readers see it
        self._elsewhere: set[str] = set()  # vector columns of those made elsewhere, where any frame may lack a vector
        self._fingerprint: str | None = None
        self._features: list[Feature] = []
        self._videos: pl.DataFrame | None = None  # video_id; duration_s of those that are ok
        self._takes: dict[int, tuple[str, int | None]] = {}  # take that readers see -> video_id, frames
        self._shared: dict[int, set[str]] = {}  # take that several videos name -> their video_ids
        self._named: set[int] | None = None  # the takes of every video
        self._owners: dict[int, str] = {}  # take -> video_id, of the table being read
        self._writing_since_ns: int | None = None  # by a writer at work: rows of newer takes get their videos row later

    def run(self) -> list[Fault]:
        self._writing_since_ns = writing_since_ns(self._at)  # before the snapshot, which may then hold rows of its
        self._promoting = self._sound.open()
        self._check_settings()
        for name in list(self._sound.opened):
            with self._sound.reading(name):
                self._sound.opened[name].validate()
        self._sound.check_indexes()
        self._check_features()
        self._check_videos()
        self._check_labels()
        self._check_frames()
        self._check_flow()
        check_segments(self._sound, self._takes, self._named)
        check_models(self._sound, self._at, self._features)
        return self._faults.list()

    def _check_settings(self) -> None:
        if (table := self._sound.opened.get("videos")) is None:
            return
        try:
            check_format(table)
            self._keep_flow = StoreConfig.from_stored(json.loads(table.schema.metadata[SETTINGS_KEY])).keep_flow
        except (StoreDamagedError, ConfigError, ValueError, TypeError, AttributeError) as error:
            self._faults.add("bad-settings", "videos", None, str(getattr(error, "what", error)))

    def _check_features(self) -> None:
        self._sound.check_schema("features", FEATURES)
        rows = self._sound.rows("features", FEATURES.names)
        frames = self._sound.opened.get("frames")
        columns = set(frames.schema.names) if frames else set()
        lists = [field for field in frames.schema if pa.types.is_fixed_size_list(field.type)] if frames else []
        vectors = {field.name: field.type.list_size for field in lists}
        dims, motion = dict(vectors), {name: name == "moclip" for name in vectors}
        if rows is not None:
            dims, motion, whole = {}, {}, True
            features = [(row.pop("fingerprint"), Feature(**row)) for row in rows]
            self._features = [feature for _, feature in features]
            for stored, feature in features:
                if feature.name in dims:
                    self._faults.add("duplicate-feature", "features", None, feature.name)
                if feature.fingerprint != stored:
                    detail = f"{feature.name} has {stored}, and its row gives {feature.fingerprint}"
                    self._faults.add("feature-fingerprint", "features", None, detail)
                whole &= feature.name not in dims and feature.fingerprint == stored
                dims[feature.name], motion[feature.name] = feature.dim, feature.kind == "motion"
                if feature.elsewhere:
                    self._elsewhere.add(feature.name)
                if feature.added:
                    self._added[feature.name] = feature.complete
                    if not feature.complete:
                        how = ", which `vimoclip embed --motion RUN` finishes"
                        detail = f"{feature.name}{how if feature.name == self._promoting else ''}"
                        self._faults.add("unfinished-feature", "features", None, detail)
            unnamed = set(vectors) - set(dims)
            for name in sorted(unnamed - set(OWN)):
                self._faults.add("leftover-column", "frames", None, name)
            begun = {name for name, complete in self._added.items() if not complete}
            for name in sorted((unnamed & set(OWN)) | (set(dims) - columns - begun if frames else set())):
                lacking, what = ("frames", "column") if name in dims else ("features", "row")
                self._faults.add("missing-feature", lacking, None, f"{name} has no {what} in {lacking}")
                whole = False
            # With a feature that is itself wrong, there is no fingerprint to check the videos against.
            self._fingerprint = store_fingerprint(self._features) if whole else None
        self._sound.check_schema("frames", frames_schema({name: dim for name, dim in dims.items() if name in columns}))
        sound = [name for name in dims if name in columns and self._sound.table("frames", *feature_columns([name]))]
        self._motion = {name: motion[name] for name in sound}

    def _check_videos(self) -> None:
        self._sound.check_schema("videos", VIDEOS)
        rows = self._sound.rows("videos", _VIDEO_COLUMNS)
        if rows is None:
            return
        ids: set[str] = set()
        namers: dict[int, str] = {}
        for row in rows:
            video_id, take = row["video_id"], row["take"]
            if video_id in ids:
                self._faults.add("duplicate-video", "videos", video_id, "another row of the same id")
            ids.add(video_id)
            if take is None:
                continue
            first = namers.setdefault(take, video_id)
            if first != video_id:
                self._shared.setdefault(take, {first}).add(video_id)
                self._faults.add("shared-take", "videos", video_id, f"take {take} is that of {first!r} too")
            if row["status"] == "ok":
                self._takes.setdefault(take, (video_id, row["frames"]))
        self._named = set(namers)
        for row in rows:
            for name, detail in self._wrong(row, ids):
                self._faults.add(name, "videos", row["video_id"], detail)
        ends = {row["video_id"]: row["duration_s"] if row["status"] == "ok" else None for row in rows}
        self._videos = pl.DataFrame({"video_id": list(ends), "duration_s": list(ends.values())}, _ENDS)

    def _wrong(self, row: dict[str, Any], ids: set[str]) -> Iterator[tuple[str, str]]:
        """The faults of one videos row, each with its detail."""
        match row["status"]:
            case "ok":
                if row["take"] is None:
                    yield "video-without-take", "no take"
                if self._fingerprint is not None and row["fingerprint"] != self._fingerprint:
                    yield "wrong-fingerprint", f"{row['fingerprint']} instead of {self._fingerprint}"
            case "failed":
                if not row["error_kind"]:
                    yield "failed-without-reason", "no error_kind"
            case "duplicate":
                if row["duplicate_of"] not in ids or row["duplicate_of"] == row["video_id"]:
                    yield "duplicate-of-unknown", f"of {row['duplicate_of']!r}"
            case "removed":
                pass
            case status:
                yield "unknown-status", repr(status)
        try:
            metadata = json.loads(row["metadata"])
            good = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
        except ValueError:
            good = False
        if not good:
            yield "bad-metadata", repr(row["metadata"][:80])

    def _check_labels(self) -> None:
        self._sound.check_schema("labels", LABELS)
        key = ["video_id", "label", "start_s", "source", "subject"]
        if (table := self._sound.table("labels", *key, "end_s", "clock")) is None:
            return
        with self._sound.reading("labels"):
            self._progress.stage("labels", table.count())
            labels = pl.DataFrame(with_missing(table.read(), LABELS))
            self._progress.advance(labels.height)
            start, end = pl.col("start_s"), pl.col("end_s")
            whole = (start == -math.inf) & (end == math.inf)
            bad = ~(start.is_finite() & end.is_finite() & (start >= 0) & (start <= end))
            if self._videos is not None:
                self._note_labels("label-of-unknown", labels.join(self._videos, on="video_id", how="anti"))
                labels = labels.join(self._videos, on="video_id", how="left")
                bad |= (pl.col("clock").is_null() & (end > pl.col("duration_s") + PAST_END_S)).fill_null(False)
            self._note_labels("duplicate-label", labels.filter(~pl.struct(key).is_first_distinct()))
            self._note_labels("bad-span", labels.filter(~whole & bad))

    def _note_labels(self, name: str, labels: pl.DataFrame) -> None:
        for row in labels.iter_rows(named=True):
            detail = f"{row['label']!r} from {row['start_s']:g} s to {row['end_s']:g} s"
            self._faults.add(name, "labels", row["video_id"], detail)

    def _check_frames(self) -> None:
        columns = ["video_id", "take", "frame_index", "source_frame", "time_s"]
        if (table := self._sound.table("frames", *columns)) is None:
            return
        vectors = feature_columns(self._motion)
        with self._sound.reading("frames"):
            found, filled = np.empty(table.count(), _ROW), 0
            for rows in self._stream(table, [*columns, *vectors]):
                part = found[filled : filled + rows.num_rows]
                filled += rows.num_rows
                for field, column in zip(_ROW.names or (), columns[1:], strict=True):
                    part[field] = rows[column].to_numpy()
                for name, motion in self._motion.items():
                    for fault, bad in vector_faults(rows[name], rows[f"{name}_norm"], part["index"], motion):
                        if name in self._elsewhere and fault in ("missing-vector", "motion-at-start"):
                            continue
                        if name not in self._added or fault != "missing-vector":
                            self._note(fault, "frames", part[bad], name)
                        elif self._added[name]:
                            self._note("without-feature", "frames", part[bad], name)
            self._check_order("frames", found[:filled])

    def _check_flow(self) -> None:
        self._sound.check_schema("flow", FLOW)
        if (table := self._sound.table("flow", *FLOW.names)) is None:
            return
        with self._sound.reading("flow"):
            found, filled = np.zeros(table.count(), _ROW), 0
            for rows in self._stream(table, FLOW.names):
                part = found[filled : filled + rows.num_rows]
                filled += rows.num_rows
                part["take"], part["index"] = rows["take"].to_numpy(), rows["frame_index"].to_numpy()
                bad = np.array([not decodes(data.as_py()) for data in rows["flow"]], np.bool_)
                self._note("flow-unreadable", "flow", part[bad], "flow")
            self._check_order("flow", found[:filled])

    def _stream(self, table: Table, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows that readers see, whatever their order; or all of them, where it is not known which those are."""
        self._owners = {take: video_id for take, (video_id, _) in self._takes.items()}
        live = np.array(sorted(self._takes), np.int64)
        leftovers: dict[int, tuple[str, int]] = {}
        self._progress.stage(table.name, table.count())
        for rows in table.batches(columns, rows=_BATCH_ROWS[table.name]):
            ids = rows["video_id"].dictionary_encode()
            pairs = np.stack([rows["take"].to_numpy(), ids.indices.to_numpy()])
            for take, code, count in counted(pairs):
                video_id = ids.dictionary[code].as_py()
                if self._named is None or take in self._takes:
                    owner = self._owners.setdefault(take, video_id)
                    if video_id not in self._shared.get(take, {owner}):
                        self._faults.add("other-video", table.name, owner, f"{count} rows of {video_id!r}")
                elif take not in self._named:
                    first, total = leftovers.get(take, (video_id, 0))
                    leftovers[take] = first, total + count
            self._progress.advance(rows.num_rows)
            wanted = np.isin(pairs[0], live) | (self._named is None)
            yield rows if wanted.all() else rows.filter(pa.array(wanted))
        for take, (video_id, count) in leftovers.items():
            being_written = self._writing_since_ns is not None and take >= self._writing_since_ns
            name = "being-written" if being_written else "leftover-rows"
            self._faults.add(name, table.name, video_id, f"{count} rows of take {take}")

    def _note(self, fault: str, table: str, bad: np.ndarray, what: str) -> None:
        """A fault at each of the rows `bad`."""
        for take in np.unique(bad["take"]).tolist():
            at = bad["index"][bad["take"] == take]
            places = [f"{what} at frame {index}" for index in at[:MOST_PLACES].tolist()]
            self._faults.add(fault, table, self._owners[take], *places, count=len(at))

    def _check_order(self, table: str, rows: np.ndarray) -> None:
        """Check what only the rows of a take together show."""
        rows = rows[np.lexsort((rows["index"], rows["take"]))]
        takes, starts, counts = np.unique(rows["take"], return_index=True, return_counts=True)
        spans = np.stack([starts, starts + counts], axis=1).tolist()
        places = {take: slice(*span) for take, span in zip(takes.tolist(), spans, strict=True)}
        for take, video_id in self._owners.items():
            own = rows[places.get(take, slice(0, 0))]
            for name, details, count in order_faults(own, table == "frames"):
                self._faults.add(name, table, video_id, *details, count=count)
            if take in self._takes and (wrong := self._wrong_count(table, len(own), self._takes[take][1])):
                self._faults.add(wrong[0], table, video_id, wrong[1])

    def _wrong_count(self, table: str, rows: int, frames: int | None) -> tuple[str, str] | None:
        """The fault of a take that has `rows` rows in the table while its video has `frames` frames, and its detail."""
        if table == "frames" and rows == 0:
            return "video-without-frames", "no rows"
        if table == "frames" and rows != frames:
            return "frame-count", f"{rows} rows, and videos says {frames}"
        if table == "flow" and frames is not None and self._keep_flow is not None:
            expected = max(frames - 1, 0) if self._keep_flow else 0
            if rows != expected:
                return "flow-count", f"{rows} rows instead of {expected}"
        return None
