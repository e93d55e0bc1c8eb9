"""Single frames to search through, straight from the table `frames`: nothing has to be made for it.

A frame is shown from its own time to that of the next one, so that frames which follow each other make one bout. There
is no index of their vectors: each is compared, in pieces where they are more than memory is to hold.
"""

import numpy as np
import pyarrow as pa

from schemas.segments import SegmentSettings, Space
from schemas.videos import Video
from vimoclip.errors import SearchError
from vimoclip.search.corpus import Corpus
from vimoclip.search.options import Unit
from vimoclip.search.segments import OF, made_from, settings_of


class FrameCorpus(Corpus):
    """As a corpus of segments is, but a row is a stored frame. Spaces are features: those that the segments are made
    from, else the store's own."""

    unit: Unit = "frames"

    def _open(self) -> tuple[pa.Table, list[Video]]:
        before = settings_of(self._store)
        asked: dict[Space, str] = {
            space: before.spaces[space].feature
            for space in OF
            if before is not None and space in before.spaces and before.spaces[space].feature in self._store.features
        }
        spaces = made_from(self._store, asked)
        if not spaces:
            raise SearchError(
                f"The frames of {self._store.place} have nothing to be compared by.",
                received=", ".join(self._store.features) or "no features",
                expected="clip or moclip",
            )
        self.settings = SegmentSettings(0.0, 0.0, spaces)
        self._table = self._store.tables["frames"]
        found = self._table.addresses(["take", "frame_index", "time_s"])
        take, index, time_s = (found[name].to_numpy() for name in ("take", "frame_index", "time_s"))
        lasts = dict(zip(self.takes.tolist(), self.durations, strict=True))
        order = np.lexsort((index, take))
        ends = np.append(time_s[order][1:], 0.0)
        for at in np.flatnonzero(np.append(np.diff(take[order]) != 0, len(order) > 0)):  # the last frame of a take
            last_s = float(time_s[order[at]])
            ends[at] = max(last_s, lasts.get(int(take[order[at]])) or last_s)
        end_s = np.empty_like(time_s)
        end_s[order] = ends[: len(order)]
        columns = [found["take"], found["time_s"], pa.chunked_array([end_s]), found["_rowid"]]
        return pa.table(columns, names=["take", "start_s", "end_s", "_rowid"]), []

    def column(self, space: str) -> str:
        """The feature's."""
        return self.settings.spaces[space].feature
