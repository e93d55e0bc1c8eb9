"""FreshSegments: segments that their table lacks, made from the frames of their videos while somebody searches."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from schemas.segments import SegmentSettings
from schemas.videos import Video
from vimoclip.frames import Pool
from vimoclip.search.segments import segments_of
from vimoclip.store.feature_store import FeatureStore


class FreshSegments:
    """The segments of these videos, of which there is at least one. pool: gives the model of the behaviour space, which
    is loaded only where somebody asks for that space.

    Attributes: `table`, as `segments_of` makes them.

    Raises:
        StoreDamagedError: a video's frames are not whole.
    """

    def __init__(
        self, store: FeatureStore, settings: SegmentSettings, videos: Sequence[Video], pool: Callable[[], Pool]
    ) -> None:
        self._store, self._settings, self._videos, self._pool = store, settings, videos, pool
        self.table = self._made(replace(settings, behaviour=None))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, space: str) -> pa.ChunkedArray:
        """The vectors of a space, null where a segment has none."""
        if space == "behaviour" and space not in self.table.schema.names:
            made = self._made(replace(self._settings, spaces={}), self._pool())
            self.table = self.table.append_column(made.schema.field(space), made[space])
        return self.table[space]

    def _made(self, settings: SegmentSettings, pool: Pool | None = None) -> pa.Table:
        return pa.concat_tables(segments_of(self._store, settings, self._videos, pool))
