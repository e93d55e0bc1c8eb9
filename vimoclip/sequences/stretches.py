"""Stretches: what of a video is one example of a training: the whole of it, or a part with labels of its own.

A video that is longer than a window is cut into the fewest stretches that are short enough, as evenly as can be, by the
times of its stored frames; each frame is in one. A stretch of a long gap, without a frame, is none. So a label of a
span counts where it is seen, and a stretch without any label is an example of nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.videos import Video
from vimoclip.errors import StoreDamagedError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.labels import label_spans
from vimoclip.windows import CLOCK_S

Ints = NDArray[np.int64]
Seconds = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stretches:
    """S stretches of V videos, video after video and in order.

    video: its number; first, frames: the frame_index of its first frame and how many it has; each int64 (S,). start_s,
    end_s: fp64 (S,), half-open; of a video that is not cut, from -inf to +inf, so that it has all its labels.
    """

    video: Ints
    first: Ints
    frames: Ints
    start_s: Seconds
    end_s: Seconds

    @classmethod
    def whole(cls, rows: Sequence[Video]) -> "Stretches":
        """Each video as it is."""
        count = len(rows)
        always = np.full(count, np.inf)
        return cls(np.arange(count), np.zeros(count, np.int64), _frames(rows), -always, always)

    @property
    def bounds(self) -> Ints:
        """int64 (V + 1,): video v is stretches bounds[v] to bounds[v + 1]."""
        return np.searchsorted(self.video, np.arange(int(self.video[-1]) + 2))


def read_stretches(store: FeatureStore, rows: Sequence[Video], window_s: float | None) -> Stretches:
    """The stretches of videos of a snapshot, one or more. window_s: the longest a stretch may be; None cuts nothing.

    Raises:
        StoreDamagedError: a video's length is not known, or frames of one are missing.
    """
    whole = Stretches.whole(rows)
    if window_s is None:
        return whole
    durations = np.array([np.nan if row.duration_s is None else row.duration_s for row in rows], np.float64)
    if not np.isfinite(durations).all():
        raise StoreDamagedError(
            f"The row of {rows[int(np.isfinite(durations).argmin())].video_id} does not say how long it is.",
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    parts = parts_of(durations, window_s)
    long = np.flatnonzero(parts > 1)
    if not len(long):
        return whole
    video, part, frames = _counted(store, rows, durations, parts, long)
    of = np.concatenate([np.setdiff1d(whole.video, long), video])
    order = np.argsort(of, kind="stable")
    rest = len(of) - len(video)
    first = np.cumsum(frames) - frames
    begins = np.searchsorted(video, video)  # the stretch with which its video begins
    length_s = durations[video] / parts[video]
    own = (first - first[begins], frames, part * length_s, (part + 1) * length_s)
    uncut = (each[of[:rest]] for each in (whole.first, whole.frames, whole.start_s, whole.end_s))
    return Stretches(of[order], *(np.concatenate(each)[order] for each in zip(uncut, own, strict=True)))


def parts_of(duration_s: Seconds, window_s: float) -> Ints:
    """Into how many parts videos of these lengths are cut, int64 (V,): the fewest that are no longer than a window."""
    return np.maximum(np.ceil((duration_s - CLOCK_S) / window_s), 1).astype(np.int64)


def part_at(time_s: Seconds, duration_s: Seconds, parts: Ints) -> Ints:
    """In which part of its video a frame is, int64 (n,): by the parts' starts, less CLOCK_S; the last has the rest."""
    return np.clip(np.floor((time_s + CLOCK_S) * parts / duration_s), 0, parts - 1).astype(np.int64)


def held_labels(
    store: FeatureStore, rows: Sequence[Video], stretches: Stretches, classes: Sequence[str]
) -> NDArray[np.uint8]:
    """Which classes each stretch shows, 0 or 1, (S, C), by the rule of vimoclip/store/labels.py."""
    number = {label: n for n, label in enumerate(classes)}
    found = np.zeros((len(stretches.video), len(classes)), np.uint8)
    spans, bounds = label_spans(store), stretches.bounds.tolist()
    for row, first, last in zip(rows, bounds, bounds[1:], strict=False):
        start_s, end_s = stretches.start_s[first:last], stretches.end_s[first:last]
        for span in spans.get(row.video_id, ()):
            if span.label in number:
                found[first:last, number[span.label]] |= span.held_by(start_s, end_s)
    return found


def _counted(
    store: FeatureStore, rows: Sequence[Video], durations: Seconds, parts: Ints, long: Ints
) -> tuple[Ints, Ints, Ints]:
    """By one scan over the times of frames: of each part of the `long` videos that has frames its video, its number in
    it and how many, in order."""
    takes = np.array([rows[video].take for video in long], np.int64)
    order = np.argsort(takes)
    known, videos = takes[order], long[order]
    before = np.cumsum(parts) - parts  # parts are counted over all videos, so that one number says which it is
    numbers, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in store.tables["frames"].batches(["take", "time_s"], rows=1 << 16):
        take = batch["take"].to_numpy()
        at = np.minimum(np.searchsorted(known, take), len(known) - 1)
        own = known[at] == take
        video, time_s = videos[at[own]], batch["time_s"].to_numpy()[own]
        number, count = np.unique(before[video] + part_at(time_s, durations[video], parts[video]), return_counts=True)
        numbers.append(number)
        counts.append(count)
    found, where = np.unique(np.concatenate(numbers), return_inverse=True)
    frames = np.zeros(len(found), np.int64)
    np.add.at(frames, where, np.concatenate(counts))
    video = np.searchsorted(before, found, side="right") - 1
    there = np.bincount(video, frames, len(rows)).astype(np.int64)
    if lost := [n for n in long.tolist() if there[n] != rows[n].frames]:
        raise StoreDamagedError(
            f"The table frames of {store.place} lacks frames.",
            received=f"{there[lost[0]]} of {rows[lost[0]].video_id}",
            expected=rows[lost[0]].frames,
            hint="Run `vimoclip verify` to see what is damaged.",
        )
    return video, found - before[video], frames


def _frames(rows: Sequence[Video]) -> Ints:
    return np.array([row.frames for row in rows], np.int64)
