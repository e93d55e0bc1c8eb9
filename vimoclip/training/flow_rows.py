"""The encoded flow of the steps of many videos, in memory where it fits, else read as it is asked for."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from vimoclip.device import free_bytes
from vimoclip.errors import RunError, StoreDamagedError
from vimoclip.flow.encoding import decode
from vimoclip.sequences.sequences import SHARE, Steps
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table


def flow_of(store: FeatureStore) -> Table:
    """The table of a store's flow.

    Raises:
        RunError: the store keeps none.
    """
    if not store.config.keep_flow:
        raise RunError(
            f"The store {store.place} keeps no flow, which a motion student is shown.",
            received="a store made with --no-keep-flow",
            expected="a store that keeps it",
            hint="Ingest the videos into another store without --no-keep-flow.",
        )
    return store.tables["flow"]


class FlowRows:
    """The flow of N steps. table: `flow`. at: int64 (N,), the row of each, in the table or, where it is held, among the
    `held` ones, which lie one chunk after another."""

    def __init__(self, table: Table, at: NDArray[np.int64], held: Sequence[pa.BinaryArray] | None) -> None:
        self._table, self._at, self._held = table, at, held
        self._starts = np.cumsum([0, *(len(chunk) for chunk in held or [])])

    @property
    def held(self) -> bool:
        """Whether it is in memory."""
        return self._held is not None

    def planes(self, steps: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The codes of these steps, as they are served: uint8 (n, 2, 224, 224).

        Raises:
            StoreDamagedError: one cannot be decoded.
        """
        rows = self._at[steps]
        if self._held is None:
            found = self._table.take(rows, ["flow"])["flow"].to_pylist()
        else:
            chunks = np.searchsorted(self._starts, rows, side="right") - 1
            places = zip(chunks.tolist(), (rows - self._starts[chunks]).tolist(), strict=True)
            found = [self._held[chunk][row].as_py() for chunk, row in places]
        return np.stack([decode(data) for data in found])


def read_flow(table: Table, steps: Steps, hold: bool | None = None) -> FlowRows:
    """The flow of steps. hold: in memory; None is where it fits.

    Raises:
        StoreDamagedError: rows are missing.
    """
    if hold is None:
        hold = table.place.size("flow") <= SHARE * free_bytes(torch.device("cpu"))
    at = np.full(int(steps.offsets[-1]), -1)
    held, count = list[pa.BinaryArray](), 0
    for batch in table.batches(["take", "frame_index", "flow"] if hold else ["take", "frame_index"]):
        rows = steps.rows(batch["take"].to_numpy(), batch["frame_index"].to_numpy().astype(np.int64))
        wanted = rows >= 0
        if hold:
            held.append(batch["flow"].filter(pa.array(wanted)))
            at[rows[wanted]] = count + np.arange(len(held[-1]))
            count += len(held[-1])
        else:
            at[rows[wanted]] = count + np.flatnonzero(wanted)
            count += len(batch)
    if lost := int((at < 0).sum()):
        raise StoreDamagedError(
            f"The table flow of {table.place} lacks frames.",
            received=f"{len(at) - lost} frames",
            expected=len(at),
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    return FlowRows(table, at, held if hold else None)


def rows_by_take(table: Table) -> dict[int, int]:
    """How many rows of `flow` each take has."""
    parts = [np.unique(batch["take"].to_numpy(), return_counts=True) for batch in table.batches(["take"], rows=1 << 20)]
    found = dict[int, int]()
    for takes, counts in parts:
        for take, count in zip(takes.tolist(), counts.tolist(), strict=True):
            found[take] = found.get(take, 0) + count
    return found
