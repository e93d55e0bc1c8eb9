"""Predictions: labels with probabilities, of whole videos and of their windows, and bouts of labels.

Windows overlap, and a window has a label once half of it does. So a window **speaks for** the moments in it that are
nearer to its middle than to that of any other window: its middle ± half a stride. The first window also speaks from the
beginning of the video, and the last one to its end. Were a bout all of its windows, it would begin up to half a window
early and end as late, always in that direction.

A **bout** of a label is a part of a video that windows of at least the threshold speak for without a gap; its score is
that of its best window. A video that was not cut into windows is a single window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.labels import Span
from vimoclip.bouts import Bout, Bouts
from vimoclip.frames import VideoFailed
from vimoclip.progress import count


@dataclass(frozen=True)
class ScoredSpan(Span):
    """A predicted bout: a span whose times are to the microsecond.

    Attributes:
        score: the probability of its label in its best window.
    """

    score: float = field(kw_only=True)


@dataclass(frozen=True)
class Prediction:
    """What is seen in one video.

    Attributes:
        video: its id in the store, else the file's path as it was named.
        path: absolute.
        stored: whether its features came from the store.
        frames: how many are stored, or would be.
        duration_s: its length in seconds.
        fps: mean decoded frames a second.
        classes: C names.
        starts_s: where the n windows start, in seconds, fp64 (n,).
        ends_s: where they end, fp64 (n,).
        window_probabilities: of each class in each window, fp32 (n, C).
        bouts: in the order of their starts.
        clock_offset_s: what the clock of a player shows at the first frame, from which all times here count
            (`schemas.videos.Video.clock_offset_s`).
    """

    video: str
    path: str
    stored: bool
    frames: int
    duration_s: float
    fps: float
    classes: tuple[str, ...]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    window_probabilities: NDArray[np.float32]
    bouts: tuple[ScoredSpan, ...]
    clock_offset_s: float = 0.0

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """The probability of each class in its best window, fp32 (C,)."""
        best: NDArray[np.float32] = self.window_probabilities.max(axis=0)
        return best

    def labels(self, top: int = 0) -> list[tuple[str, float]]:
        """Return the most probable labels with their probabilities, the best first.

        Args:
            top: how many; 0 is all.
        """
        found = self.probabilities
        order = np.argsort(-found, kind="stable")[: top or None]
        return [(self.classes[n], float(found[n])) for n in order]


def spoken_for(
    starts_s: NDArray[np.float64], ends_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the part of its video that each window speaks for (see the module's docstring).

    No moment is spoken for by two windows, and every moment of a window by one. Windows that do not overlap speak for
    all of themselves; where strides are longer than windows, nothing speaks for what lies between.

    Args:
        starts_s: of the windows of one video, in order, in seconds, fp64 (n,), n > 0.
        ends_s: of the windows, fp64 (n,).

    Returns:
        Where the parts start and end, in seconds, fp64 (n,) each.
    """
    middles = (starts_s + ends_s) / 2
    between = (middles[:-1] + middles[1:]) / 2
    from_s = np.append(starts_s[:1], np.maximum(starts_s[1:], between))
    return from_s, np.append(np.minimum(ends_s[:-1], between), ends_s[-1:])


