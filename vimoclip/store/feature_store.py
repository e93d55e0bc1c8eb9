"""FeatureStore: one consistent snapshot of a store, to read from; how a store is made, and what its settings allow.

A store is a folder of Lance tables (schemas/), on a disk or in an object store. The `videos` row is the commit record:
frames and flow are visible only under the take that an `ok` row names. Opening takes a snapshot in which every such
take is whole; it never changes under the reader, and `refresh()` takes a new one.

`located` and `check_settings` decide which settings a user may ask of an existing store. snapshot.py opens the tables,
writer.py writes.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas import FORMAT_KEY, FORMAT_VERSION, SETTINGS_KEY
from schemas.features import FEATURES, Feature, store_fingerprint
from schemas.flow import FLOW
from schemas.frames import frames_schema
from schemas.labels import LABELS, Label
from schemas.videos import VIDEOS, Video
from vimoclip.config.store import StoreConfig
from vimoclip.errors import (
    SettingsError,
    StoreError,
    UnknownColumnError,
    UnknownVideoError,
)
from vimoclip.store.location import LocationLike, StoreLocation, as_location
from vimoclip.store.snapshot import (
    TABLES,
    check_format,
    check_free,
    missing,
    open_snapshot,
    stored_features,
    with_missing,
)
from vimoclip.store.table import Table

# A store's settings never change. All that a user may give is where the weights lie now.


def located(own: StoreConfig, asked: dict[str, dict[str, Any]]) -> StoreConfig:
    """Return a store's own settings, with weights looked for where the user says they lie.

    Args:
        own: the store's settings.
        asked: what the user gave, by section (`clip`, `flow`) and name.
    """
    clip, flow = (
        {name: value for name, value in asked.get(section, {}).items() if _is_place(name, value)}
        for section in ("clip", "flow")
    )
    return replace(own, clip=replace(own.clip, **clip), flow=replace(own.flow, **flow))


def check_settings(at: StoreLocation, config: StoreConfig, asked: dict[str, Any]) -> None:
    """Refuse settings that contradict those of the store; see `FeatureStore.check_settings`.

    Args:
        at: the store, named in the error.
        config: the store's settings.
        asked: what the user gave, by section.

    Raises:
        ConfigError: an unknown setting, or a value it cannot have.
        SettingsError: names each setting with both values.
    """
    StoreConfig.from_dict(asked)
    own = config.to_dict()
    clashes = []
    for section, values in asked.items():
        if not isinstance(values, dict):
            values, stored, of = {section: values}, {section: own[section]}, ""
        else:
            stored, of = own[section], f"{section} "
        # These values leave the choice to the store.
        open_ended = {
            "weights": "default",
            "precision": "auto",
            "memory_format": "auto",
            "batch_size": 0,
            "estimator": "auto",
        }
        clashes += [
            f"{of}{name} is {stored[name]!r} in the store and {value!r} was asked for"
            for name, value in values.items()
            if stored[name] != value
            and open_ended.get(name, ...) != value
            and not (_is_place(name, value) and stored[name] is not None)  # DIS has no weights to look for
        ]
    if clashes:
        raise SettingsError(
            f"The store {at} was made with other settings.",
            received="; ".join(clashes),
            expected="the store's own settings",
            hint="Leave those flags out, or make another store with --store.",
        )


def _is_place(name: str, value: object) -> bool:
    """Whether a setting says where weights lie rather than which they are; the SHA-256 of the features says which."""
    return isinstance(value, str) and (
        (name == "model" and value.startswith("local-dir:")) or (name == "weights" and Path(value).is_file())
    )


def _with_copies(row: Video, copies: Iterable[Video]) -> Video:
    """The row with what its copies alone have: their split, unless they contradict each other, and metadata."""
    splits = {copy.split for copy in copies if copy.split is not None}
    if row.split is None and len(splits) == 1:
        row = replace(row, split=splits.pop())
    metadata: dict[str, str] = {}
    for copy in copies:
        metadata = json.loads(copy.metadata) | metadata
    merged = json.dumps(metadata | json.loads(row.metadata), sort_keys=True)
    return replace(row, metadata=merged) if metadata else row


class FeatureStore:
    """A snapshot of the store at a place.

    Attributes:
        place: where the store lies.
        format: the version of schemas/ that it was written by.
        config: the store's settings.
        features: the complete features, each of which is a vector column of `frames`, by name.
        unfinished: the features that are still being added, by name; no reader sees them.
        fingerprint: of the features that every take is made with.
        tables: the tables at the snapshot's versions, by name.
        promoting: the feature whose promotion was interrupted by a kill, or None; the snapshot is then the one before.
    """

    def __init__(self, at: StoreLocation, tables: dict[str, Table]) -> None:
        self.place, self.tables = at, tables
        metadata = tables["videos"].schema.metadata or {}
        self.format = int(metadata[FORMAT_KEY])
        self.config = StoreConfig.from_stored(json.loads(metadata[SETTINGS_KEY]))
        features = stored_features(tables["features"])
        self.features = {feature.name: feature for feature in features if feature.complete}
        self.unfinished = {feature.name: feature for feature in features if not feature.complete}
        self.fingerprint = store_fingerprint(features)
        self.promoting: str | None = None

    @staticmethod
    def exists(where: LocationLike) -> bool:
        """Whether there is a store at a place."""
        return as_location(where).has("videos")

    @classmethod
    def open(cls, where: LocationLike, versions: Mapping[str, int] | None = None) -> Self:
        """Open the store as it is now, or an earlier snapshot of it.

        Args:
            where: the store.
            versions: the snapshot's `versions`; None opens the newest.

        Raises:
            StoreMissingError: there is no store.
            StoreNewerError: a newer version of ViMoCLIP wrote it.
            StoreDamagedError: a table is missing, damaged, or not on the disk any more at that version.
            StoreUnreachableError: the object store does not answer, or refuses.
        """
        at = as_location(where)
        if not at.has("videos"):
            raise missing(at)
        check_format(Table.open(at, "videos"))
        if versions is not None:
            return cls(at, {name: Table.open(at, name, versions[name]) for name in TABLES})
        tables, promoting = open_snapshot(at)
        store = cls(at, tables)
        store.promoting = promoting
        return store

    @classmethod
    def create(cls, where: LocationLike, config: StoreConfig, features: list[Feature]) -> Self:
        """Make an empty store. Call it with the write lock held.

        Args:
            where: the place.
            config: its settings, with everything that was `auto` resolved.
            features: those that every take will be made with.

        Raises:
            StoreError: the folder holds a store already, or something else.
            StoreReadOnlyError: the place cannot be written to.
            NoSpaceError: the disk is full.
        """
        at = as_location(where)
        check_free(at)
        if at.has("videos"):
            raise StoreError(f"There is a store at {at} already.", hint="Name another place with --store.")
        rows = pa.Table.from_pylist([asdict(f) | {"fingerprint": f.fingerprint} for f in features], schema=FEATURES)
        metadata = {FORMAT_KEY: str(FORMAT_VERSION), SETTINGS_KEY: json.dumps(config.to_dict(), sort_keys=True)}
        Table.create(at, "frames", frames_schema({f.name: f.dim for f in features}))
        Table.create(at, "flow", FLOW)
        Table.create(at, "labels", LABELS)
        Table.create(at, "features", FEATURES, rows)
        Table.create(at, "videos", VIDEOS.with_metadata(metadata))
        return cls.open(at)

    @property
    def columns(self) -> list[str]:
        """The columns of `frames` that readers see, in order: all but those of unfinished features."""
        return frames_schema({name: feature.dim for name, feature in self.features.items()}).names  # type: ignore[no-any-return]

    @property
    def versions(self) -> dict[str, int]:
        """The snapshot: the version of each table, but for the tables that can be made again from the others."""
        return {name: self.tables[name].version for name in TABLES}

    def tag(self, name: str, about: dict[str, str] | None = None) -> None:
        """Keep this snapshot on the disk, whatever is optimized.

        Args:
            name: letters, digits and `.-_`.
            about: what to say of it; see `Table.tags`.
        """
        for table in TABLES:
            self.tables[table].tag(name, about)

    def check_writable(self) -> None:
        """Refuse to write to a store of an older format, and while a feature is taking another's place.

        Under the write lock, neither can begin after this.

        Raises:
            StoreError: the store has an older format; or a promotion was interrupted, and is to be finished first.
        """
        if self.format < FORMAT_VERSION:
            raise StoreError(
                f"The store {self.place} was made by an older version of ViMoCLIP, and can only be read.",
                received=f"format {self.format}",
                expected=f"format {FORMAT_VERSION}",
                hint=f"`vimoclip upgrade --store {self.place}` takes seconds and computes nothing again.",
            )
        if self.promoting is not None:
            raise StoreError(
                f"A motion feature was taking the place of another in {self.place}, and was stopped.",
                received=self.promoting,
                hint="`vimoclip embed --motion RUN` finishes it. Until then the store is read as it was.",
            )

    def refresh(self) -> Self:
        """Take a snapshot of the store as it is now."""
        return type(self).open(self.place)

    def rows(self) -> list[Video]:
        """Read every `videos` row, whatever its status."""
        return [Video(**row) for row in self.tables["videos"].read().to_pylist()]

    def live_videos(self) -> list[Video]:
        """Read the rows of the videos that readers see: those with status `ok`, which have frames.

        A split or metadata that only a copy of a video has counts as the video's own.
        """
        rows = self.rows()
        copies: dict[str, list[Video]] = {}
        for row in rows:
            if row.status == "duplicate" and row.duplicate_of is not None:
                copies.setdefault(row.duplicate_of, []).append(row)
        return [_with_copies(row, copies.get(row.video_id, ())) for row in rows if row.status == "ok"]

    def splits(self) -> dict[str, str | None]:
        """Read the split of each video that readers see, by video_id."""
        if self._copied():
            return {row.video_id: row.split for row in self.live_videos()}
        rows = self.tables["videos"].read(["video_id", "split"], pc.field("status") == "ok")
        return dict(zip(rows["video_id"].to_pylist(), rows["split"].to_pylist(), strict=True))

    def live_takes(self) -> list[int]:
        """Read the takes that readers see."""
        live = self.tables["videos"].read(["take"], (pc.field("status") == "ok") & pc.field("take").is_valid())
        return live["take"].to_pylist()  # type: ignore[no-any-return]

    def videos(self) -> pl.DataFrame:
        """Read the videos that are in the store, one row each, by video_id.

        Returns:
            The columns of schemas/videos.py, and one column a metadata key: strings, null where a video lacks the key.
            A key that has the name of another column is called `metadata.<key>`.
        """
        frame = pl.DataFrame(with_missing(self.tables["videos"].read(where=pc.field("status") == "ok"), VIDEOS))
        own = {row.video_id: (row.split, row.metadata) for row in self.live_videos()} if self._copied() else {}
        if own:
            for at, name in enumerate(("split", "metadata")):
                values = [own[video_id][at] for video_id in frame["video_id"]]
                frame = frame.with_columns(pl.Series(name, values, pl.String))
        metadata = [json.loads(text) for text in frame["metadata"]]
        keys = sorted({name for entry in metadata for name in entry})
        names: dict[str, str] = {}
        for key in keys:
            name = key
            while name in frame.columns or name in names.values():
                name = f"metadata.{name}"
            names[key] = name
        columns = [pl.Series(names[key], [entry.get(key) for entry in metadata], pl.String) for key in keys]
        return frame.drop("metadata").with_columns(columns).sort("video_id")

    def labels(self) -> pl.DataFrame:
        """Read the labels of the videos that are in the store, and of their copies as theirs.

        Returns:
            Columns video_id, label, start_s, end_s, source and subject; one row for each source that says so. Spans are
            half-open, in seconds from the first frame; both ends are null for a label of the whole video, and subject
            where the source does not name the animal.
        """
        known = pl.DataFrame(self.tables["videos"].read(["video_id", "status", "duplicate_of"]))
        live = known.filter(pl.col("status") == "ok").select("video_id", owner="video_id")
        copies = known.filter(pl.col("status") == "duplicate").select("video_id", owner="duplicate_of")
        owners = pl.concat([live, copies.join(live, on="owner", how="semi")])
        frame = pl.DataFrame(with_missing(self.tables["labels"].read(), LABELS)).join(owners, on="video_id")
        frame = frame.drop("video_id").rename({"owner": "video_id"}).select(LABELS.names)
        if frame["clock"].is_not_null().any():
            frame = self._from_first_frame(frame)
        frame = frame.drop("clock").unique()
        finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in ("start_s", "end_s")]
        order = ["video_id", "start_s", "label", "source", "subject", "end_s"]
        return frame.with_columns(finite).sort(order, nulls_last=False)

    def _from_first_frame(self, labels: pl.DataFrame) -> pl.DataFrame:
        """The labels of stored videos, those on the player's clock with times from the first frame."""
        offsets = {row.video_id: row.clock_offset_s for row in self.live_videos()}
        waiting = (Label(**row) for row in labels.filter(pl.col("clock").is_not_null()).iter_rows(named=True))
        moved = [asdict(each) for label in waiting if (each := label.from_first_frame(offsets[label.video_id]))]
        settled = labels.filter(pl.col("clock").is_null())
        return pl.concat([settled, pl.DataFrame(pa.Table.from_pylist(moved, schema=LABELS))])

    def _copied(self) -> bool:
        """Whether a copy of a video has a split or metadata."""
        said = pc.field("split").is_valid() | (pc.field("metadata") != "{}")
        return self.tables["videos"].count((pc.field("status") == "duplicate") & said) > 0

    def label_rows(self) -> list[Label]:
        """Read every `labels` row."""
        return [Label(**row) for row in self.tables["labels"].read().to_pylist()]

    def frames(self, columns: list[str] | None = None) -> pa.Table:
        """Read the stored frames of every video, in no particular order of videos.

        All of it is in memory at once: 2 KB a frame for two features of 512. `batches` streams it instead.

        Args:
            columns: those to read; None reads all.

        Returns:
            The columns of schemas/frames.py. Each feature has two: `<name>`, fixed-size lists of D fp16, and
            `<name>_norm`, fp32.

        Raises:
            UnknownColumnError: the store has no such column.
        """
        return self.tables["frames"].read(self._known(columns), self._seen())

    def batches(self, columns: list[str] | None = None, rows: int = 8192) -> Iterator[pa.RecordBatch]:
        """Stream what `frames` reads; a few batches are in memory at a time.

        Args:
            columns: those to read; None reads all.
            rows: how many a batch has at most.

        Yields:
            Batches, which may hold frames of several videos; a video may lie in several batches.

        Raises:
            UnknownColumnError: the store has no such column.
        """
        return self.tables["frames"].batches(self._known(columns), self._seen(), rows)

    def _seen(self) -> pc.Expression:
        return pc.field("take").isin(pa.array(self.live_takes(), pa.int64()))

    def sequence(self, video_id: str, columns: list[str] | None = None) -> pa.Table:
        """Read one video's stored frames in order, in one chunk.

        Args:
            video_id: the video.
            columns: those of `frames` to read; None reads all.

        Raises:
            UnknownVideoError: the video is not in the store.
            UnknownColumnError: the store has no such column.
        """
        return self._of_take("frames", self._take(video_id), self._known(columns))

    def flow(self, video_id: str) -> pa.Table:
        """Read one video's encoded flow in order.

        Returns:
            Columns frame_index, int32, and flow, binary, which `vimoclip.decode_flow` reads.

        Raises:
            UnknownVideoError: the video is not in the store.
        """
        return self._of_take("flow", self._take(video_id), ["frame_index", "flow"])

    def _known(self, columns: list[str] | None) -> list[str]:
        if columns is None:
            return self.columns
        for name in columns:
            if name not in self.columns:
                raise UnknownColumnError(
                    "The store's frames have no such column.",
                    received=name,
                    expected=", ".join(self.columns),
                    hint="`vimoclip features` lists the features; `vimoclip embed` adds one.",
                )
        return list(dict.fromkeys(columns))  # Lance refuses a column named twice

    def _of_take(self, table: str, take: int, columns: list[str]) -> pa.Table:
        wanted = list(dict.fromkeys([*columns, "frame_index"]))
        return self.tables[table].read(wanted, pc.field("take") == take).sort_by("frame_index").select(columns)

    def _take(self, video_id: str) -> int:
        take = self._takes.get(video_id)
        if take is None:
            raise UnknownVideoError(
                "The store holds no such video.", received=video_id, hint="`vimoclip status --videos` lists them."
            )
        return take

    @functools.cached_property
    def _takes(self) -> dict[str, int]:
        """Takes by video, read once: a lookup for each video would take half the time of reading its frames."""
        rows = self.tables["videos"].read(["video_id", "take"], pc.field("status") == "ok")
        return dict(zip(rows["video_id"].to_pylist(), rows["take"].to_pylist(), strict=True))

    def located(self, asked: dict[str, dict[str, Any]]) -> StoreConfig:
        """Return the store's settings, with weights looked for where the user now says they lie.

        Args:
            asked: what the user gave, by section and name.
        """
        return located(self.config, asked)

    def check_settings(self, asked: dict[str, Any]) -> None:
        """Refuse settings that contradict the store's own.

        Args:
            asked: only what the user gave, by section and name.

        Raises:
            ConfigError: an unknown setting, or a value it cannot have.
            SettingsError: names each setting with both values.
        """
        check_settings(self.place, self.config, asked)
