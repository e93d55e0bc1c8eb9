"""OrderedFrames: the frames of many videos, video after video and in order, in bounded memory.

Rows of `frames` lie as they were written: videos in the order of their ingest, and on several workers in turns. A
filter by take reads that column of the whole table: for one video after the other, that grows with the square of the
store. So one scan notes where stretches of consecutive frames lie, and each is then read from there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from vimoclip.errors import StoreDamagedError
from vimoclip.store.feature_store import FeatureStore

ROWS = 8192
"""Rows read at once: with two features of 512 values, 17 MB."""


@dataclass(frozen=True, order=True)
class _Stretch:
    """Consecutive frames that lie together: frame_index of the first, its row, how many."""

    frame_index: int
    row: int
    count: int


class FrameReader:
    """The frames of `videos`, rows of `store.videos()`.

    Raises:
        StoreDamagedError: a video's frames are not 0 … n-1, each once.
    """

    def __init__(self, store: FeatureStore, videos: pl.DataFrame) -> None:
        self._table = store.tables["frames"]
        stretches: dict[int, list[_Stretch]] = {take: [] for take in videos["take"]}
        row = 0
        for batch in self._table.batches(["take", "frame_index"], rows=1 << 16):
            take, index = (batch[name].to_numpy() for name in ("take", "frame_index"))
            cuts = np.flatnonzero((np.diff(take) != 0) | (np.diff(index) != 1)) + 1
            first = np.concatenate([[0], cuts])[: len(take)]
            last = np.concatenate([cuts, [len(take)]])[: len(first)]
            for start, stop in zip(first.tolist(), last.tolist(), strict=True):
                if (lie := stretches.get(int(take[start]))) is not None:
                    lie.append(_Stretch(int(index[start]), row + start, stop - start))
            row += len(take)
        self._stretches: dict[str, list[_Stretch]] = {}
        for video_id, take, frames in videos.select("video_id", "take", "frames").iter_rows():
            self._stretches[video_id] = _whole(video_id, sorted(stretches[take]), frames)

    def chunks(self, video_ids: Iterable[str], columns: list[str], rows: int = ROWS) -> Iterator[pa.Table]:
        """These columns of the frames of one video after the other, in tables of up to 2 · `rows` rows."""
        parts: list[pa.Table] = []
        for first, count in self._pieces(video_ids, rows):
            parts.append(self._table.slice(first, count, columns))
            if sum(part.num_rows for part in parts) >= rows:
                yield pa.concat_tables(parts)
                parts = []
        if parts:
            yield pa.concat_tables(parts)

    def _pieces(self, video_ids: Iterable[str], rows: int) -> Iterator[tuple[int, int]]:
        """First row and count of what is read at once: stretches that lie one after the other are read as one."""
        first, count = 0, 0
        for stretch in (stretch for video_id in video_ids for stretch in self._stretches[video_id]):
            if stretch.row != first + count:
                yield from _cut(first, count, rows)
                first, count = stretch.row, 0
            count += stretch.count
        yield from _cut(first, count, rows)


def _cut(first: int, count: int, rows: int) -> Iterator[tuple[int, int]]:
    for start in range(first, first + count, rows):
        yield start, min(rows, first + count - start)


def _whole(video_id: str, stretches: list[_Stretch], frames: int) -> list[_Stretch]:
    count = 0
    for stretch in stretches:
        if stretch.frame_index != count:
            break
        count += stretch.count
    if count != frames or count != sum(stretch.count for stretch in stretches):
        raise StoreDamagedError(
            f"The frames of {video_id} are not whole.",
            received=f"{sum(stretch.count for stretch in stretches)} rows, in order up to frame {count}",
            expected=f"{frames} frames",
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    return stretches
