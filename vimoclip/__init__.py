"""ViMoCLIP: a batch feature store with an embedding database for animal-behaviour video.

>>> import vimoclip
>>> store = vimoclip.open_store("vimoclip-store")          # doctest: +SKIP
>>> store.videos()                                         # doctest: +SKIP
"""

from pathlib import Path
from typing import TYPE_CHECKING

from vimoclip.import_guard import check_not_shadowed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from vimoclip.store.feature_store import FeatureStore

check_not_shadowed("schemas")  # all that the library itself imports of ours

__version__ = "0.1.0"


def open_store(path: str | Path = "vimoclip-store") -> "FeatureStore":
    """A snapshot of the store at `path`, a folder or the URI of one in an object store, to read from.

    Raises:
        StoreMissingError, StoreNewerError, StoreDamagedError, StoreUnreachableError.
    """
    from vimoclip.store.feature_store import FeatureStore  # importing vimoclip stays instant

    return FeatureStore.open(path)


def vectors(column: "pa.ChunkedArray | pa.FixedSizeListArray") -> "NDArray[np.floating]":
    """n vectors of length D, such as the column `clip` of a sequence, as a numpy array (n, D), fp16.

    Without a null and in one chunk it is a read-only view; otherwise a copy, in which a vector that is null is NaN.

    Raises:
        ValueError: a column of something else.
    """
    from vimoclip import frames

    return frames.vectors(column)
