"""A store's tables as `verify` reads them: one that is missing or damaged is a fault, and the others are read on."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from vimoclip.errors import StoreDamagedError, StoreError, StoreMissingError, StoreUnreachableError
from vimoclip.store.location import Place
from vimoclip.store.store_place import DERIVED, TABLES
from vimoclip.store.table import Table
from vimoclip.store.verify_faults import Faults


class Observer:
    """Told how far a verify is; this one ignores it."""

    def table(self, name: str, rows: int) -> None:
        """A table of `rows` rows is about to be read."""

    def rows(self, count: int) -> None:
        """`count` more rows of it are read."""


class SoundTables:
    """The tables of one consistent snapshot, without what turned out to be unsound.

    Attributes: `opened`, by name, those that can be read so far; `faults` and `observer`, for who checks them too.
    """

    def __init__(self, at: Place, observer: Observer) -> None:
        self.faults, self.observer = Faults(), observer
        self.opened: dict[str, Table] = {}
        self._place = at
        self._unsound: set[tuple[str, str]] = set()  # (table, column)

    def open(self) -> None:
        """Open what can be opened; what cannot is a fault."""
        while True:  # until it is one consistent snapshot: see FeatureStore.open
            names = [*TABLES, *(name for name in DERIVED if self._place.has(name))]
            opened = {name: self._try(name) for name in reversed(names)}
            record = [table for name in ("videos", "features") if isinstance(table := opened[name], Table)]
            if all(table.latest_version == table.version for table in record):
                break
        for name in names:
            table = opened[name]
            if isinstance(table, Table):
                self.opened[name] = table
            else:
                kind = "missing-table" if isinstance(table, StoreMissingError) else "unreadable-table"
                self.faults.add(kind, name, None, _why(table))

    def _try(self, name: str) -> Table | StoreError:
        try:
            return Table.open(self._place, name)
        except StoreUnreachableError:
            raise  # it says nothing of the store
        except StoreError as error:
            return error

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Read a table; when it turns out to be damaged, go on without it."""
        try:
            yield
        except StoreUnreachableError:
            raise
        except (StoreError, ValueError, pa.ArrowException) as error:  # ValueError: bytes that are no text
            self.opened.pop(name, None)
            self.faults.add("damaged-file", name, None, _why(error))

    def check_schema(self, name: str, expected: pa.Schema) -> None:
        """Hold a table's columns against `expected`: those that differ are faults, and not read."""
        if (table := self.opened.get(name)) is None:
            return
        for field in expected:
            at = table.schema.get_field_index(field.name)
            found = table.schema.field(at) if at >= 0 else None
            if found is None or found.type != field.type or (found.nullable and not field.nullable):
                self._unsound.add((name, field.name))
                is_now = "missing" if found is None else _describe(found)
                detail = f"{field.name} is {is_now} instead of {_describe(field)}"
                self.faults.add("wrong-schema", name, None, detail)

    def table(self, name: str, *columns: str) -> Table | None:
        """The table, if it can be read and these columns are sound."""
        return None if any((name, column) in self._unsound for column in columns) else self.opened.get(name)

    def rows(self, name: str, columns: list[str]) -> list[dict[str, Any]] | None:
        """All rows of a small table; None where they cannot be read."""
        if (table := self.table(name, *columns)) is None:
            return None
        with self.reading(name):
            self.observer.table(name, table.count())
            rows: list[dict[str, Any]] = table.read(columns).to_pylist()
            self.observer.rows(len(rows))
            return rows
        return None

    def check_indexes(self) -> None:
        """Open the indexes that there are."""
        for table in self.opened.values():
            try:
                table.unindexed("take")
            except StoreUnreachableError:
                raise
            except StoreDamagedError as error:
                self.faults.add("damaged-index", table.name, None, _why(error))


def _describe(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"


def _why(error: Exception) -> str:
    """The cause, without advice on what to do."""
    received = getattr(error, "received", None)
    return next(iter(str(error if received is None else received).splitlines()), type(error).__name__)[:200]
