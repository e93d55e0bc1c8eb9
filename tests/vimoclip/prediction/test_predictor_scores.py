"""Windows that are scored together: nothing changes by it, and each video comes out once, when it is complete."""

from pathlib import Path

import numpy as np
import pytest

from tests.vimoclip.made_up_runs import ONE, labelled, run_on
from tests.vimoclip.stores import info_of
from vimoclip.api import Store
from vimoclip.frames import FrameBatch, VideoFailed, frame_columns
from vimoclip.prediction import predictor
from vimoclip.prediction.inputs import VideoInput
from vimoclip.prediction.predictions import Prediction
from vimoclip.prediction.predictor import VideoScores, WindowModel, WindowScores
from vimoclip.windows import Window

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return labelled(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on(store, tmp_path_factory.mktemp("runs") / "run")


def test_what_is_scored_together_changes_nothing(store: Store, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = store.predict("*", run, window_s=0.4, settings=ONE)
    monkeypatch.setattr(predictor, "MAX_STEPS", 1)
    alone = store.predict("*", run, window_s=0.4, settings=ONE)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.window_probabilities, other.window_probabilities, atol=1e-6)
        assert (one.video, one.starts_s.tolist()) == (other.video, other.starts_s.tolist())


def video(name: str) -> VideoScores:
    return VideoScores(VideoInput(name, f"/{name}", None))


def window(store: Store, start: int, frames: int) -> Window:
    names = ["clip", "moclip"]
    rows = store.sequence("long.mp4", frame_columns(names)).slice(start, frames)
    return Window(start / 25, (start + frames) / 25, FrameBatch.from_arrow("long.mp4", rows, names))


def test_videos_come_out_once_when_all_their_windows_are_scored(store: Store, run: Path) -> None:
    scores = WindowScores(WindowModel(store, run, ONE), 0.5)
    first, empty, begun = video("first"), video("empty"), video("begun")
    first.frames, empty.frames = 30, 4
    assert list(scores.add(first, window(store, 0, 20))) == []
    assert list(scores.add(begun, window(store, 0, 20))) == []  # it begins again, and this one never ends
    assert list(scores.add(first, window(store, 10, 20))) == []
    assert list(scores.end(first, info_of(1.2))) == []  # its windows wait for others
    (whole, made), (without, failed) = scores.end(empty, info_of(0.2))  # nothing of it waits
    assert (whole, without) == (first.target, empty.target)
    assert isinstance(made, Prediction) and isinstance(failed, VideoFailed)
    assert (made.frames, made.duration_s, made.starts_s.tolist()) == (30, 1.2, [0.0, 0.4])
    assert made.window_probabilities.shape == (2, 3)
    assert (failed.kind, "one of its 4 frames" in failed.message) == ("no-window", True)
    assert list(scores.flush()) == []
    np.testing.assert_allclose(begun.found[0], first.found[0], atol=1e-5)


def test_what_waits_is_bounded(store: Store, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "MAX_STEPS", 50)
    scores, seen = WindowScores(WindowModel(store, run, ONE), 0.5), video("long")
    waiting = []
    for start in range(0, 100, 10):
        assert list(scores.add(seen, window(store, start, 21))) == []
        waiting.append(seen.waiting)
    assert waiting == [1, 2, 0] * 3 + [1]
