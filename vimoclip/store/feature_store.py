"""FeatureStore: one consistent snapshot of a store, to read from.

A store is a folder of Lance tables (schemas/), on a disk or in an object store. The `videos` row is the commit record:
frames and flow are visible only under the take that an `ok` row names. Opening takes a snapshot in which every such
take is whole; it never changes under the reader, and `refresh()` takes a new one. Writing is in writer.py.
"""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    StoreDamagedError,
    StoreError,
    StoreMissingError,
    StoreNewerError,
    StoreUnreachableError,
    UnknownColumnError,
    UnknownVideoError,
)
from vimoclip.store.location import LocationLike, StoreLocation, as_location
from vimoclip.store.table import Table

# What makes a place a store: its tables, the format that `videos` names; and what must be there before one is made.


TABLES = ("frames", "flow", "labels", "features", "videos")  # videos last: with it the store exists
DERIVED = ("segments",)
"""Tables that a store need not have: they can be made again from the others."""
_OWN_FILES = {
    ".writer.lock",
    ".writer.json",
    ".writer.json.new",
    *(f"{name}.lance" for name in (*TABLES, *DERIVED)),
}


def missing(at: StoreLocation) -> StoreMissingError:
    """The error that says there is no store, and how to make one."""
    return StoreMissingError(
        f"There is no store at {at}.",
        hint="Make one with `vimoclip ingest FOLDER`, or name another with --store or VIMOCLIP_STORE.",
    )


def check_free(where: LocationLike) -> None:
    """Refuse to make a store where something else is.

    Raises:
        StoreError: the folder holds files that are no store's, or it is a file.
        StoreDamagedError: it holds the rows of a store that has lost its table of videos.
    """
    at = as_location(where)
    names = at.list_names()
    if at.has("videos"):
        return
    strangers = [name for name in names if name not in _OWN_FILES]
    if strangers:
        raise StoreError(
            f"{at} is not a store, and is not empty.",
            received=", ".join(strangers[:3]) + ("…" if len(strangers) > 3 else ""),
            expected="a store, an empty folder, or a place where nothing is yet",
            hint="Name another place with --store.",
        )
    # An interrupted creation leaves tables without rows (features aside); anything else is somebody's data.
    left = [name for name in ("frames", "flow", "labels") if at.has(name) and Table.open(at, name).count()]
    if left:
        raise StoreDamagedError(
            f"The store {at} has lost its table videos.",
            received=f"rows in {', '.join(left)}",
            expected="the folder videos.lance beside them",
            hint="Restore it from a copy of the store, or name another place with --store.",
        )


def check_format(videos: Table) -> None:
    """Refuse a store of another format.

    Raises:
        StoreNewerError: a newer one. StoreDamagedError: none that is known.
    """
    found = (videos.schema.metadata or {}).get(FORMAT_KEY, b"")
    if not found.isdigit() or SETTINGS_KEY not in (videos.schema.metadata or {}):
        raise StoreDamagedError(
            f"The table videos of {videos.place} does not say which format it has.",
            received=found.decode(errors="replace") or "nothing",
            expected=f"a number up to {FORMAT_VERSION}",
            hint="Is this folder a ViMoCLIP store?",
        )
    if int(found) > FORMAT_VERSION:
        raise StoreNewerError(
            f"The store {videos.place} was written by a newer version of ViMoCLIP.",
            received=f"format {int(found)}",
            expected=f"format {FORMAT_VERSION} or older",
            hint="Upgrade with `pip install --upgrade vimoclip`.",
        )


# What a user may ask of a store that has settings of its own: nothing else, but for where weights lie now.


def located(own: StoreConfig, asked: dict[str, dict[str, Any]]) -> StoreConfig:
    """A store's own settings, with weights looked for where the user says they lie."""
    clip, flow = (
        {name: value for name, value in asked.get(section, {}).items() if _is_place(name, value)}
        for section in ("clip", "flow")
    )
    return replace(own, clip=replace(own.clip, **clip), flow=replace(own.flow, **flow))


def check_settings(at: StoreLocation, config: StoreConfig, asked: dict[str, Any]) -> None:
    """As `FeatureStore.check_settings`, of the store at a place."""
    StoreConfig.from_dict(asked)
    own = config.to_dict()
    clashes = []
    for section, values in asked.items():
        if not isinstance(values, dict):
            values, stored, of = {section: values}, {section: own[section]}, ""
        else:
            stored, of = own[section], f"{section} "
        # They ask for nothing definite.
        open_ended = {"weights": "default", "precision": "auto", "batch_size": 0, "estimator": "auto"}
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
    """Whether a setting says where weights lie rather than which they are; the SHA-256 of the features says that."""
    return isinstance(value, str) and (
        (name == "model" and value.startswith("local-dir:")) or (name == "weights" and Path(value).is_file())
    )


# Rows of `features` as records; and the snapshot that readers are given while one feature takes another's place.


ROLLBACK_VERSIONS = "pinned"
"""In the settings of a feature that is taking another's place: of each table the version before."""


def stored_features(table: Table) -> list[Feature]:
    """Every row, complete or not.

    Raises:
        StoreDamagedError: one does not match its own fingerprint.
    """
    return [_feature(row) for row in table.read().to_pylist()]


