"""Lance tables, thinly wrapped: the only importer of lance, and where its errors become ours.

A `Table` is one version of one table. Reading never blocks and never sees a commit made after the table was opened;
`latest()` opens the newest. Writing is for the store's one writer (see writer.py), and each call is one atomic commit.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vimoclip.errors import NoSpaceError, StoreDamagedError, StoreError, StoreMissingError, StoreReadOnlyError
from vimoclip.store.location import LocationLike, ObjectStorePrefix, StoreLocation, as_location, not_served, unreachable

_KINDS = (OSError, ValueError, RuntimeError, pa.ArrowException)


@contextlib.contextmanager
def lance_errors(at: StoreLocation, name: str, what: str) -> Iterator[None]:
    """Turn Lance's OSError, ValueError or RuntimeError, whose cause is in the text alone, into an error of ours.

    Args:
        at: the store.
        name: the table.
        what: what is being done to it, as a participle: "opened", "read", "written".

    Raises:
        StoreError: see `store_error`.
    """
    try:
        yield
    except _KINDS as error:
        raise store_error(error, at, name, what) from error


def store_error(error: Exception, at: StoreLocation, name: str, what: str) -> StoreError:
    """Return the error of ours that an operating-system or Lance error means.

    Args:
        error: what was raised.
        at: the store.
        name: the table.
        what: what was being done to it, as a participle: "opened", "read", "written".
    """
    text = str(error)
    number = getattr(error, "errno", None)

    def means(*numbers: int) -> bool:
        return number in numbers or any(f"(os error {n})" in text or os.strerror(n) in text for n in numbers)

    if isinstance(at, ObjectStorePrefix) and not_served(error):
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


ROWS_PER_FRAGMENT = 100_000
"""Fragments are merged up to this many rows: large enough for fast scans, small enough that compacting again and again
while a store grows never rewrites more than this."""

ROWS_TO_INDEX = 10_000
"""Rows from which an index pays: with fewer, the scan that it spares is the smaller part of a read."""


@dataclass(frozen=True)
class CompactionStats:
    """What `Table.compact_and_clean` saved.

    Attributes:
        fragments: how many were merged away.
        bytes: how many old versions freed.
    """

    fragments: int
    bytes: int


class Table:
    """One version of the Lance table at `<place>/<name>.lance`.

    Reads raise StoreDamagedError where a file is missing or damaged; writes also raise StoreReadOnlyError and
    NoSpaceError. All raise StoreUnreachableError where the object store does not answer, or refuses.

    Attributes:
        place: the store.
        name: of the table.
    """

    def __init__(self, at: StoreLocation, name: str, dataset: lance.LanceDataset) -> None:
        self.place, self.name, self._dataset = at, name, dataset

    @classmethod
    def create(cls, where: LocationLike, name: str, schema: pa.Schema, rows: pa.Table | None = None) -> "Table":
        """Make the table, replacing what an interrupted creation may have left there.

        Args:
            where: the store.
            name: of the table.
            schema: of its rows.
            rows: the first ones; None makes an empty table.
        """
        at = as_location(where)
        with lance_errors(at, name, "created"):
            rows = schema.empty_table() if rows is None else rows.cast(schema)
            mode = "overwrite" if at.has(name) else "create"
            dataset = lance.write_dataset(rows, at.uri(name), schema=schema, mode=mode)
        return cls(at, name, dataset)

    @classmethod
    def open(cls, where: LocationLike, name: str, version: int | None = None) -> "Table":
        """Open a version of the table.

        Args:
            where: the store.
            name: of the table.
            version: None opens the newest.

        Raises:
            StoreMissingError: there is no such table.
            StoreDamagedError: it cannot be read, or that version is gone.
        """
        at = as_location(where)
        if not at.has(name):
            raise StoreMissingError(f"There is no table {name} in {at}.")
        with lance_errors(at, name, "opened" if version is None else f"opened at version {version}"):
            return cls(at, name, lance.dataset(at.uri(name), version=version))

    def latest(self) -> "Table":
        """Open the newest version of the same table."""
        return Table.open(self.place, self.name)

    def versions(self) -> "Iterator[Table]":
        """Open every version that is still on the disk, the oldest first."""
        with lance_errors(self.place, self.name, "read"):
            numbers = [int(each["version"]) for each in self._dataset.versions()]
        yield from (Table.open(self.place, self.name, number) for number in numbers)

    @property
    def version(self) -> int:
        """The number of this version; it grows with every commit."""
        return int(self._dataset.version)

    @property
    def latest_version(self) -> int:
        """The number of the newest committed version."""
        with lance_errors(self.place, self.name, "read"):
            return int(self._dataset.latest_version)

    @property
    def dataset(self) -> lance.LanceDataset:
        """This version in Lance's own terms, for vector_index.py."""
        return self._dataset

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema on disk, metadata included."""
        return self._dataset.schema

    def count(self, where: pc.Expression | None = None) -> int:
        """Count the matching rows, or all."""
        with lance_errors(self.place, self.name, "read"):
            return int(self._dataset.count_rows(filter=where))

    def read(self, columns: list[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Read the matching rows, in one piece.

        Args:
            columns: those to read; None reads all.
            where: which rows; None reads all.
        """
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.to_table(columns=columns, filter=where)

    def batches(
        self, columns: list[str] | None = None, where: pc.Expression | None = None, rows: int = 8192
    ) -> Iterator[pa.RecordBatch]:
        """Stream the matching rows.

        Args:
            columns: those to read; None reads all.
            where: which rows; None reads all.
            rows: how many a batch has at most.
        """
        with lance_errors(self.place, self.name, "read"):
            yield from self._dataset.to_batches(columns=columns, filter=where, batch_size=rows)

    def slice(self, first: int, count: int, columns: list[str]) -> pa.Table:
        """Read `count` rows from row `first`, in the order in which `batches` streams all of them."""
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.to_table(columns=columns, offset=first, limit=count)

    def take(self, rows: NDArray[np.int64], columns: list[str]) -> pa.Table:
        """Read rows by their numbers, in the order given.

        Args:
            rows: numbers, int64 (n,), counted as `batches` streams all rows.
            columns: those to read.
        """
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.take(pa.array(rows), columns=columns)

    def fragments(self) -> dict[str, int]:
        """Number the fragments, in order.

        Returns:
            For each fragment, by a text that identifies its rows and columns and that no other fragment has, the number
            that `read_fragment` takes.
        """
        with lance_errors(self.place, self.name, "read"):
            found = {}
            for fragment in self._dataset.get_fragments():
                deleted = fragment.deletion_file()
                files = sorted(file.path for file in fragment.data_files())
                found[" ".join([*files, deleted or "-"])] = int(fragment.fragment_id)
            return found

    def read_fragment(self, number: int, columns: list[str]) -> pa.Table:
        """Read the rows of one fragment, by its number in `fragments`."""
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.get_fragment(number).to_table(columns=columns)  # type: ignore[union-attr]

    def tag(self, name: str, about: dict[str, str] | None = None) -> None:
        """Keep this version from being cleaned up. A name that another version has is moved here.

        Args:
            name: of the tag.
            about: what to say of it, for `tags`.
        """
        with lance_errors(self.place, self.name, "tagged"):
            known = name in self._dataset.tags.list()
            (self._dataset.tags.update if known else self._dataset.tags.create)(name, self.version)
            if about is not None:
                self._dataset.tags.replace_metadata(name, about)

    def tags(self) -> dict[str, tuple[datetime, dict[str, str]]]:
        """Read when each tag was set, and what was said of it, by name."""
        with lance_errors(self.place, self.name, "read"):
            found: dict[str, Any] = dict(self._dataset.tags.list())
        return {name: (tag["updated_at"] or tag["created_at"], dict(tag["metadata"])) for name, tag in found.items()}

    def count_older(self) -> int:
        """Count the older versions that are still on the disk and that no tag names."""
        with lance_errors(self.place, self.name, "read"):
            tagged: dict[str, Any] = dict(self._dataset.tags.list())
            kept = {self.latest_version, *(tag["version"] for tag in tagged.values())}
            return sum(each["version"] not in kept for each in self._dataset.versions())

    def untag(self, name: str) -> None:
        """Release the version that has a name, if there is one."""
        with lance_errors(self.place, self.name, "tagged"):
            if name in self._dataset.tags.list():
                self._dataset.tags.delete(name)

    def append(self, rows: pa.Table) -> None:
        """Add rows.

        Args:
            rows: their schema must be the table's, to the letter.
        """
        with lance_errors(self.place, self.name, "written"):
            self._dataset = lance.write_dataset(rows, self._dataset, mode="append")

    def upsert(self, rows: pa.Table, on: str) -> None:
        """Insert rows, replacing those with the same key.

        Args:
            rows: with all columns.
            on: the column that is the key.
        """
        with lance_errors(self.place, self.name, "written"):
            merge = self._dataset.merge_insert([on]).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)
            self._dataset = lance.dataset(self._dataset.uri)

    def replace(self, rows: pa.Table, schema: pa.Schema | None = None) -> None:
        """Put `rows` in the place of all rows.

        Args:
            rows: the new rows.
            schema: the table's from now on, with its metadata; None keeps the one it has.
        """
        schema = self.schema if schema is None else schema
        with lance_errors(self.place, self.name, "written"):
            self._dataset = lance.write_dataset(rows.cast(schema), self._dataset, schema=schema, mode="overwrite")

    def add_columns(self, columns: pa.Schema) -> None:
        """Add columns, null in every row."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset.add_columns(columns)

    def copy_columns(self, copies: dict[str, str]) -> None:
        """Add columns with the values of others, `{new: old}`."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset.add_columns({new: f"`{old}`" for new, old in copies.items()})

    def drop_columns(self, names: list[str]) -> None:
        """Drop columns. They leave the disk when `cleanup_versions` drops the versions that hold them."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset.drop_columns(names)

    def scan_with_row_ids(self, columns: list[str], where: pc.Expression | None = None) -> pa.Table:
        """Read the matching rows, and in a column `_rowid`, uint64, where each lies.

        `update_rows` takes these ids; they hold until `compact_and_clean` moves rows.
        """
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.to_table(columns=columns, filter=where, with_row_id=True)

    def update_rows(self, rows: pa.Table) -> None:
        """Set columns of some rows.

        Args:
            rows: the columns to set, and `_rowid` as `scan_with_row_ids` gives it, each row once.
        """
        with lance_errors(self.place, self.name, "written"):
            fragments = pc.shift_right(rows["_rowid"], pa.scalar(32, pa.uint64()))
            updated, fields = [], set[int]()
            for fragment in pc.unique(fragments).to_pylist():
                part = rows.filter(pc.equal(fragments, fragment))
                metadata, changed = self._dataset.get_fragment(fragment).update_columns(part)  # type: ignore[union-attr]
                updated.append(metadata)
                fields.update(changed)
            change = lance.LanceOperation.Update(updated_fragments=updated, fields_modified=sorted(fields))
            self._dataset = lance.LanceDataset.commit(self._dataset, change, read_version=self._dataset.version)

    def delete(self, where: pc.Expression) -> None:
        """Drop the matching rows. They leave the disk when `cleanup_versions` drops the versions that hold them."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset.delete(where)

    def compact_and_clean(self, grace: timedelta, thorough: bool = False) -> CompactionStats:
        """Merge small fragments, and drop old versions.

        Dropped are versions that were replaced longer than `grace` ago and that no tag names. A reader that opened the
        newest version less than `grace` ago is not disturbed.

        Args:
            grace: how long a replaced version stays.
            thorough: rewrite every fragment that holds a deleted row, not only those more than a tenth deleted.
        """
        with lance_errors(self.place, self.name, "tidied"):
            merged = self._dataset.optimize.compact_files(
                target_rows_per_fragment=ROWS_PER_FRAGMENT, materialize_deletions_threshold=0.0 if thorough else 0.1
            )
        return CompactionStats(merged.fragments_removed - merged.fragments_added, self.cleanup_versions(grace))

    def cleanup_versions(self, grace: timedelta) -> int:
        """Drop old versions as `compact_and_clean` does, but leave rows where they are; how many bytes that freed."""
        with lance_errors(self.place, self.name, "tidied"):
            # Lance's older_than goes by when a version was made: an old one replaced just now would be gone at once.
            since = datetime.now() - grace
            younger = sum(version["timestamp"] > since for version in self._dataset.versions())  # type: ignore[operator]
            keep = 1 + younger  # and the newest before them
            cleaned = self._dataset.cleanup_old_versions(retain_versions=keep, error_if_tagged_old_versions=False)
            self._dataset = lance.dataset(self._dataset.uri)
        return int(cleaned.bytes_removed)

    def index(self, column: str) -> int:
        """Make, complete or mend the index that finds rows by the value of an integer column without a scan.

        The index is made anew each time, which takes 0.1 s a million rows. Call this before `compact_and_clean`, which
        does not merge fragments where some are in an index and others are not. A bitmap index finds the rows of one
        value as fast as this tree does, but takes seconds for those of 30,000 values (benchmarks/speed/store.py).

        Args:
            column: of integers.

        Returns:
            How many rows this added to the index; 0 where the table has too few rows for one.
        """
        try:
            known = self.unindexed(column)
        except StoreDamagedError:
            known = None
        rows = self.count() if known is None else known
        if rows == 0 or (column not in self._indexes() and rows < ROWS_TO_INDEX):
            return 0
        with lance_errors(self.place, self.name, "indexed"):
            self._dataset.create_scalar_index(column, "BTREE", name=column, replace=True)
            self._dataset = lance.dataset(self._dataset.uri)
        return rows

    def unindexed(self, column: str) -> int | None:
        """Count the rows that a search for values of an integer column has to scan; None where it has no index.

        Raises:
            StoreDamagedError: the index cannot be read, or does not find every row.
        """
        if column not in self._indexes():
            return None
        lowest = pa.scalar(np.iinfo(np.int64).min)
        found, rows = self.count(pc.field(column) >= lowest), self.count()  # the first uses the index
        if found != rows:
            raise StoreDamagedError(
                f"The index of the table {self.name} of {self.place} is damaged.",
                received=f"{found} rows",
                expected=f"{rows} rows",
                hint="Run `vimoclip optimize`, which makes it anew.",
            )
        with lance_errors(self.place, self.name, "read"):
            return int(self._dataset.stats.index_stats(column)["num_unindexed_rows"])

    def _indexes(self) -> set[str]:
        with lance_errors(self.place, self.name, "read"):
            return {index.name for index in self._dataset.describe_indices()}

    def validate(self) -> None:
        """Check the table's own files.

        Raises:
            StoreDamagedError: one of them is missing or cut short.
        """
        with lance_errors(self.place, self.name, "read"):
            self._dataset.validate()  # type: ignore[no-untyped-call]


GRACE = timedelta(minutes=10)
"""How long a replaced version stays by default, for the readers that hold it."""
