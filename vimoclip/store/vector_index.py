"""The index by which the nearest vectors of a large table are found without reading them all: Lance's IVF_RQ.

Vectors lie in partitions by their nearest centroid, each as a code of about one bit a value; the nearest partitions are
looked through by the codes, and the best of what they hold are compared exactly. So it may miss some. Rows that came
after it was made are always compared exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vimoclip.store.table import Table, lance_errors

ROWS_TO_INDEX = 250_000
"""Rows from which it pays: below, comparing with all of them takes less than a tenth of a second."""

PROBES, REFINE = 20, 2
"""Partitions that are looked through, and how many times as many candidates as are asked for are compared exactly. A
search asks for four times the bouts it wants: eight candidates a bout. To read them takes most of its time. Measured at
300,000 rows: recall@10 1.000 (benchmarks/speed/search.py)."""

_ALL = 1 << 20

MOST_PARTS = 8
"""An index has a part for each time that rows were added to it, and every part is looked through."""


@dataclass(frozen=True)
class Nearest:
    """Rows in the order of their cosines with a query. address: uint64 (n,), `_rowid` of lance. cosine: fp32 (n,)."""

    address: NDArray[np.uint64]
    cosine: NDArray[np.float32]


def has_index(table: Table, column: str) -> bool:
    """Whether the column has one."""
    with lance_errors(table.place, table.name, "read"):
        return column in {index.name for index in table.dataset.describe_indices()}


def wants_rows(table: Table, column: str) -> bool:
    """Whether `update` would have something to do."""
    if has_index(table, column):
        return unindexed(table, column) > 0
    return table.count() >= ROWS_TO_INDEX and _present(table, column) >= ROWS_TO_INDEX


def unindexed(table: Table, column: str) -> int:
    """Rows that its index does not hold."""
    return int(_stats(table, column)["num_unindexed_rows"])


def update(table: Table, column: str, check: Callable[[], None]) -> int:
    """Make the column's index where the table earns one, or add the rows that it lacks; how many that were.

    It is made anew once half of the rows came after it: its partitions are of what was there then. check: called before
    the commit, to raise when the lock is lost. Table.latest() has it.
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
    """The `count` rows nearest to a unit vector (D,), among those that match: approximately, by the index.

    Every partition is looked through where the nearest ones hold too few; and with a filter at once, since they may
    hold none of the rows that match. So there are fewer only where no more match.
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


def take(table: Table, positions: NDArray[np.int64], columns: list[str]) -> pa.Table:
    """The rows at these positions, as `Table.batches` would count them, in their order."""
    with lance_errors(table.place, table.name, "read"):
        return table.dataset.take(pa.array(positions), columns=columns)


def _present(table: Table, column: str) -> int:
    """Rows that have a vector. Arrow's expressions cannot ask that of vectors; the column's name is the schema's."""
    with lance_errors(table.place, table.name, "read"):
        return int(table.dataset.count_rows(filter=f"{table.schema.field(column).name} IS NOT NULL"))


def _stats(table: Table, column: str) -> dict[str, Any]:
    with lance_errors(table.place, table.name, "read"):
        return dict(table.dataset.stats.index_stats(column))