def _feature(row: dict[str, Any]) -> Feature:
    stored = row.pop("fingerprint")
    feature = Feature(**row)
    if feature.fingerprint != stored:
        raise StoreDamagedError(
            f"The feature {feature.name} does not match its own fingerprint.",
            received=stored,
            expected=feature.fingerprint,
            hint="Its row was changed by hand; restore it, or ingest into a new store.",
        )
    return feature


def promotion_in_progress(features: Iterable[Feature]) -> tuple[str, dict[str, int]] | None:
    """The feature that is taking another's place, and the snapshot before; None where none is."""
    for feature in features:
        if not feature.complete and feature.settings is not None:
            pinned: dict[str, int] | None = json.loads(feature.settings).get(ROLLBACK_VERSIONS)
            if pinned is not None:
                return feature.name, pinned
    return None


def open_snapshot(
    at: StoreLocation, on_error: Callable[[str, StoreError], None] | None = None
) -> tuple[dict[str, Table], str | None]:
    """Open the tables of a store at one moment, at which all that the `videos` and `features` rows name is there.

    While a feature takes another's place (features.py, `promote_feature`), and where a kill left it at that, that
    moment is the one before it began.

    Args:
        at: the store.
        on_error: is told of each table that cannot be opened, by name and why, and the others are opened; None raises.

    Returns:
        The tables by name, and the feature that is taking another's place, or None.

    Raises:
        StoreDamagedError: a table is not there or cannot be opened. StoreUnreachableError, whatever `on_error` is.
    """

    def opened(name: str, version: int | None = None) -> Table | StoreError:
        try:
            return Table.open(at, name, version)
        except StoreUnreachableError:
            raise  # it says nothing of the store
        except StoreError as error:
            if on_error is not None:
                return error
            if isinstance(error, StoreMissingError):
                raise _lost(at, name) from None
            raise

    def settled(found: dict[str, Table | StoreError]) -> tuple[dict[str, Table], str | None]:
        pinned = _promotion(found["features"])
        if pinned is not None:
            found = found | {name: opened(name, pinned[1][name]) for name in TABLES}
        tables = {}
        for name, table in found.items():
            if isinstance(table, Table):
                tables[name] = table
            elif on_error is not None:
                on_error(name, table)
        return tables, None if pinned is None else pinned[0]

    while True:
        # Takes are committed before the videos row that names them, and dropped after it, and so are columns and the
        # features row: when these two have not moved while the others were opened, all they name is there.
        names = [*TABLES, *(name for name in DERIVED if at.has(name))]
        found = {name: opened(name) for name in dict.fromkeys(("videos", "features", *names))}
        record = [table for name in ("videos", "features") if isinstance(table := found[name], Table)]
        if all(table.latest_version == table.version for table in record):
            return settled({name: found[name] for name in names})


def _promotion(features: Table | StoreError) -> tuple[str, dict[str, int]] | None:
    """The feature that is taking another's place, and the versions of the snapshot before; None where none is, and
    where the rows of `features` cannot be read, which whoever reads them is told."""
    if isinstance(features, StoreError):
        return None
    try:
        return promotion_in_progress(stored_features(features))
    except StoreUnreachableError:
        raise
    except (StoreError, ValueError, TypeError, pa.ArrowException):
        return None


def _lost(at: StoreLocation, name: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"The store {at} has lost its table {name}.",
        expected=f"the folder {name}.lance",
        hint="Run `vimoclip verify` to see what is damaged.",
    )


