"""Predictor: what a trained run sees in videos, stored ones and files that are not in the store.

Features of stored videos are read and never computed again; those of others are computed with the store's settings
(row_streams.py). Their frames are cut into windows (window_rows.py), which a run's model scores (window_model.py),
those of several videos together (window_scores.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vimoclip.config.store import RunConfig
from vimoclip.embedding.events import Failed
from vimoclip.errors import UsageError
from vimoclip.frames import FrameRows
from vimoclip.prediction import row_streams
from vimoclip.prediction.inputs import Target, resolve
from vimoclip.prediction.predictions import Prediction, Predictions
from vimoclip.prediction.row_streams import Again, Ended, Event
from vimoclip.prediction.window_model import WindowModel
from vimoclip.prediction.window_scores import Scored, ScoredVideo, WindowScores
from vimoclip.store.feature_store import FeatureStore
from vimoclip.windows import WindowRows


@dataclass(frozen=True)
class Windows:
    """How videos are looked at. window_s: None scores whole videos. stride_s: None is half a window. threshold: the
    probability from which on a window belongs to a bout.

    Raises:
        UsageError: a stride of no windows, or a threshold that is no probability. ConfigError: no windows.
    """

    window_s: float | None = None
    stride_s: float | None = None
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.window_s is None and self.stride_s is not None:
            raise UsageError("A stride is of windows.", received=f"stride {self.stride_s:g} s", expected="--window too")
        if not 0 < self.threshold <= 1:
            raise UsageError("The threshold is a probability.", received=self.threshold, expected="above 0, up to 1")
        WindowRows(self.window_s, self.stride_s)


class Watcher:
    """Told how far a prediction is; this one ignores it."""

    def planned(self, stored: int, files: int) -> None:
        """So many videos are read from the store, and so many files are decoded."""

    def frames(self, video: str, count: int) -> None:
        """Frames of a video were read or embedded."""

    def video(self, video: str, outcome: str) -> None:
        """A video is done: `ok`, or the kind of its failure."""

    def interrupted(self) -> bool:
        """Ctrl-C: whether what is predicted so far is the answer."""
        return False


class Predictor:
    """Predicts with the run in a folder, on the features of a store.

    Raises:
        See `WindowModel`.
    """

    def __init__(self, store: FeatureStore, folder: Path, run: RunConfig) -> None:
        self._store, self._run, self._folder = store, run, folder
        self._model = WindowModel(store, folder, run)

    def predict(
        self, names: Iterable[str | Path], windows: Windows | None = None, watcher: Watcher | None = None
    ) -> Predictions:
        """The videos that are meant by paths, ids and patterns (targets.py), each once, in the order of the names.

        What is wrong with one video is in `failed`, and the others are scored.

        Raises:
            SourceError: a name of nothing. ModelError, SettingsError: what made the store's features cannot be had.
            StoreDamagedError.
        """
        windows, watcher = windows or Windows(), watcher or Watcher()
        targets, failed = resolve(self._store, names)
        unusable = len(failed)
        done: dict[Target, Prediction] = {}
        stored = [target for target in targets if target.row is not None]
        files = [target for target in targets if target.row is None]
        watcher.planned(len(stored), len(files))
        try:
            for target, outcome in self._outcomes(stored, files, windows, watcher):
                if isinstance(outcome, Failed):
                    failed.append(outcome)
                else:
                    done[target] = outcome
                watcher.video(target.video, outcome.kind if isinstance(outcome, Failed) else "ok")
        except KeyboardInterrupt:
            if not watcher.interrupted():
                raise
        stride_s = windows.window_s / 2 if windows.window_s and windows.stride_s is None else windows.stride_s
        found = tuple(done[target] for target in targets if target in done)
        left = len(targets) - len(found) - (len(failed) - unusable)
        return Predictions(str(self._folder), windows.window_s, stride_s, windows.threshold, found, tuple(failed), left)

    def _outcomes(
        self, stored: list[Target], files: list[Target], windows: Windows, watcher: Watcher
    ) -> Iterator[Scored]:
        scores = WindowScores(self._model, windows.threshold)
        features = self._model.features
        for events in (
            row_streams.of_store(self._store, features, stored),
            row_streams.of_files(self._store, features, files, self._run),
        ):
            yield from _scored(events, windows, scores, watcher)
        yield from scores.rest()


def _scored(
    events: Iterator[tuple[Target, Event]], windows: Windows, scores: WindowScores, watcher: Watcher
) -> Iterator[Scored]:
    """Cut the rows of each video into windows, and have them scored."""
    video: ScoredVideo | None = None
    for target, event in events:
        if video is None or video.target != target or isinstance(event, Again):
            video, cut = ScoredVideo(target), WindowRows(windows.window_s, windows.stride_s)
        if isinstance(event, FrameRows):
            watcher.frames(target.video, len(event))
            for window in cut.add(event):
                yield from scores.add(video, window)
        elif isinstance(event, Ended):
            for window in cut.rest(event.duration_s):
                yield from scores.add(video, window)
            yield from scores.end(video, cut.frames, event)
            video = None
        elif isinstance(event, Failed):
            yield target, event


class Predict:
    """Predicts on one snapshot of a store, as `store.predict`."""

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
        """What a run of train-fusion sees in videos: files, folders, or ids and patterns of ids of the store.

        run: its folder. window_s, stride_s, threshold: see `Windows`. settings: where to compute. What is raised: see
        `Windows`, `Predictor` and its `predict`.
        """
        names = [videos] if isinstance(videos, str | Path) else videos
        windows = Windows(window_s, stride_s, threshold)
        return Predictor(self._store, Path(run), settings or RunConfig()).predict(names, windows)
