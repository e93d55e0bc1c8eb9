"""Predictor: what a trained run sees in videos, stored ones and files that are not in the store.

Features of stored videos are read and never computed again; those of others are computed with the store's settings
(inputs.py). Frames are cut into windows (vimoclip/windows.py), which `WindowScores` has the run's model, a
`WindowModel`, score: windows of several videos together. `Predict` is `store.predict`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.features import Feature
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.errors import RunError, UsageError
from vimoclip.frames import FrameBatch, FrameEvent, VideoDone, VideoFailed, VideoInfo, VideoJob, VideoReset
from vimoclip.models.checkpoint import META, read_checkpoint
from vimoclip.prediction.inputs import VideoInput, resolve_videos, stream_files, stream_stored
from vimoclip.prediction.predictions import Prediction, Predictions, predicted_bouts
from vimoclip.progress import NO_PROGRESS, Progress, Throughput, count
from vimoclip.sequences.sequences import pack_windows, sample_window
from vimoclip.store.feature_store import FeatureStore
from vimoclip.training.fusion import SCORE_BATCH, scores
from vimoclip.training.loop import STATE
from vimoclip.windows import Window, check_window_rate, iter_windows, stored_rate, too_short, too_short_error


class WindowModel:
    """A trained run's model, which names the behaviours of windows.

    A window is scored as a video of its frames alone would be, by the same function that evaluates
    (`vimoclip.training.fusion.scores`): logits in fp32, and their sigmoid, or softmax for a run of cross-entropy.

    Args:
        store: whose features it reads.
        folder: of the run.
        run: where to compute.

    Attributes:
        features: the features of the store that it reads.
        classes: the labels, in the order of its outputs.

    Raises:
        CheckpointError: the folder holds no run's model, or one of other features than the store has.
        RunError: the run is not finished.
        ConfigError: there is no such device.
    """

    def __init__(self, store: FeatureStore, folder: Path, run: RunConfig) -> None:
        if (folder / STATE).exists() and not (folder / META).exists():
            raise RunError(
                f"The run in {folder} is not finished.",
                expected="a run that has its model",
                hint="The `vimoclip train-fusion` that began it resumes it.",
            )
        model, self._meta = read_checkpoint(folder)
        self._meta.check(store.features)
        set_threads(run)
        self._device = pick_device(run.device)
        self._model = model.to(self._device)
        self.features: list[Feature] = [store.features[source.name] for source in self._meta.features.values()]
        self.classes = tuple(self._meta.classes)

    def steps(self, window: FrameBatch) -> FrameBatch:
        """Return what the model reads of a window."""
        return sample_window(window, self._meta)

    def sees(self, steps: FrameBatch) -> bool:
        """Whether there is a vector to judge a window by: of those made elsewhere any frame may lack one."""
        first = self.features[0]
        return not first.elsewhere or bool(steps.features[first.name].present.any())

    def probabilities(self, steps: Sequence[FrameBatch]) -> NDArray[np.float32]:
        """Compute the probability of each class in n windows, fp32 (n, C).

        Args:
            steps: of each window, from `steps`.
        """
        logits = scores(self._model, pack_windows(steps, self._meta).to(self._device))
        one = self._meta.config.loss.name == "cross-entropy"
        found: NDArray[np.float32] = (logits.softmax(dim=1) if one else logits.sigmoid()).numpy()
        return found


MAX_STEPS = 4096
"""Steps of windows that are scored together: 8 MB with two features of 512."""

Scored = tuple[VideoInput, Prediction | VideoFailed]
"""A video, and what is seen in it or why that is not known."""


@dataclass(eq=False)
class VideoScores:
    """One video while its windows are being scored.

    Attributes:
        target: the video.
        spans: start_s and end_s of its scored windows.
        found: their probabilities, fp32 (C,) each.
        waiting: how many windows are not scored yet.
        frames: how many have come.
        times_s: when they are, in the pieces in which they came, fp64.
        info: its length and rate, once it has ended.
    """

    target: VideoInput
    spans: list[tuple[float, float]] = field(default_factory=list)
    found: list[NDArray[np.float32]] = field(default_factory=list)
    waiting: int = 0
    frames: int = 0
    times_s: list[NDArray[np.float64]] = field(default_factory=list)
    info: VideoInfo | None = None

    @property
    def rate(self) -> float:
        """Stored frames a second: by the mean of the times between two, or by the median, whichever is higher.

        A long pause lowers the mean alone; frames that are stored at uneven times may lower the median alone.
        """
        if self.info is None or self.frames < 2:
            return 0.0
        mean = stored_rate(self.frames, self.info.duration_s)
        between = np.diff(np.concatenate(self.times_s)) if self.times_s else np.empty(0)
        return max(mean, 1 / float(np.median(between))) if len(between) else mean


class WindowScores:
    """Scores windows; those of several videos share a batch, and a video comes out when its last window is scored.

    What else is in the batch changes a score by no more than 1e-5. At most MAX_STEPS steps and a window wait. Windows
    of a video that failed or began again are scored in vain.

    Args:
        model: scores the windows.
        threshold: the least probability of a window of a bout.
        window_s: length of a window, by which windows that are shorter than two frames are refused.
    """

    def __init__(self, model: WindowModel, threshold: float, window_s: float | None = None) -> None:
        self._model, self._threshold, self._window_s = model, threshold, window_s
        self._waiting: list[tuple[VideoScores, tuple[float, float], FrameBatch]] = []
        self._complete: list[VideoScores] = []
        self._steps = 0

    def add(self, video: VideoScores, window: Window) -> Iterator[Scored]:
        """Add a window of a video that has not ended; one without vectors is left out, as one without frames is.

        Yields:
            The videos that are complete with it.
        """
        steps = self._model.steps(window.frames)
        if not self._model.sees(steps):
            return
        self._waiting.append((video, (window.start_s, window.end_s), steps))
        video.waiting += 1
        self._steps += len(steps)
        if self._steps >= MAX_STEPS or len(self._waiting) >= 8 * SCORE_BATCH:
            yield from self.flush()

    def end(self, video: VideoScores, info: VideoInfo) -> Iterator[Scored]:
        """Note that a video has no more windows.

        Args:
            video: the video.
            info: its length and rate.

        Yields:
            The video at once where none of its windows waits.
        """
        video.info = info
        self._complete.append(video)
        if not video.waiting:
            yield from self.flush()

    def flush(self) -> Iterator[Scored]:
        """Score the windows that wait.

        Yields:
            The videos that have ended.
        """
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

    def _prediction(self, video: VideoScores) -> Prediction | VideoFailed:
        assert video.info is not None
        target, classes, window_s, rate = video.target, self._model.classes, self._window_s, video.rate
        if window_s is not None and rate and video.info.duration_s > window_s and too_short(window_s, rate):
            return VideoFailed(target.video, "window-too-short", str(too_short_error(window_s, rate)))
        if not video.found:
            why = f"No window holds one of its {video.frames} frames with a vector; take longer or more windows."
            return VideoFailed(target.video, "no-window", why)
        starts, ends = np.array(video.spans, np.float64).T
        found = np.stack(video.found)
        return Prediction(
            target.video,
            target.path,
            target.row is not None,
            video.frames,
            video.info.duration_s,
            video.info.fps,
            classes,
            starts,
            ends,
            found,
            predicted_bouts(classes, starts, ends, found, self._threshold),
            video.info.clock_offset_s,
        )


@dataclass(frozen=True)
class WindowOptions:
    """How videos are cut into windows.

    Attributes:
        window_s: length of a window, in seconds; None scores whole videos.
        stride_s: from one window to the next; None is half a window.
        threshold: the least probability of a window of a bout.

    Raises:
        UsageError: a stride without a window, or a threshold that is not a probability.
        ConfigError: a length or stride that is out of range.
    """

    window_s: float | None = None
    stride_s: float | None = None
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.window_s is None and self.stride_s is not None:
            raise UsageError("A stride is of windows.", received=f"stride {self.stride_s:g} s", expected="--window too")
        if not 0 < self.threshold <= 1:
            raise UsageError("The threshold is a probability.", received=self.threshold, expected="above 0, up to 1")
        iter_windows((), self.window_s, self.stride_s)  # refuses lengths out of range


class Predictor:
    """Predicts with the run in a folder, on the features of a store.

    Args:
        store: the snapshot.
        folder: of the run.
        run: where to compute.

    Raises:
        CheckpointError: see `WindowModel`, as for the others.
        RunError: the run is not finished.
        ConfigError: there is no such device.
    """

    def __init__(self, store: FeatureStore, folder: Path, run: RunConfig) -> None:
        self._store, self._run, self._folder = store, run, folder
        self._model = WindowModel(store, folder, run)

    def predict(
        self,
        names: Iterable[str | Path],
        windows: WindowOptions | None = None,
        progress: Progress = NO_PROGRESS,
        keep_partial: bool = False,
    ) -> Predictions:
        """Predict the videos that are meant by paths, ids and patterns (inputs.py), each once, in that order.

        What is wrong with one video goes into `failed`, and the others are scored.

        Args:
            names: of videos.
            windows: None scores whole videos.
            progress: an item is a video.
            keep_partial: whether a KeyboardInterrupt ends it with what is predicted so far, and the number of the other
                videos in `left`; otherwise it is raised.

        Raises:
            SourceError: a name matches nothing.
            ConfigError: no stored video has two frames in a window, and no other file is asked for.
            ModelError: a model that made the store's features cannot be loaded.
            SettingsError: its weights are not those of the store's features.
            StoreDamagedError: frames of a video are not whole.
        """
        windows = windows or WindowOptions()
        targets, failed = resolve_videos(self._store, names)
        unusable = len(failed)
        done: dict[VideoInput, Prediction] = {}
        stored = [target for target in targets if target.row is not None]
        files = [target for target in targets if target.row is None]
        if not files:
            rows = [target.row for target in stored if target.row is not None]
            check_window_rate(windows.window_s, ((row.frames, row.duration_s) for row in rows))
        progress.message(f"{count(len(stored), 'video')} from the store, {count(len(files), 'file')} to decode.")
        progress.stage("predicting", len(targets))
        try:
            for target, outcome in self._outcomes(stored, files, windows, progress):
                if isinstance(outcome, VideoFailed):
                    failed.append(outcome)
                    progress.message(f"failed ({outcome.kind}): {target.video}")
                else:
                    done[target] = outcome
                progress.advance()
        except KeyboardInterrupt:
            if not keep_partial:
                raise
        stride_s = windows.window_s / 2 if windows.window_s and windows.stride_s is None else windows.stride_s
        found = tuple(done[target] for target in targets if target in done)
        left = len(targets) - len(found) - (len(failed) - unusable)
        return Predictions(str(self._folder), windows.window_s, stride_s, windows.threshold, found, tuple(failed), left)

    def _outcomes(
        self, stored: list[VideoInput], files: list[VideoInput], windows: WindowOptions, progress: Progress
    ) -> Iterator[Scored]:
        scores, throughput = WindowScores(self._model, windows.threshold, windows.window_s), Throughput("frames")

        def counted(events: Iterable[FrameEvent]) -> Iterator[FrameEvent]:
            for event in events:
                if isinstance(event, FrameBatch):
                    progress.advance(0, throughput.add(len(event)))
                yield event

        rows = [target.row for target in stored if target.row is not None]
        events: Iterable[FrameEvent] = stream_stored(self._store, self._model.features, rows)
        yield from _scored(counted(events), {target.video: target for target in stored}, windows, scores)
        if files:
            numbered = {str(n): target for n, target in enumerate(files)}  # two may have one name in two spellings
            jobs = (VideoJob(n, target.path) for n, target in numbered.items())
            events = stream_files(self._store, self._model.features, jobs, self._run)
            yield from _scored(counted(events), numbered, windows, scores)
        yield from scores.flush()


def _scored(
    events: Iterable[FrameEvent],
    targets: Mapping[str, VideoInput],
    windows: WindowOptions,
    scores: WindowScores,
) -> Iterator[Scored]:
    """Cut the frames of each video into windows, and have them scored. targets: by the video_id of the events."""
    videos: dict[str, VideoScores] = {}  # those that have begun and not ended

    def counted() -> Iterator[FrameEvent]:
        for event in events:
            if isinstance(event, FrameBatch):
                video = videos.setdefault(event.video_id, VideoScores(targets[event.video_id]))
                video.frames += len(event)
                if windows.window_s is not None:
                    video.times_s.append(event.time_s.copy())
            yield event

    for event in iter_windows(counted(), windows.window_s, windows.stride_s):
        if isinstance(event, Window):
            yield from scores.add(videos[event.frames.video_id], event)
        elif isinstance(event, VideoDone):
            yield from scores.end(videos.pop(event.video_id), event.info)
        elif isinstance(event, VideoReset):
            videos.pop(event.video_id, None)
        elif isinstance(event, VideoFailed):
            videos.pop(event.video_id, None)
            target = targets[event.video_id]
            yield target, replace(event, video_id=target.video)


class Predict:
    """Predicts on one snapshot of a store; `store.predict` is one."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    def __call__(
        self,
        videos: Iterable[str | Path] | str | Path,
        run: str | Path,
        *,
        window_s: float | None = None,
        stride_s: float | None = None,
        threshold: float = 0.5,
        settings: RunConfig | None = None,
    ) -> Predictions:
        """Predict what a run of train-fusion sees in videos.

        Args:
            videos: files, folders, or ids and patterns of ids of the store.
            run: the run's folder.
            window_s: see `WindowOptions`, as for the next two.
            stride_s: from one window to the next.
            threshold: of bouts.
            settings: where to compute.

        Raises:
            VimoclipError: see `WindowOptions`, `Predictor` and `Predictor.predict`.
        """
        names = [videos] if isinstance(videos, str | Path) else videos
        windows = WindowOptions(window_s, stride_s, threshold)
        return Predictor(self._store, Path(run), settings or RunConfig()).predict(names, windows)
