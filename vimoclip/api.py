"""`vimoclip.Store`, what a user holds: a snapshot of a store to read, to search in and to predict on.

Nothing inside the package imports this module: it stands above search and prediction, which stand above the store.
"""

import functools
from typing import TYPE_CHECKING

from vimoclip.store.feature_store import FeatureStore

if TYPE_CHECKING:  # prediction loads torch, and search a decoder
    from vimoclip.prediction.predictor import Predict
    from vimoclip.search.search import Search


class Store(FeatureStore):
    """A snapshot of the store at a folder or a URI. `FeatureStore` says what can be read from it.

    >>> store = Store.open("vimoclip-store")                              # doctest: +SKIP
    >>> store.search(video="site/a.MP4", start_s=1.5, end_s=3)            # doctest: +SKIP
    >>> store.predict(["new", "site/*"], run="runs/cross", window_s=2)    # doctest: +SKIP
    """

    @functools.cached_property
    def search(self) -> "Search":
        """Find the bouts that are most like a span, clip, image, text or label: see `Search.__call__`."""
        from vimoclip.search.search import Search

        return Search(self)

    @functools.cached_property
    def predict(self) -> "Predict":
        """Predict what a trained run sees in videos, stored ones or files: see `Predict.__call__`."""
        from vimoclip.prediction.predictor import Predict

        return Predict(self)
