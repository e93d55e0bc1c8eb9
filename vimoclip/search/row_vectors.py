"""RowVectors: the vectors of what is searched through, by the place of each: rows of a table, and then fresh ones.

A space is read whole, once, and stays in memory, where it is small enough and much of it is asked for. Else what is
asked for is read.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vimoclip.frames import vectors
from vimoclip.search.cosine import lengths
from vimoclip.search.fresh_segments import FreshSegments
from vimoclip.store.table import Table
from vimoclip.store.vector_index import take

PACKED_BYTES = 1 << 30
"""A space is held in memory when it is no larger: 1 M vectors of 512 are."""

_FEW = 8
"""A space is read whole once this part of its places is asked for, or as many were read by themselves as it has."""

_PIECE = 1 << 16
"""So many places are read at a time of a space that is larger."""

Places = NDArray[np.int64]
Vectors = tuple[NDArray[np.float16], NDArray[np.float32]]


class RowVectors:
    """Places 0 … stored − 1 are the rows of the table in their order on disk; those after them are the fresh ones.

    spaces: of each, its column in the table, and its width D.
    """

    def __init__(
        self, table: Table, stored: int, fresh: FreshSegments | None, spaces: Mapping[str, tuple[str, int]]
    ) -> None:
        self._table, self._stored, self._fresh, self._spaces = table, stored, fresh, spaces
        self._asked: dict[str, int] = {}  # how many were read by themselves
        self._packed: dict[str, Vectors] = {}

    def __len__(self) -> int:
        return self._stored + (len(self._fresh) if self._fresh is not None else 0)

    def at(self, space: str, places: Places) -> Vectors:
        """Vectors, fp16 (n, D), and their lengths, fp32 (n,); one that is not there is zero, and so is its length."""
        if space not in self._packed:
            self._asked[space] = self._asked.get(space, 0) + len(places)
            few = len(places) * _FEW < len(self) and self._asked[space] < len(self)
            if few or not self._fits(space):
                return _zeroed(self._read(space, places))
            self._packed[space] = _zeroed(self._read_all(space))
        packed, sizes = self._packed[space]
        if len(places) == len(packed) and np.array_equal(places, np.arange(len(packed))):
            return packed, sizes
        return packed[places], sizes[places]

    def pieces(self, space: str, places: Places) -> Iterator[tuple[slice, Vectors]]:
        """`at` many places: at once where the space is held in memory, else a part of `places` at a time."""
        step = max(1, len(places)) if self._fits(space) else _PIECE
        for first in range(0, len(places), step):
            part = slice(first, first + step)
            yield part, self.at(space, places[part])

    def _fits(self, space: str) -> bool:
        return 2 * len(self) * self._spaces[space][1] <= PACKED_BYTES

    def _read(self, space: str, places: Places) -> NDArray[np.float16]:
        column, dim = self._spaces[space]
        out = np.zeros((len(places), dim), np.float16)
        stored = places < self._stored
        if stored.any():
            order = np.sort(places[stored])
            found = vectors(take(self._table, order, [column])[column])
            out[stored] = found[np.searchsorted(order, places[stored])]
        if not stored.all() and self._fresh is not None:
            out[~stored] = vectors(self._fresh.column(space).take(pa.array(places[~stored] - self._stored)))
        return out

    def _read_all(self, space: str) -> NDArray[np.float16]:
        column, dim = self._spaces[space]
        out = np.zeros((len(self), dim), np.float16)
        filled = 0
        if self._stored:
            for batch in self._table.batches([column], rows=1 << 14):
                out[filled : filled + batch.num_rows] = vectors(batch[column])
                filled += batch.num_rows
        if self._fresh is not None:
            out[filled:] = vectors(self._fresh.column(space))
        return out


def _zeroed(found: NDArray[np.float16]) -> Vectors:
    """With zeros for the vectors that are not there, and the lengths of all."""
    found[np.isnan(found[:, 0])] = 0
    return found, lengths(found)
