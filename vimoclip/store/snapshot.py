"""Opening the tables of a store at one consistent moment, and whether a place is, or can become, a store.

`check_free` and `check_format` decide what is a store. `open_snapshot` opens all tables so that everything that
`videos` and `features` name is there, whatever a writer does meanwhile. `with_missing` adds what rows of an older
format lack.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from schemas import FORMAT_KEY, FORMAT_VERSION, SETTINGS_KEY
from schemas.features import Feature
from vimoclip.errors import StoreDamagedError, StoreError, StoreMissingError, StoreNewerError, StoreUnreachableError
from vimoclip.store.location import LocationLike, StoreLocation, as_location
from vimoclip.store.table import Table

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
    """Build the error that says there is no store, and how to make one."""
    return StoreMissingError(
        f"There is no store at {at}.",
        hint="Make one with `vimoclip ingest FOLDER`, or name another with --store or VIMOCLIP_STORE.",
    )


def check_free(where: LocationLike) -> None:
    """Refuse to make a store where something else is.

    Args:
        where: the place; a store, an empty folder, or nothing yet passes.

    Raises:
        StoreError: the place holds files that do not belong to a store, or is a file.
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

    Args:
        videos: the table `videos`, whose schema metadata names the format.

    Raises:
        StoreNewerError: a newer version of ViMoCLIP wrote the store.
        StoreDamagedError: the table names no known format.
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


ROLLBACK_VERSIONS = "pinned"
"""Key in the settings of a feature that is taking another's place: the version of each table before that."""


def stored_features(table: Table) -> list[Feature]:
    """Read every row of `features`, complete or not.

    Raises:
        StoreDamagedError: a row does not match its own fingerprint.
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
    """Find the feature that is taking another's place.

    Returns:
        Its name, and the table versions of the snapshot before it began; None where no feature is.
    """
    for feature in features:
        if not feature.complete and feature.settings is not None:
            pinned: dict[str, int] | None = json.loads(feature.settings).get(ROLLBACK_VERSIONS)
            if pinned is not None:
                return feature.name, pinned
    return None


def open_snapshot(
    at: StoreLocation, on_error: Callable[[str, StoreError], None] | None = None
) -> tuple[dict[str, Table], str | None]:
    """Open the tables of a store at one moment, at which everything that `videos` and `features` name is there.

    While a feature is taking another's place (features.py, `promote_feature`), or where a kill interrupted that, the
    snapshot is the one before it began.

    Args:
        at: the store.
        on_error: called with the name of each table that cannot be opened and the reason; the others are still opened.
            Without it, the first such table raises.

    Returns:
        The tables by name, and the feature that is taking another's place, or None.

    Raises:
        StoreDamagedError: a table is missing or cannot be opened, and there is no `on_error`.
        StoreUnreachableError: the object store does not answer, or refuses; raised with `on_error` too.
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
    """As `promotion_in_progress`; None also where `features` cannot be read: its readers get that error."""
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


def with_missing(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add the columns of a schema that rows of an older format lack, as nulls."""
    absent = {
        field.name: pa.nulls(rows.num_rows, field.type) for field in schema if field.name not in rows.column_names
    }
    columns = [absent[name] if name in absent else rows[name] for name in schema.names]
    return pa.Table.from_arrays(columns, names=schema.names)
