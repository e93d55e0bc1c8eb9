"""Predictor: what a trained run sees in videos, stored ones and files that are not in the store.

Features of stored videos are read and never computed again; those of others are computed with the store's settings. A
window is scored as the video of its frames alone would be, by the very function that evaluates (fusion_task.scores):
logits in fp32, and of them the sigmoid, or the softmax for a run of cross-entropy. Windows of several videos share a
batch, which changes nothing beyond 1e-5.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vimoclip import row_streams
from vimoclip.checkpoint import META, read_checkpoint
from vimoclip.config import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.embedded import Failed
from vimoclip.errors import RunError, UsageError
from vimoclip.fusion_task import SCORED_TOGETHER, scores
from vimoclip.prediction import Prediction, Predictions, predicted_bouts
from vimoclip.row_streams import Again, Ended, Event
from vimoclip.sequences import PackedRows, Sequences
from vimoclip.store import FeatureStore
from vimoclip.targets import Target, resolve
from vimoclip.training import STATE
from vimoclip.window_rows import FrameRows, WindowOfRows, WindowRows, steps_of

MOST_STEPS = 4096
"""Steps of windows that wait to be scored together: with two features of 512, 8 MB."""


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
        CheckpointError: no run's model, or of other features than the store has. RunError: the run is not finished.
        ConfigError: no such device.
    """

    def __init__(self, store: FeatureStore, folder: Path, run: RunConfig) -> None:
        if (folder / STATE).exists() and not (folder / META).exists():
            raise RunError(
                f"The run in {folder} is not finished.",
                expected="a run that has its model",
                hint="The `vimoclip train-fusion` that began it goes on with it.",
            )
        model, self._meta = read_checkpoint(folder)
        self._meta.check(store.features)
        set_threads(run)
        self._store, self._run, self._folder = store, run, folder
        self._device = pick_device(run.device)
        self._model = model.to(self._device)
        self._roles = list(self._meta.features)
        self._features = [store.features[source.name] for source in self._meta.features.values()]

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
    ) -> Iterator[tuple[Target, Prediction | Failed]]:
        scoring = _Scoring(self, windows.threshold)
        for events in (
            row_streams.of_store(self._store, self._features, stored),
            row_streams.of_files(self._store, self._features, files, self._run),
        ):
            yield from self._seen(events, windows, scoring, watcher)
        yield from scoring.score()

    def _seen(
        self, events: Iterator[tuple[Target, Event]], windows: Windows, scoring: "_Scoring", watcher: Watcher
    ) -> Iterator[tuple[Target, Prediction | Failed]]:
        seen: _Seen | None = None
        for target, event in events:
            if seen is None or seen.target != target or isinstance(event, Again):
                seen = _Seen(target, WindowRows(windows.window_s, windows.stride_s))
            if isinstance(event, Failed):
                yield target, event
            elif isinstance(event, Ended):
                for window in seen.windows.rest(event.duration_s):
                    yield from scoring.add(seen, window)
                yield from scoring.end(seen, event)
                seen = None
            elif isinstance(event, FrameRows):
                watcher.frames(target.video, len(event))
                for window in seen.windows.add(event):
                    yield from scoring.add(seen, window)

    def steps(self, window: WindowOfRows) -> FrameRows:
        """What the model reads of a window."""
        motion = self._roles.index("motion") if "motion" in self._roles else None
        return steps_of(window.rows, self._meta.config.sequences.most_frames, motion)

    def probabilities(self, read: list[FrameRows]) -> NDArray[np.float32]:
        """fp32 (n, C) of n windows."""
        counts = np.array([len(rows) for rows in read], np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        widths = [feature.dim for feature in self._features]
        values = torch.split(torch.from_numpy(np.concatenate([rows.values for rows in read])), widths, dim=1)
        sequences = Sequences(
            [""] * len(read),
            offsets,
            PackedRows(values, offsets),
            torch.from_numpy(np.concatenate([rows.norms for rows in read])),
            dict(zip(self._roles, widths, strict=True)),
            self._meta.config.sequences.lengths,
            self._meta.classes,
            torch.zeros(len(read), len(self._meta.classes), dtype=torch.uint8),
        )
        logits = scores(self._model, sequences.to(self._device))
        one = self._meta.config.loss.name == "cross-entropy"
        found: NDArray[np.float32] = (logits.softmax(dim=1) if one else logits.sigmoid()).numpy()
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the model's outputs."""
        return tuple(self._meta.classes)


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


@dataclass(eq=False)
class _Seen:
    """One video on its way. spans, found: of its windows so far, start_s and end_s, and probabilities."""

    target: Target
    windows: WindowRows
    spans: list[tuple[float, float]] = field(default_factory=list)
    found: list[NDArray[np.float32]] = field(default_factory=list)
    ended: Ended | None = None


class _Scoring:
    """Windows that wait to be scored together, and the videos that are complete once they are. Those of a video that
    failed or began again are scored for nothing."""

    def __init__(self, predictor: Predictor, threshold: float) -> None:
        self._predictor, self._threshold = predictor, threshold
        self._waiting: list[tuple[_Seen, tuple[float, float], FrameRows]] = []
        self._complete: list[_Seen] = []
        self._steps = 0

    def add(self, seen: _Seen, window: WindowOfRows) -> Iterator[tuple[Target, Prediction | Failed]]:
        """A window of a video that has not ended; videos that are complete with it come out."""
        read = self._predictor.steps(window)
        self._waiting.append((seen, (window.start_s, window.end_s), read))
        self._steps += len(read)
        if self._steps >= MOST_STEPS or len(self._waiting) >= 8 * SCORED_TOGETHER:
            yield from self.score()

    def end(self, seen: _Seen, ended: Ended) -> Iterator[tuple[Target, Prediction | Failed]]:
        """The video has no more windows."""
        seen.ended = ended
        self._complete.append(seen)
        if all(waiting is not seen for waiting, _, _ in self._waiting):
            yield from self.score()

    def score(self) -> Iterator[tuple[Target, Prediction | Failed]]:
        """Score what waits."""
        waiting, self._waiting, self._steps = self._waiting, [], 0
        if waiting:
            found = self._predictor.probabilities([read for _, _, read in waiting])
            for (seen, span, _), probabilities in zip(waiting, found, strict=True):
                seen.spans.append(span)
                seen.found.append(probabilities.copy())
        complete, self._complete = self._complete, []
        for seen in complete:
            yield seen.target, self._prediction(seen)

    def _prediction(self, seen: _Seen) -> Prediction | Failed:
        assert seen.ended is not None
        if not seen.found:
            why = f"No window holds one of its {seen.windows.frames} frames: take longer ones, or a smaller stride."
            return Failed(seen.target.video, "no-window", why)
        target, classes = seen.target, self._predictor.classes
        starts, ends = np.array(seen.spans, np.float64).T
        found = np.stack(seen.found)
        return Prediction(
            target.video,
            target.path,
            target.row is not None,
            seen.windows.frames,
            seen.ended.duration_s,
            seen.ended.fps,
            classes,
            starts,
            ends,
            found,
            predicted_bouts(classes, starts, ends, found, self._threshold),
        )
