"""Lance tables, thinly: the only importer of lance, and the place where its errors become ours.

A `Table` is one version of one table. Reading never blocks and never sees a commit made after the table was opened;
`latest()` opens the newest. Writing is for the store's one writer (see writer.py) and each call is one atomic commit.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import lance
import pyarrow as pa
import pyarrow.compute as pc

from vimoclip.errors import NoSpaceError, StoreDamagedError, StoreError, StoreMissingError, StoreReadOnlyError
from vimoclip.place import ObjectPrefix, Place, Where, not_served, place, unreachable

ROWS_PER_FRAGMENT = 100_000
"""Fragments are merged up to this many rows: large enough for fast scans, small enough that compacting again and again
while a store grows never rewrites more than this."""

_LANCE_ERRORS = (OSError, ValueError, RuntimeError, pa.ArrowException)


@dataclass(frozen=True)
class Tidied:
    """What `Table.tidy` won: fragments merged away, bytes freed by dropping old versions."""

    fragments: int
    bytes: int


class Table:
    """One version of the Lance table at `<place>/<name>.lance`."""

    def __init__(self, at: Place, name: str, dataset: lance.LanceDataset) -> None:
        self.place, self.name, self._dataset = at, name, dataset

    @classmethod
    def create(cls, where: Where, name: str, schema: pa.Schema, rows: pa.Table | None = None) -> "Table":
        """Make the table, or replace whatever an interrupted creation left there."""
        at = place(where)
        with _errors(at, name, "created"):
            rows = schema.empty_table() if rows is None else rows.cast(schema)
            mode = "overwrite" if at.has(name) else "create"
            dataset = lance.write_dataset(rows, at.uri(name), schema=schema, mode=mode)
        return cls(at, name, dataset)

    @classmethod
    def open(cls, where: Where, name: str) -> "Table":
        """The newest version.

        Raises:
            StoreMissingError: no such table. StoreDamagedError: it cannot be read.
        """
        at = place(where)
        if not at.has(name):
            raise StoreMissingError(f"There is no table {name} in {at}.")
        with _errors(at, name, "opened"):
            return cls(at, name, lance.dataset(at.uri(name)))

    def latest(self) -> "Table":
        """The newest version of the same table."""
        return Table.open(self.place, self.name)

    @property
    def version(self) -> int:
        """The version this is; it grows with every commit."""
        return int(self._dataset.version)

    @property
    def latest_version(self) -> int:
        """The newest version that is committed."""
        with _errors(self.place, self.name, "read"):
            return int(self._dataset.latest_version)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema on disk, metadata included."""
        return self._dataset.schema

    def count(self, where: pc.Expression | None = None) -> int:
        """The number of rows that match."""
        with _errors(self.place, self.name, "read"):
            return int(self._dataset.count_rows(filter=where))

    def read(self, columns: list[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """The matching rows, in one piece."""
        with _errors(self.place, self.name, "read"):
            return self._dataset.to_table(columns=columns, filter=where)

    def batches(
        self, columns: list[str] | None = None, where: pc.Expression | None = None, rows: int = 8192
    ) -> Iterator[pa.RecordBatch]:
        """The matching rows, streamed."""
        with _errors(self.place, self.name, "read"):
            yield from self._dataset.to_batches(columns=columns, filter=where, batch_size=rows)

    def slice(self, first: int, count: int, columns: list[str]) -> pa.Table:
        """`count` rows from the row `first` on, in the order in which `batches` streams all of them."""
        with _errors(self.place, self.name, "read"):
            return self._dataset.to_table(columns=columns, offset=first, limit=count)

    def append(self, rows: pa.Table) -> None:
        """Add rows; `rows` must have the table's very schema."""
        with _errors(self.place, self.name, "written"):
            self._dataset = lance.write_dataset(rows, self._dataset, mode="append")

    def upsert(self, rows: pa.Table, on: str) -> None:
        """Insert rows, replacing those with the same key."""
        with _errors(self.place, self.name, "written"):
            merge = self._dataset.merge_insert([on]).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)
            self._dataset = lance.dataset(self._dataset.uri)

    def replace(self, rows: pa.Table) -> None:
        """Put `rows` in the place of all rows; the schema and its metadata stay."""
        with _errors(self.place, self.name, "written"):
            self._dataset = lance.write_dataset(rows.cast(self.schema), self._dataset, mode="overwrite")

    def delete(self, where: pc.Expression) -> None:
        """Drop the matching rows. They leave the disk when `tidy` drops the versions that hold them."""
        with _errors(self.place, self.name, "written"):
            self._dataset.delete(where)

    def tidy(self, grace: timedelta, thorough: bool = False) -> Tidied:
        """Merge small fragments, and drop versions that were replaced longer than `grace` ago and that no tag names.
        Whoever opened the newest version less than `grace` ago is not disturbed.

        thorough: rewrite every fragment that holds a deleted row, not only those of which more than a tenth is deleted.
        """
        with _errors(self.place, self.name, "tidied"):
            merged = self._dataset.optimize.compact_files(
                target_rows_per_fragment=ROWS_PER_FRAGMENT, materialize_deletions_threshold=0.0 if thorough else 0.1
            )
            # Lance's older_than goes by when a version was made: an old one replaced just now would be gone at once.
            since = datetime.now() - grace
            younger = sum(version["timestamp"] > since for version in self._dataset.versions())  # type: ignore[operator]
            keep = 1 + younger  # and the newest before them
            cleaned = self._dataset.cleanup_old_versions(retain_versions=keep, error_if_tagged_old_versions=False)
            self._dataset = lance.dataset(self._dataset.uri)
        return Tidied(merged.fragments_removed - merged.fragments_added, cleaned.bytes_removed)

    def validate(self) -> None:
        """Check the table's own files.

        Raises:
            StoreDamagedError: one of them is missing or cut short.
        """
        with _errors(self.place, self.name, "read"):
            self._dataset.validate()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _errors(at: Place, name: str, what: str) -> Iterator[None]:
    """Lance raises OSError, ValueError or RuntimeError with its cause in the text; name it."""
    try:
        yield
    except _LANCE_ERRORS as error:
        raise store_error(error, at, name, what) from error


def store_error(error: Exception, at: Place, name: str, what: str) -> StoreError:
    """The error of our own that says what an operating-system or Lance error means for table `name`."""
    text = str(error)
    number = getattr(error, "errno", None)

    def means(*numbers: int) -> bool:
        return number in numbers or any(f"(os error {n})" in text or os.strerror(n) in text for n in numbers)

    if isinstance(at, ObjectPrefix) and not_served(error):
        return unreachable(error, at)
    if means(errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            f"No space is left in {at}.",
            hint="Everything committed so far is safe. Free some space and run the same command again.",
        )
    if means(errno.EROFS, errno.EACCES, errno.EPERM):
        if what in ("opened", "read"):
            return StoreDamagedError(
                f"The table {name} of {at} cannot be {what}.",
                received=text.splitlines()[0][:200],
                expected="files you may read",
                hint="Change its permissions.",
            )
        return StoreReadOnlyError(
            f"The store {at} cannot be written to.",
            received=text.splitlines()[0][:120],
            expected="a folder you may write to, on a file system with hard links",
            hint="Change its permissions, or copy the store elsewhere and name it with --store.",
        )
    if what == "read" and "Not found" in text:
        return StoreDamagedError(
            f"A file of the table {name} of {at} is gone.",
            received=text.splitlines()[0][:200],
            hint="A snapshot older than `optimize --grace` is cleaned away; refresh() takes a new one. If that fails "
            "too, run `vimoclip verify`.",
        )
    return StoreDamagedError(
        f"The table {name} of {at} cannot be {what}.",
        received=text.splitlines()[0][:200] if text else type(error).__name__,
        hint="Run `vimoclip verify` to see what is damaged.",
    )
