"""Frames of a video as a fusion model reads them: vectors of some features, and the lengths they had."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vimoclip.sequences.sequences import FrameSampling

if TYPE_CHECKING:  # or whoever searches the store would wait for a decoder to load
    from vimoclip.embedding.events import Vectors

# Arrow's columns of vectors as numpy arrays, in the memory they are in.


Column: TypeAlias = pa.ChunkedArray | pa.FixedSizeListArray


def vectors(column: Column) -> NDArray[np.floating]:
    """n vectors of length D, such as `clip` or `moclip`, as (n, D) of their own dtype, fp16 in a store.

    Without a null and in one chunk, as `FeatureStore.sequence` and `batches` give them, it is a read-only view of the
    column's memory. Otherwise it is a copy, in which a vector that is null is NaN.

    Raises:
        ValueError: a column of something else.
    """
    if not (pa.types.is_fixed_size_list(column.type) and pa.types.is_floating(column.type.value_type)):
        raise ValueError(f"vectors are fixed-size lists of floating-point numbers, not {column.type}")
    return _joined(column, _with_nans)


def stored_values(column: Column) -> NDArray[np.floating]:
    """n vectors of length D as (n, D), whatever stands there for a null: a read-only view of the memory they are in,
    but a copy where that is several chunks."""
    return _joined(column, _view)


def _joined(column: Column, of: Callable[[pa.FixedSizeListArray], NDArray[np.floating]]) -> NDArray[np.floating]:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [of(chunk) for chunk in chunks if len(chunk)]
    if len(parts) == 1:
        return parts[0]
    dtype = column.type.value_type.to_pandas_dtype()
    return np.concatenate(parts) if parts else np.empty((0, column.type.list_size), dtype)


def _view(chunk: pa.FixedSizeListArray) -> NDArray[np.floating]:
    width, values = chunk.type.list_size, chunk.values  # the values of the whole chunk, of which this may be a slice
    first = values.offset + chunk.offset * width
    flat = np.frombuffer(values.buffers()[1], values.type.to_pandas_dtype())[first : first + len(chunk) * width]
    flat.flags.writeable = False
    return flat.reshape(len(chunk), width)


def _with_nans(chunk: pa.FixedSizeListArray) -> NDArray[np.floating]:
    rows = _view(chunk)
    if chunk.null_count:
        rows = rows.copy()
        rows[chunk.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return rows


@dataclass(frozen=True)
class FrameVectors:
    """n consecutive frames. By feature: `values`, fp16 (n, D), of any value where a frame has none; `norms`, fp32 (n,),
    the lengths of the raw vectors, 0 where there is none."""

    values: Mapping[str, NDArray[np.floating]]
    norms: Mapping[str, NDArray[np.float32]]

    @classmethod
    def stored(cls, rows: pa.Table | pa.RecordBatch, features: Iterable[str]) -> Self:
        """Rows of `frames` that have the columns `columns_of` names, in the memory they are in."""
        names = list(features)
        return cls(
            {name: stored_values(rows[name]) for name in names},
            {name: rows[f"{name}_norm"].fill_null(0).to_numpy(zero_copy_only=False) for name in names},
        )

    @classmethod
    def made(cls, vectors: "Mapping[str, Vectors]", features: Iterable[str]) -> Self:
        """Those of a worker, in the memory they are in."""
        own = {name: vectors[name] for name in features}
        return cls(
            {name: each.values for name, each in own.items()},
            {name: np.where(each.present, each.norm, np.float32(0)) for name, each in own.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after another; of a single part, that one."""
        if len(parts) == 1:
            return parts[0]
        names = parts[0].norms
        return cls(
            {name: np.concatenate([part.values[name] for part in parts]) for name in names},
            {name: np.concatenate([part.norms[name] for part in parts]) for name in names},
        )

    def __len__(self) -> int:
        return len(next(iter(self.norms.values())))

    def at(self, rows: "slice | NDArray[np.int64]") -> Self:
        """These of them; by number, in memory of their own."""
        return type(self)(
            {name: each[rows] for name, each in self.values.items()},
            {name: each[rows] for name, each in self.norms.items()},
        )

    def copy(self) -> Self:
        """In memory of its own."""
        return type(self)(
            {name: each.copy() for name, each in self.values.items()},
            {name: each.copy() for name, each in self.norms.items()},
        )

    def steps(self, most: int | None, motion: str | None) -> Self:
        """What a model reads of them: what it would read of a video of these frames alone (steps.py), at most `most`
        steps, in memory of their own.

        So the first frame is left out, whose motion runs from a frame before them. Of a single frame the image is read,
        and no motion. motion: the feature that is the motion, where one is.
        """
        found = self.at(FrameSampling.alone(len(self), most))
        if len(self) == 1 and motion is not None:
            found.norms[motion][:] = 0
        return found


@dataclass(frozen=True)
class FrameRows:
    """n consecutive stored frames and when they are. time_s: fp64 (n,)."""

    time_s: NDArray[np.float64]
    vectors: FrameVectors

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after another; of a single part, that one."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.time_s for part in parts]), FrameVectors.joined([part.vectors for part in parts])
        )

    def __len__(self) -> int:
        return len(self.time_s)

    def at(self, rows: slice) -> Self:
        """These of them."""
        return type(self)(self.time_s[rows], self.vectors.at(rows))

    def copy(self) -> Self:
        """In memory of its own."""
        return type(self)(self.time_s.copy(), self.vectors.copy())


def columns_of(features: Iterable[str]) -> list[str]:
    """What `FrameVectors.stored` needs."""
    return [column for name in features for column in (name, f"{name}_norm")]
