"""WindowScores: windows of several videos share a batch, and a video comes out when its last window is scored.

What is scored together changes nothing beyond 1e-5. What waits is bounded: MOST_STEPS and a window.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vimoclip.embedding.events import Failed
from vimoclip.frames import FrameVectors
from vimoclip.prediction.inputs import Target
from vimoclip.prediction.predictions import Prediction, predicted_bouts
from vimoclip.prediction.row_streams import Ended
from vimoclip.prediction.window_model import WindowModel
from vimoclip.training.fusion import SCORED_TOGETHER
from vimoclip.windows import WindowOfRows

MOST_STEPS = 4096
"""Steps of windows that wait to be scored together: with two features of 512, 8 MB."""

Scored = tuple[Target, Prediction | Failed]


@dataclass(eq=False)
class ScoredVideo:
    """One video on its way. spans, found: of its windows that are scored, start_s and end_s, and probabilities (C,).
    waiting: how many are not. frames, ended: once it has ended, how many frames it had, and its length."""

    target: Target
    spans: list[tuple[float, float]] = field(default_factory=list)
    found: list[NDArray[np.float32]] = field(default_factory=list)
    waiting: int = 0
    frames: int = 0
    ended: Ended | None = None


class WindowScores:
    """Scores windows. Those of a video that failed or began again are scored for nothing.

    threshold: the probability from which on a window belongs to a bout.
    """

    def __init__(self, model: WindowModel, threshold: float) -> None:
        self._model, self._threshold = model, threshold
        self._waiting: list[tuple[ScoredVideo, tuple[float, float], FrameVectors]] = []
        self._complete: list[ScoredVideo] = []
        self._steps = 0

    def add(self, video: ScoredVideo, window: WindowOfRows) -> Iterator[Scored]:
        """A window of a video that has not ended; videos that are complete with it come out."""
        steps = self._model.steps(window.rows.vectors)
        self._waiting.append((video, (window.start_s, window.end_s), steps))
        video.waiting += 1
        self._steps += len(steps)
        if self._steps >= MOST_STEPS or len(self._waiting) >= 8 * SCORED_TOGETHER:
            yield from self.rest()

    def end(self, video: ScoredVideo, frames: int, ended: Ended) -> Iterator[Scored]:
        """The video has no more windows; it comes out at once where none of its windows waits."""
        video.frames, video.ended = frames, ended
        self._complete.append(video)
        if not video.waiting:
            yield from self.rest()

    def rest(self) -> Iterator[Scored]:
        """Score what waits; the videos that have ended come out."""
        waiting, self._waiting, self._steps = self._waiting, [], 0
        if waiting:
            found = self._model.probabilities([steps for _, _, steps in waiting])
            for (video, span, _), probabilities in zip(waiting, found, strict=True):
                video.spans.append(span)
                video.found.append(probabilities.copy())
                video.waiting -= 1
        complete, self._complete = self._complete, []
        for video in complete:
            yield video.target, self._prediction(video)

    def _prediction(self, video: ScoredVideo) -> Prediction | Failed:
        assert video.ended is not None
        target, classes = video.target, self._model.classes
        if not video.found:
            why = f"No window holds one of its {video.frames} frames: take longer ones, or a smaller stride."
            return Failed(target.video, "no-window", why)
        starts, ends = np.array(video.spans, np.float64).T
        found = np.stack(video.found)
        return Prediction(
            target.video,
            target.path,
            target.row is not None,
            video.frames,
            video.ended.duration_s,
            video.ended.fps,
            classes,
            starts,
            ends,
            found,
            predicted_bouts(classes, starts, ends, found, self._threshold),
        )
