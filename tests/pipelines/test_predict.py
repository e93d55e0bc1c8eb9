"""The pipeline of predicting: the files it writes, and what is refused before anything is computed."""

from pathlib import Path

import pytest

from pipelines.predict import PredictRequest, run
from tests.vimoclip.made_up_runs import ONE, labelled, run_on
from vimoclip.errors import StoreMissingError, UsageError
from vimoclip.prediction.predictor import Watcher, WindowOptions

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    store = labelled(folder)
    return str(store.place), run_on(store, folder / "run")


class Counts(Watcher):
    def __init__(self) -> None:
        self.seen: list[object] = []
        self.count = 0

    def planned(self, stored: int, files: int) -> None:
        self.seen.append((stored, files))

    def frames(self, video: str, count: int) -> None:
        self.count += count

    def video(self, video: str, outcome: str) -> None:
        self.seen.append((video, outcome))


def test_it_tells_and_writes(made: tuple[str, Path], tmp_path: Path) -> None:
    store, folder = made
    watcher = Counts()
    request = PredictRequest(
        store,
        folder,
        ["long.mp4", "9.mp4"],
        WindowOptions(0.4, threshold=0.2),
        out=(tmp_path / "p.csv", tmp_path / "p.json"),
        boris=tmp_path / "e.tsv",
        form="tabular",
        timeline=tmp_path / "drawn",
        run=ONE,
    )
    report = run(request, watcher)
    assert watcher.seen == [(2, 0), ("long.mp4", "ok"), ("9.mp4", "ok")] and watcher.count == 130 + 1 + 7 * 9 % 40
    assert [path.name for path in report.files] == ["p.csv", "p.json", "e.tsv", "1-long.png", "2-9.png"]
    assert all(path.stat().st_size > 100 for path in report.files)
    assert (report.predictions.window_s, report.predictions.stride_s, report.predictions.threshold) == (0.4, 0.2, 0.2)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"out": (Path("p.txt"),)}, "file of predictions"),
        ({"boris": Path("p.json")}, "file of events"),
        ({"timeline": Path("p.png")}, "A timeline is of one video"),
    ],
)
def test_files_are_refused_before_anything_is_computed(
    made: tuple[str, Path], what: dict[str, Path], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vimoclip.prediction.predictor.Predictor.predict", None)
    with pytest.raises(UsageError, match=message):
        run(PredictRequest(*made, ["*"], run=ONE, **what))  # type: ignore[arg-type]


def test_no_store(made: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError):
        run(PredictRequest(tmp_path / "nowhere", made[1], ["*"], run=ONE))
