"""The pipeline of predicting: the files it writes, and what is refused before anything is computed."""

import re
from pathlib import Path

import pytest

from pipelines.predict import PredictRequest, run
from tests.vimoclip.made_up_runs import ONE, labelled, run_on
from vimoclip.errors import StoreMissingError, UsageError
from vimoclip.prediction.predictor import WindowOptions
from vimoclip.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    store = labelled(folder)
    return str(store.place), run_on(store, folder / "run")


class Counts(Progress):
    def __init__(self) -> None:
        self.seen: list[object] = []

    def stage(self, name: str, total: int | None = None) -> None:
        self.seen.append((name, total))

    def advance(self, n: int = 1, note: str | None = None) -> None:
        if n:
            self.seen.append(n)
        else:
            assert re.fullmatch(r"\d+ frames/s", note or "")

    def message(self, text: str) -> None:
        self.seen.append(text)


def test_it_tells_and_writes(made: tuple[str, Path], tmp_path: Path) -> None:
    store, folder = made
    counts = Counts()
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
    report = run(request, counts)
    planned = "2 videos from the store, 0 files to decode."
    assert counts.seen == [("loading models", None), planned, ("predicting", 2), 1, 1]
    predicted = list(report.predictions)
    assert [each.video for each in predicted] == ["long.mp4", "9.mp4"] and not report.predictions.failed
    assert sum(each.frames for each in predicted) == 130 + 1 + 7 * 9 % 40
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
