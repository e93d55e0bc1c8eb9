"""FrameReader: the frames of many videos, one video after the other and in order, in bounded memory.

The rows of `frames` lie as they were written: videos in the order of their ingest, and interleaved where several
workers wrote. A filter by take reads that column of the whole table, so filtering once a video would cost the square of
the store's size. Instead one scan notes where runs of consecutive frames lie, and each is then read from there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from schemas.videos import Video
from vimoclip.errors import StoreDamagedError
from vimoclip.frames import FrameBatch, VideoDone, VideoInfo, frame_columns, runs
from vimoclip.store.feature_store import FeatureStore

ROWS = 8192
"""Rows read at once: 17 MB with two features of 512 values."""


@dataclass(frozen=True, order=True)
class _Stretch:
    """Consecutive frames that lie together: frame_index of the first, its row, and how many."""

    frame_index: int
    row: int
    count: int


class FrameReader:
    """Reads the frames of some videos of a snapshot.

    Args:
        store: the snapshot.
        videos: rows of the live videos that can be read.

    Raises:
        StoreDamagedError: a video's frames are not 0 … n-1, each once.
    """

    def __init__(self, store: FeatureStore, videos: Iterable[Video]) -> None:
        self._table = store.tables["frames"]
        self._videos = {row.video_id: row for row in videos}
        stretches: dict[int | None, list[_Stretch]] = {row.take: [] for row in self._videos.values()}
        row = 0
        for batch in self._table.batches(["take", "frame_index"], rows=1 << 16):
            take, index = (batch[name].to_numpy() for name in ("take", "frame_index"))
            for run in runs([take], [index]):
                if (found := stretches.get(int(take[run.start]))) is not None:
                    found.append(_Stretch(int(index[run.start]), row + run.start, run.stop - run.start))
            row += len(take)
        self._stretches = {
            video_id: _whole(video, sorted(stretches[video.take])) for video_id, video in self._videos.items()
        }

    def on_disk(self) -> list[Video]:
        """List the videos in the order of their first rows; reading them in this order scans the table once."""
        return sorted(self._videos.values(), key=lambda row: self._stretches[row.video_id][0].row)

    def iter_videos(
        self, videos: Iterable[Video], features: Iterable[str], rows: int = ROWS
    ) -> Iterator[FrameBatch | VideoDone]:
        """Read the frames of one video after the other.

        Args:
            videos: in the order in which to read them.
            features: the features whose vectors are read.
            rows: how many rows are read at once; up to twice as many are in memory.

        Yields:
            The frames of a video in order, then a VideoDone for it.

        Raises:
            StoreDamagedError: a row does not say how long its video is.
        """
        names = list(features)
        by_take = {row.take: row for row in videos}
        for row in by_take.values():
            if row.duration_s is None or row.fps is None:
                raise StoreDamagedError(
                    f"The row of {row.video_id} does not say how long it is.",
                    hint="Run `vimoclip verify` to see what is damaged.",
                )
        columns = ["take", *frame_columns(names)]
        count = 0
        for table in self.chunks((row.video_id for row in by_take.values()), columns, rows):
            table = table.combine_chunks()
            takes = table["take"].to_numpy()
            for run in runs([takes]):
                video = by_take[int(takes[run.start])]
                part = table.slice(run.start, run.stop - run.start)
                yield FrameBatch.from_arrow(video.video_id, part, names)
                count += part.num_rows
                if count == video.frames:
                    yield VideoDone(video.video_id, VideoInfo.of_row(video))
                    count = 0

    def chunks(self, video_ids: Iterable[str], columns: list[str], rows: int = ROWS) -> Iterator[pa.Table]:
        """Read columns of the frames of one video after the other.

        Args:
            video_ids: in the order in which to read them.
            columns: of `frames`.
            rows: how many rows are read at once.

        Yields:
            Tables of up to 2 · `rows` rows, which may hold several videos.
        """
        parts: list[pa.Table] = []
        for first, count in self._pieces(video_ids, rows):
            parts.append(self._table.slice(first, count, columns))
            if sum(part.num_rows for part in parts) >= rows:
                yield pa.concat_tables(parts)
                parts = []
        if parts:
            yield pa.concat_tables(parts)

    def _pieces(self, video_ids: Iterable[str], rows: int) -> Iterator[tuple[int, int]]:
        """First row and count of each read: runs that follow one another on the disk are read as one."""
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


def _whole(video: Video, stretches: list[_Stretch]) -> list[_Stretch]:
    count = 0
    for stretch in stretches:
        if stretch.frame_index != count:
            break
        count += stretch.count
    if not count or count != video.frames or count != sum(stretch.count for stretch in stretches):
        raise StoreDamagedError(
            f"The frames of {video.video_id} are not whole.",
            received=f"{sum(stretch.count for stretch in stretches)} rows, in order up to frame {count}",
            expected=f"{video.frames} frames",
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    return stretches
