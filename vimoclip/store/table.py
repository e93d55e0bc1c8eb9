"""Lance tables, thinly: the only importer of lance.

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
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vimoclip.errors import NoSpaceError, StoreDamagedError, StoreError, StoreMissingError, StoreReadOnlyError
from vimoclip.store.location import LocationLike, ObjectStorePrefix, StoreLocation, as_location, not_served, unreachable

# Where Lance's errors, and the operating system's, become ours.


_KINDS = (OSError, ValueError, RuntimeError, pa.ArrowException)


@contextlib.contextmanager
def lance_errors(at: StoreLocation, name: str, what: str) -> Iterator[None]:
    """Lance raises OSError, ValueError or RuntimeError with its cause in the text; name it."""
    try:
        yield
    except _KINDS as error:
        raise store_error(error, at, name, what) from error


def store_error(error: Exception, at: StoreLocation, name: str, what: str) -> StoreError:
    """The error of our own that says what an operating-system or Lance error means for table `name`."""
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
"""Rows from which an index pays: below, the scan that it spares is the smaller part of a read."""


@dataclass(frozen=True)
class CompactionStats:
    """What `Table.tidy` won: fragments merged away, bytes freed by dropping old versions."""

    fragments: int
    bytes: int


class Table:
    """One version of the Lance table at `<place>/<name>.lance`."""

    def __init__(self, at: StoreLocation, name: str, dataset: lance.LanceDataset) -> None:
        self.place, self.name, self._dataset = at, name, dataset

    @classmethod
    def create(cls, where: LocationLike, name: str, schema: pa.Schema, rows: pa.Table | None = None) -> "Table":
        """Make the table, or replace whatever an interrupted creation left there."""
        at = as_location(where)
        with lance_errors(at, name, "created"):
            rows = schema.empty_table() if rows is None else rows.cast(schema)
            mode = "overwrite" if at.has(name) else "create"
            dataset = lance.write_dataset(rows, at.uri(name), schema=schema, mode=mode)
        return cls(at, name, dataset)

    @classmethod
    def open(cls, where: LocationLike, name: str, version: int | None = None) -> "Table":
        """A version of it, by default the newest.

        Raises:
            StoreMissingError: no such table. StoreDamagedError: it cannot be read, or that version is gone.
        """
        at = as_location(where)
        if not at.has(name):
            raise StoreMissingError(f"There is no table {name} in {at}.")
        with lance_errors(at, name, "opened" if version is None else f"opened at version {version}"):
            return cls(at, name, lance.dataset(at.uri(name), version=version))

    def latest(self) -> "Table":
        """The newest version of the same table."""
        return Table.open(self.place, self.name)

    def versions(self) -> "Iterator[Table]":
        """Every version that is still on the disk, the oldest first."""
        with lance_errors(self.place, self.name, "read"):
            numbers = [int(each["version"]) for each in self._dataset.versions()]
        yield from (Table.open(self.place, self.name, number) for number in numbers)

    @property
    def version(self) -> int:
        """The version this is; it grows with every commit."""
        return int(self._dataset.version)

    @property
    def latest_version(self) -> int:
        """The newest version that is committed."""
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
        """The number of rows that match."""
        with lance_errors(self.place, self.name, "read"):
            return int(self._dataset.count_rows(filter=where))

    def read(self, columns: list[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """The matching rows, in one piece."""
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.to_table(columns=columns, filter=where)

    def batches(
        self, columns: list[str] | None = None, where: pc.Expression | None = None, rows: int = 8192
    ) -> Iterator[pa.RecordBatch]:
        """The matching rows, streamed."""
        with lance_errors(self.place, self.name, "read"):
            yield from self._dataset.to_batches(columns=columns, filter=where, batch_size=rows)

    def slice(self, first: int, count: int, columns: list[str]) -> pa.Table:
        """`count` rows from the row `first` on, in the order in which `batches` streams all of them."""
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.to_table(columns=columns, offset=first, limit=count)

    def take(self, rows: NDArray[np.int64], columns: list[str]) -> pa.Table:
        """The rows of these numbers, in their order; numbered as `batches` streams all of them."""
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.take(rows.tolist(), columns=columns)

    def fragments(self) -> dict[str, int]:
        """Its fragments in order: what their rows and columns follow from, as text that no other fragment has, and the
        number by which `of_fragment` takes them."""
        with lance_errors(self.place, self.name, "read"):
            found = {}
            for fragment in self._dataset.get_fragments():
                deleted = fragment.deletion_file()
                files = sorted(file.path for file in fragment.data_files())
                found[" ".join([*files, deleted or "-"])] = int(fragment.fragment_id)
            return found

    def read_fragment(self, number: int, columns: list[str]) -> pa.Table:
        """The rows of one fragment."""
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.get_fragment(number).to_table(columns=columns)  # type: ignore[union-attr]

    def tag(self, name: str) -> None:
        """Keep this version from being cleaned away. A name that another version has is moved here."""
        with lance_errors(self.place, self.name, "tagged"):
            known = name in self._dataset.tags.list()
            (self._dataset.tags.update if known else self._dataset.tags.create)(name, self.version)

    def untag(self, name: str) -> None:
        """Let go of the version that has a name, if one has."""
        with lance_errors(self.place, self.name, "tagged"):
            if name in self._dataset.tags.list():
                self._dataset.tags.delete(name)

    def append(self, rows: pa.Table) -> None:
        """Add rows; `rows` must have the table's very schema."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset = lance.write_dataset(rows, self._dataset, mode="append")

    def upsert(self, rows: pa.Table, on: str) -> None:
        """Insert rows, replacing those with the same key."""
        with lance_errors(self.place, self.name, "written"):
            merge = self._dataset.merge_insert([on]).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)
            self._dataset = lance.dataset(self._dataset.uri)

    def replace(self, rows: pa.Table) -> None:
        """Put `rows` in the place of all rows; the schema and its metadata stay."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset = lance.write_dataset(rows.cast(self.schema), self._dataset, mode="overwrite")

    def add_columns(self, columns: pa.Schema) -> None:
        """Add columns, null in every row."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset.add_columns(columns)

    def copy_columns(self, copies: dict[str, str]) -> None:
        """Add columns with the values of others, `{new: old}`."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset.add_columns({new: f"`{old}`" for new, old in copies.items()})

    def drop_columns(self, names: list[str]) -> None:
        """Drop columns. They leave the disk when `tidy` drops the versions that hold them."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset.drop_columns(names)

    def scan_with_row_ids(self, columns: list[str], where: pc.Expression | None = None) -> pa.Table:
        """The matching rows, and in a column `_rowid` where each is: until the next `tidy`, what `fill` takes."""
        with lance_errors(self.place, self.name, "read"):
            return self._dataset.to_table(columns=columns, filter=where, with_row_id=True)

    def update_rows(self, rows: pa.Table) -> None:
        """Set columns of some rows. rows: those columns, and `_rowid` (see `addresses`), no row twice."""
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
        """Drop the matching rows. They leave the disk when `tidy` drops the versions that hold them."""
        with lance_errors(self.place, self.name, "written"):
            self._dataset.delete(where)

    def compact_and_clean(self, grace: timedelta, thorough: bool = False) -> CompactionStats:
        """Merge small fragments, and drop versions that were replaced longer than `grace` ago and that no tag names.
        Whoever opened the newest version less than `grace` ago is not disturbed.

        thorough: rewrite every fragment that holds a deleted row, not only those of which more than a tenth is deleted.
        """
        with lance_errors(self.place, self.name, "tidied"):
            merged = self._dataset.optimize.compact_files(
                target_rows_per_fragment=ROWS_PER_FRAGMENT, materialize_deletions_threshold=0.0 if thorough else 0.1
            )
        return CompactionStats(merged.fragments_removed - merged.fragments_added, self.cleanup_versions(grace))

    def cleanup_versions(self, grace: timedelta) -> int:
        """What `tidy` does about versions, without merging anything: rows stay where they are. Returns bytes freed."""
        with lance_errors(self.place, self.name, "tidied"):
            # Lance's older_than goes by when a version was made: an old one replaced just now would be gone at once.
            since = datetime.now() - grace
            younger = sum(version["timestamp"] > since for version in self._dataset.versions())  # type: ignore[operator]
            keep = 1 + younger  # and the newest before them
            cleaned = self._dataset.cleanup_old_versions(retain_versions=keep, error_if_tagged_old_versions=False)
            self._dataset = lance.dataset(self._dataset.uri)
        return int(cleaned.bytes_removed)

    def index(self, column: str) -> int:
        """Make, complete or mend the index by which rows are found by the value of an integer column without a scan,
        where the table has rows enough for one; how many rows that adds to it.

        It is made anew each time, which takes 0.1 s a million rows. Call it before `tidy`, which merges no fragments of
        which some are in an index and others are not. A bitmap finds the rows of one value as fast as this tree does,
        but those of 30,000 values in seconds (benchmarks/speed/store.py).
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
        """Rows that a search for values of an integer column has to scan; None where it has no index.

        Raises:
            StoreDamagedError: the index cannot be read, or does not find every row.
        """
        if column not in self._indexes():
            return None
        lowest = pa.scalar(np.iinfo(np.int64).min)
        found, rows = self.count(pc.field(column) >= lowest), self.count()  # of which the first goes by the index
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
"""How long a version that is no longer the newest stays, for the readers that hold it."""
