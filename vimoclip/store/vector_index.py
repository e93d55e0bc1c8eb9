"""The index that finds the nearest vectors of a large table without reading them all: Lance's IVF_RQ.

Vectors lie in partitions by their nearest centroid, each as a code of about one bit a value. A search looks through the
nearest partitions by the codes and compares the best of them exactly, so it may miss some. Rows that came after the
index was made are always compared exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from vimoclip.store.table import Table, lance_errors

ROWS_TO_INDEX = 250_000
"""Rows from which the index pays: comparing with fewer takes less than a tenth of a second."""

PROBES, REFINE = 20, 2
"""How many partitions a search looks through, and how many candidates it compares exactly for each row asked for. A
search asks for four rows for each bout it wants, so for eight candidates a bout; reading them takes most of its time.
Measured at 300,000 rows: recall@10 1.000 (benchmarks/speed/search.py)."""

_ALL = 1 << 20

MOST_PARTS = 8
"""Parts from which an index is merged: it gains one each time rows are added, and a search looks through all."""


@dataclass(frozen=True)
class Nearest:
    """Rows by descending cosine with a query.

    Attributes:
        address: Lance's `_rowid`, uint64 (n,).
        cosine: fp32 (n,).
    """

    address: NDArray[np.uint64]
    cosine: NDArray[np.float32]


def has_index(table: Table, column: str) -> bool:
    """Whether the column has an index of its vectors."""
    with lance_errors(table.place, table.name, "read"):
        return column in {index.name for index in table.dataset.describe_indices()}


def wants_rows(table: Table, column: str) -> bool:
    """Whether `update` would do anything."""
    if has_index(table, column):
        return unindexed(table, column) > 0
    return table.count() >= ROWS_TO_INDEX and _present(table, column) >= ROWS_TO_INDEX


def unindexed(table: Table, column: str) -> int:
    """Count the rows that the column's index does not hold."""
    return int(_stats(table, column)["num_unindexed_rows"])


def update(table: Table, column: str, check: Callable[[], None]) -> int:
    """Make the column's index where the table is large enough, or add the rows that it lacks.

    The index is made anew once half of the rows came after it, because its partitions fit the rows of that time. The
    new version of the table is `Table.latest()`.

    Args:
        table: its newest version.
        column: of vectors.
        check: called before the commit, to raise when the lock is lost.

    Returns:
        How many rows were added.
    """
    if not wants_rows(table, column):
        return 0
    rows = table.count()
    lacking = unindexed(table, column) if has_index(table, column) else rows
    if 2 * lacking >= rows:
        _make(table, column, check)
        return rows
    parts = int(_stats(table, column)["num_indices"])
    with lance_errors(table.place, table.name, "indexed"):
        check()
        merge = parts if parts >= MOST_PARTS else 0
        table.dataset.optimize.optimize_indices(num_indices_to_merge=merge, index_names=[column])
    return lacking


def _make(table: Table, column: str, check: Callable[[], None]) -> None:
    with lance_errors(table.place, table.name, "indexed"):
        check()
        table.dataset.create_index(column, "IVF_RQ", name=column, metric="cosine", replace=True)


def nearest_vectors(
    table: Table, column: str, query: NDArray[np.float32], count: int, where: pc.Expression | None = None
) -> Nearest:
    """Find the rows nearest to a vector among those that match: approximately, by the index.

    Every partition is looked through where the nearest ones hold too few rows; and with a filter from the start, since
    the nearest may hold no row that matches. So fewer than `count` come back only where no more match.

    Args:
        table: the table.
        column: of vectors, with an index.
        query: a unit vector, fp32 (D,).
        count: how many rows.
        where: which rows match; None is all.
    """
    asked: dict[str, Any] = {"column": column, "q": query, "k": count, "refine_factor": REFINE, "metric": "cosine"}
    with lance_errors(table.place, table.name, "read"):
        for probes in (PROBES, _ALL) if where is None else (_ALL,):
            found = table.dataset.to_table(
                columns=["_distance"],
                nearest=asked | {"nprobes": probes},
                filter=where,
                prefilter=where is not None,
                with_row_id=True,
            )
            if found.num_rows == count:
                break
    cosine = 1 - found["_distance"].to_numpy().astype(np.float32)
    return Nearest(found["_rowid"].to_numpy(), cosine)


def _present(table: Table, column: str) -> int:
    """Count the rows that have a vector, in SQL because Arrow's expressions cannot; the name is the schema's."""
    with lance_errors(table.place, table.name, "read"):
        return int(table.dataset.count_rows(filter=f"{table.schema.field(column).name} IS NOT NULL"))


def _stats(table: Table, column: str) -> dict[str, Any]:
    with lance_errors(table.place, table.name, "read"):
        return dict(table.dataset.stats.index_stats(column))