class FeatureStore:
    """A snapshot of the store at `as_location`.

    Attributes: `config`, the store's settings; `features`, what each vector column is, by name; `unfinished`, those
    that are still being added, which no reader sees; `fingerprint` of those that every take is made with; `tables`,
    the tables at the snapshot's versions; `promoting`, the feature that is taking another's place, which a
    kill left at that: the snapshot is the one before.
    """

    def __init__(self, at: StoreLocation, tables: dict[str, Table]) -> None:
        self.place, self.tables = at, tables
        metadata = tables["videos"].schema.metadata or {}
        self.config = StoreConfig.from_dict(json.loads(metadata[SETTINGS_KEY]))
        features = stored_features(tables["features"])
        self.features = {feature.name: feature for feature in features if feature.complete}
        self.unfinished = {feature.name: feature for feature in features if not feature.complete}
        self.fingerprint = store_fingerprint(features)
        self.promoting: str | None = None

    @staticmethod
    def exists(where: LocationLike) -> bool:
        """Whether a store is there."""
        return as_location(where).has("videos")

    @classmethod
    def open(cls, where: LocationLike, versions: Mapping[str, int] | None = None) -> Self:
        """The store as it is now, or the snapshot whose `versions` these are.

        Raises:
            StoreMissingError, StoreNewerError, StoreDamagedError, StoreUnreachableError.
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
        """An empty store; `config` has its precision and batch size resolved. Call it with the write lock held.

        Raises:
            StoreError: the folder holds a store already, or something else. StoreReadOnlyError, NoSpaceError.
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
        """The columns of `frames` that readers see, in order; those of unfinished features are none of them."""
        return frames_schema({name: feature.dim for name, feature in self.features.items()}).names  # type: ignore[no-any-return]

    @property
    def versions(self) -> dict[str, int]:
        """The snapshot: of each table, its version, but for those that are made from the others."""
        return {name: self.tables[name].version for name in TABLES}

    def tag(self, name: str) -> None:
        """Keep this snapshot on the disk, whatever is optimized, under a name of letters, digits and `.-_`."""
        for table in TABLES:
            self.tables[table].tag(name)

    def check_settled(self) -> None:
        """Refuse to write while a feature is taking another's place.

        Raises:
            StoreError: it is; nobody does that meanwhile if the caller has the write lock.
        """
        if self.promoting is not None:
            raise StoreError(
                f"A motion feature was taking the place of another in {self.place}, and was stopped.",
                received=self.promoting,
                hint="`vimoclip embed --motion RUN` goes on with it. Until then the store is read as it was.",
            )

    def refresh(self) -> Self:
        """A snapshot of the store as it is now."""
        return type(self).open(self.place)

    def rows(self) -> list[Video]:
        """Every `videos` row, whatever its status."""
        return [Video(**row) for row in self.tables["videos"].read().to_pylist()]

    def live_videos(self) -> list[Video]:
        """The rows of the videos that readers see: those that are in, with frames."""
        return [row for row in self.rows() if row.status == "ok"]

    def live_takes(self) -> list[int]:
        """The takes that readers see."""
        live = self.tables["videos"].read(["take"], (pc.field("status") == "ok") & pc.field("take").is_valid())
        return live["take"].to_pylist()  # type: ignore[no-any-return]

    def videos(self) -> pl.DataFrame:
        """The videos that are in, one row each by video_id: the columns of schemas/videos.py, and one a metadata key.

        A key's column is of strings, null where a video has none, and is called `metadata.<key>` where there is a
        column of that name already.
        """
        frame = pl.DataFrame(self.tables["videos"].read(where=pc.field("status") == "ok"))
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
        """The labels of the videos that are in: video_id, label, start_s, end_s, source.

        Spans are half-open, in seconds from the first frame; both ends are null for a label of the whole video.
        """
        known = self.tables["videos"].read(["video_id"], pc.field("status") == "ok")
        frame = pl.DataFrame(self.tables["labels"].read()).join(pl.DataFrame(known), on="video_id", how="semi")
        finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in ("start_s", "end_s")]
        return frame.with_columns(finite).sort("video_id", "start_s", "label", nulls_last=False)

    def label_rows(self) -> list[Label]:
        """Every `labels` row."""
        return [Label(**row) for row in self.tables["labels"].read().to_pylist()]

    def frames(self, columns: list[str] | None = None) -> pa.Table:
        """The stored frames of every video, all columns or those named, in no particular order of videos.

        The columns are those of schemas/frames.py: for each feature `<name>`, fixed-size lists of D fp16, and
        `<name>_norm`, fp32. All of it is in memory at once: 2 KB a frame for two features of 512. See `batches`.

        Raises:
            UnknownColumnError: a column that the store does not have.
        """
        return self.tables["frames"].read(self._known(columns), self._seen())

    def batches(self, columns: list[str] | None = None, rows: int = 8192) -> Iterator[pa.RecordBatch]:
        """What `frames` gives, in batches of at most `rows` rows, a few of which are in memory at a time.

        A batch may hold frames of several videos, and a video may lie in several batches.

        Raises:
            UnknownColumnError: a column that the store does not have.
        """
        return self.tables["frames"].batches(self._known(columns), self._seen(), rows)

    def _seen(self) -> pc.Expression:
        return pc.field("take").isin(pa.array(self.live_takes(), pa.int64()))

    def sequence(self, video_id: str, columns: list[str] | None = None) -> pa.Table:
        """One video's stored frames in order, in one chunk: the columns of `frames`, all or those named.

        Raises:
            UnknownVideoError: the video is not in the store. UnknownColumnError: the store has no such column.
        """
        return self._of_take("frames", self._take(video_id), self._known(columns))

    def flow(self, video_id: str) -> pa.Table:
        """One video's encoded flow in order: frame_index int32, flow binary (vimoclip.flow.encoding.decode_flow reads
        it).

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
        return list(dict.fromkeys(columns))  # Lance takes none twice

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
        """By video, read once: to look for each would take half the time of reading its frames."""
        rows = self.tables["videos"].read(["video_id", "take"], pc.field("status") == "ok")
        return dict(zip(rows["video_id"].to_pylist(), rows["take"].to_pylist(), strict=True))

    def located(self, asked: dict[str, dict[str, Any]]) -> StoreConfig:
        """The store's settings, with weights looked for where the user now says they lie."""
        return located(self.config, asked)

    def check_settings(self, asked: dict[str, Any]) -> None:
        """Refuse settings that contradict the store's own. `asked` holds only what the user gave, by section.

        Raises:
            ConfigError: an unknown setting, or a value it cannot have.
            SettingsError: naming each setting with both values.
        """
        check_settings(self.place, self.config, asked)
