"""ViMoCLIP: a batch feature store with an embedding database for animal-behaviour video.

>>> import vimoclip
>>> store = vimoclip.open_store("vimoclip-store")          # doctest: +SKIP
>>> store.videos()                                         # doctest: +SKIP

Importing it is instant: whatever loads Lance, torch or a decoder is loaded when it is first asked for.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vimoclip.import_guard import check_not_shadowed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from vimoclip.api import Store as Store
    from vimoclip.flow.encoding import decode_flow
    from vimoclip.prediction.predictions import Predictions as Predictions
    from vimoclip.search.filters import Filters as Filters
    from vimoclip.search.results import Hits as Hits

check_not_shadowed("schemas")  # all that the library itself imports of ours

__version__ = "0.1.0"

_LAZY = {
    "Filters": ("vimoclip.search.filters", "Filters"),
    "Hits": ("vimoclip.search.results", "Hits"),
    "Predictions": ("vimoclip.prediction.predictions", "Predictions"),
    "Store": ("vimoclip.api", "Store"),
    "decode_flow": ("vimoclip.flow.encoding", "decode"),
}
__all__ = ["Filters", "Hits", "Predictions", "Store", "decode_flow", "errors", "open_store", "vectors"]


def __getattr__(name: str) -> Any:
    """The public names of submodules, imported when they are first asked for."""
    import importlib

    if name == "errors":
        return importlib.import_module("vimoclip.errors")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(module), attribute)


def open_store(path: str | Path = "vimoclip-store") -> "Store":
    """Open a snapshot of a store, to read, to search in and to predict on.

    Args:
        path: the store's folder, or the URI of one in an object store.

    Returns:
        The snapshot, which does not change under its reader; `refresh()` gives a new one.

    Raises:
        StoreMissingError, StoreNewerError, StoreDamagedError, StoreUnreachableError.
    """
    from vimoclip.api import Store

    return Store.open(path)


def vectors(column: "pa.ChunkedArray | pa.FixedSizeListArray") -> "NDArray[np.floating]":
    """Read a column of vectors, such as `clip` of a sequence, as a numpy array.

    Args:
        column: n fixed-size lists of D floating-point numbers.

    Returns:
        (n, D), fp16 for a store's features. Without a null and in one chunk it is a read-only view of the column's
        memory; otherwise a copy, in which a vector that is null is NaN.

    Raises:
        ValueError: a column of something else.
    """
    from vimoclip import frames

    return frames.vectors(column)
