"""ViMoCLIP: a batch feature store with an embedding database for animal-behaviour video.

>>> import vimoclip
>>> store = vimoclip.open_store("vimoclip-store")          # doctest: +SKIP
>>> store.videos()                                         # doctest: +SKIP

The public names are those of `__all__`. The import is instant: what needs Lance, torch or a decoder is loaded when it
is first used.

    api             `Store`: a snapshot to read, to search in and to predict on
    errors          every error that is raised on purpose
    config          settings: of a store, of a fusion, of a motion student
    annotations     the label files that can be read, one module per format
    video           finding, decoding, resizing and writing videos
    flow            optical flow, and its encoding as images
    models          the networks, and the checkpoints they are kept in
    embedding       from decoded frames to vectors
    store           the Lance tables: reading, writing, verifying
    sequences       the frames of videos as training reads them
    search          by a span, clip, image, text or label
    training        losses, metrics, splits and the training loops
    prediction      a trained run on videos of a store or on files
    savannah        rendered clips whose behaviours are known exactly

Shared by these: `frames` (batches of embedded frames, and the events of a stream), `windows`, `bouts`, `device`,
`prefetch`, `progress`, `atomic` (files written whole) and `import_guard`.
"""

import os
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

# Threads of torch that wait for each other would spin, which takes cores from the decoder and from whatever else runs.
# So they wait passively; those of libgomp, torch's on Linux, after some microseconds, without which an epoch on an idle
# machine takes a seventh longer (benchmarks/speed/beside.py). The variables are read once, when torch is loaded, and
# inherited by the processes that are started. A user's own setting of either stands.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}

check_not_shadowed("schemas")  # the only one of the other three packages that the library imports

__version__ = "0.1.0"

_LAZY = {
    "Filters": ("vimoclip.search.filters", "Filters"),
    "Hits": ("vimoclip.search.results", "Hits"),
    "Predictions": ("vimoclip.prediction.predictions", "Predictions"),
    "Store": ("vimoclip.api", "Store"),
    "decode_flow": ("vimoclip.flow.encoding", "decode_flow"),
}
__all__ = ["Filters", "Hits", "Predictions", "Store", "decode_flow", "errors", "open_store", "vectors"]


def __getattr__(name: str) -> Any:
    """Import a public name of a submodule when it is first used."""
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
        The snapshot. It does not change while it is read; `refresh()` gives a new one.

    Raises:
        StoreMissingError: there is no store at `path`.
        StoreNewerError: a newer version of ViMoCLIP wrote it.
        StoreDamagedError: a table cannot be read.
        StoreUnreachableError: the object store does not answer, or refuses.
    """
    from vimoclip.api import Store

    return Store.open(path)


def vectors(column: "pa.ChunkedArray | pa.FixedSizeListArray") -> "NDArray[np.floating]":
    """Read a column of vectors, such as `clip` of a sequence, as a numpy array.

    Args:
        column: n fixed-size lists of D floating-point numbers.

    Returns:
        (n, D), fp16 for a store's features. A column in one chunk and without nulls gives a read-only view of its
        memory; any other gives a copy, in which a null vector is NaN.

    Raises:
        ValueError: the column does not hold such lists.
    """
    from vimoclip import frames

    return frames.vectors(column)