def predicted_bouts(
    classes: Sequence[str],
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    probabilities: NDArray[np.float32],
    threshold: float,
) -> tuple[ScoredSpan, ...]:
    """Find the bouts of windows (see the module's docstring), by start, then by label.

    Args:
        classes: C names.
        starts_s: of the n windows of one video, in order, in seconds, fp64 (n,), n > 0.
        ends_s: of the windows, fp64 (n,).
        probabilities: fp32 (n, C).
        threshold: the least probability of a window of a bout.
    """
    from_s, to_s = spoken_for(starts_s, ends_s)
    windows, labels = np.nonzero(probabilities >= threshold)
    scores = probabilities[windows, labels]
    merging = Bouts()
    for at in np.argsort(-scores, kind="stable").tolist():
        window = int(windows[at])
        span = float(from_s[window]), float(to_s[window])
        merging.add(Bout(int(labels[at]), *span, float(scores[at]), window))
    found = [
        ScoredSpan(classes[bout.key], round(bout.start_s, 6), round(bout.end_s, 6), score=bout.score)
        for bout in merging.list()
    ]
    return tuple(sorted(found, key=lambda bout: (bout.start_s, bout.label)))


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """Predictions, in the order in which the videos were named.

    Attributes:
        run: the run's folder.
        window_s: None where whole videos were scored.
        stride_s: None where whole videos were scored.
        threshold: of bouts.
        found: the predictions.
        failed: videos that could not be scored.
        left: how many videos were not scored because of an interruption.
    """

    run: str
    window_s: float | None
    stride_s: float | None
    threshold: float
    found: tuple[Prediction, ...]
    failed: tuple[VideoFailed, ...] = ()
    left: int = 0

    def __len__(self) -> int:
        return len(self.found)

    @overload
    def __getitem__(self, at: int) -> Prediction: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Prediction]: ...
    def __getitem__(self, at: int | slice) -> Prediction | Sequence[Prediction]:
        return self.found[at]

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.found)

    def to_dict(self, top: int = 0) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, for JSON.

        Args:
            top: how many labels of each video; 0 is all.
        """
        return {
            "run": self.run,
            "window_s": self.window_s,
            "stride_s": self.stride_s,
            "threshold": self.threshold,
            "videos": [
                {
                    "video": each.video,
                    "path": each.path,
                    "stored": each.stored,
                    "frames": each.frames,
                    "duration_s": each.duration_s,
                    "labels": [{"label": label, "score": score} for label, score in each.labels(top)],
                    "bouts": [_bout_to_dict(bout) for bout in each.bouts],
                }
                for each in self
            ],
            "left": self.left,
            "failed": [{"video": each.video_id, "kind": each.kind, "message": each.message} for each in self.failed],
        }

    def frame(self, top: int = 0) -> pl.DataFrame:
        """Return one row for each video and label, the best first: video, label, score.

        Args:
            top: how many labels of each video; 0 is all.
        """
        rows = [(each.video, label, score) for each in self for label, score in each.labels(top)]
        return pl.DataFrame(rows, {"video": pl.String, "label": pl.String, "score": pl.Float64}, orient="row")

    def bouts(self) -> pl.DataFrame:
        """Return one row for each bout: video, start_s, end_s, label, score."""
        rows = [(each.video, bout.start_s, bout.end_s, bout.label, bout.score) for each in self for bout in each.bouts]
        kinds = {"video": pl.String, "start_s": pl.Float64, "end_s": pl.Float64, "label": pl.String}
        return pl.DataFrame(rows, kinds | {"score": pl.Float64}, orient="row")

    def best_window(self) -> tuple[Prediction, str, float, float, float] | None:
        """Find the window with the highest probability of any label.

        Returns:
            The video, the label, its probability, and where the window starts and ends in seconds; None without videos.
        """
        best: tuple[Prediction, str, float, float, float] | None = None
        for each in self:
            window, label = np.unravel_index(each.window_probabilities.argmax(), each.window_probabilities.shape)
            score = float(each.window_probabilities[window, label])
            if best is None or score > best[2]:
                best = each, each.classes[label], score, float(each.starts_s[window]), float(each.ends_s[window])
        return best

    def windows(self) -> pl.DataFrame:
        """Return one row for each window: video, start_s, end_s, and a column `p(<label>)` for each label."""
        parts = [
            pl.DataFrame(
                {"video": [each.video] * len(each.starts_s), "start_s": each.starts_s, "end_s": each.ends_s}
                | {f"p({label})": each.window_probabilities[:, n] for n, label in enumerate(each.classes)}
            )
            for each in self
        ]
        return pl.concat(parts) if parts else pl.DataFrame()

    def __repr__(self) -> str:
        said = f"{count(len(self), 'video')} predicted by {self.run}, {len(self.failed)} failed."
        return "\n".join([said, str(self.bouts() if self.window_s is not None else self.frame(5))])


def _bout_to_dict(bout: ScoredSpan) -> dict[str, Any]:
    return {"label": bout.label, "start_s": bout.start_s, "end_s": bout.end_s, "score": bout.score}
