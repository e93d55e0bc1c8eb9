"""ViMoCLIP: a batch feature store with an embedding database for animal-behaviour video.

>>> import vimoclip
>>> store = vimoclip.open_store("vimoclip-store")          # doctest: +SKIP
>>> store.videos()                                         # doctest: +SKIP
"""

from pathlib import Path
from typing import TYPE_CHECKING

from vimoclip.own import check_found

if TYPE_CHECKING:
    from vimoclip.store import FeatureStore

check_found("schemas")  # all that the library itself imports of ours

__version__ = "0.1.0"


def open_store(path: str | Path = "vimoclip-store") -> "FeatureStore":
    """A snapshot of the store at `path`, to read from.

    Raises:
        StoreMissingError, StoreNewerError, StoreDamagedError, StoreUnreachableError.
    """
    from vimoclip.store import FeatureStore  # importing vimoclip stays instant

    return FeatureStore.open(path)
