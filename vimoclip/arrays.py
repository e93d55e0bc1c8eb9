"""Arrow's columns of vectors as numpy arrays, in the memory they are in."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
