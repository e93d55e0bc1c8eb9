"""`predict` as typed: what is printed, and exit codes."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.cli.runner import document, vimoclip
from tests.clips import render
from tests.pipelines.runs import ingest
from tests.vimoclip.made_up_runs import ONE, VIDEOS, labelled, run_on
from vimoclip.api import Store
from vimoclip.video.encode import write_clip

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = ["--run", "run", "--threads", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run_on(labelled(folder), folder / "run")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a store of the default's name and a run."""
    shutil.copytree(made / "store", tmp_path / "vimoclip-store")
    shutil.copytree(made / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_whole_videos(place: Path) -> None:
    result = vimoclip("predict", "*", *HERE, "--top", "2")
    assert result.exit_code == 0, result.stderr
    assert f"{len(VIDEOS)} videos from the store, 0 files to decode." in result.stderr
    found = document("predict", "*", *HERE, "--top", "2")
    assert [each["video"] for each in found["videos"]] == sorted(VIDEOS)
    for each in found["videos"]:
        first, second = each["labels"]
        line = next(line for line in result.stdout.splitlines() if each["video"] in line)
        assert f"{first['label']} {100 * first['score']:.2f}, {second['label']} {100 * second['score']:.2f}" in line
    assert len(document("predict", "long.mp4", *HERE, "--top", "0")["videos"][0]["labels"]) == 3


def test_bouts_in_windows(place: Path) -> None:
    flags = ["--window", "400ms", "--stride", "0.2", "--threshold", "0.2"]
    result = vimoclip("predict", "long.mp4", *HERE, *flags)
    assert result.exit_code == 0 and "Bouts: windows of 0.4 s, of at least 20.00%" in result.stderr
    (found,) = document("predict", "long.mp4", *HERE, *flags)["videos"]
    assert found["bouts"]
    for bout in found["bouts"]:
        assert f"{bout['start_s']:.2f}" in result.stdout and bout["label"] in result.stdout


def test_without_a_bout_the_best_window_is_named(place: Path) -> None:
    flags = ["--window", "400ms", "--threshold", "0.999"]
    result = vimoclip("predict", "long.mp4", *HERE, *flags)
    (found,) = document("predict", "long.mp4", *HERE, *flags)["videos"]
    best = found["labels"][0]
    assert found["bouts"] == []
    said = " ".join(result.stderr.split())
    assert f"No bout reaches 99.90%; the best is {best['label']} with {100 * best['score']:.2f}% at " in said
    assert " s of long.mp4." in said
    assert (
        "No bout reaches"
        not in vimoclip("predict", "long.mp4", *HERE, "--window", "400ms", "--threshold", "0.1").stderr
    )


def test_files(place: Path) -> None:
    flags = ["--window", "0.4", "--out", "p.csv", "--out", "p.json", "--boris", "e.tsv", "--timeline", "t.png"]
    found = document("predict", "long.mp4", *HERE, *flags, "--boris-form", "tabular")
    assert found["files"] == ["p.csv", "p.json", "e.tsv", "t.png"]
    assert all((place / name).stat().st_size for name in found["files"])
    result = vimoclip("predict", "long.mp4", *HERE, *flags)
    assert "p.csv" in result.stderr and result.exit_code == 0


def test_some_failed_and_the_others_are_scored(
    clips: Path, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ingest(clips, store=tmp_path / "vimoclip-store", model=tiny_model, label_folders=True, run=ONE)
    run_on(Store.open(tmp_path / "vimoclip-store"), tmp_path / "run")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "-[b].mp4").write_bytes(b"no video")
    write_clip(tmp_path / "new" / "a.mp4", render("circling", 9, 5, (96, 64)), 24.0)
    result = vimoclip("predict", "new", "still/*", *HERE)
    assert result.exit_code == 3
    assert "failed (unreadable): new/-[b].mp4" in result.stderr and "new/a.mp4" in result.stdout
    assert "2 videos from the store, 2 files to decode." in result.stderr and "1 failed." in result.stderr
    found = document("predict", "new", "still/*", *HERE)
    assert [(each["video"], each["kind"]) for each in found["failed"]] == [("new/-[b].mp4", "unreadable")]
    assert [each["stored"] for each in found["videos"]] == [False, True, True]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.mp4", *HERE], 1, "no such file, and no such video"),
        (["*", "--run", "nowhere"], 1, "Name the folder of a finished run"),
        (["*", *HERE, "--stride", "1s"], 2, "A stride is of windows"),
        (["*", *HERE, "--window", "soon"], 2, "--window is a time"),
        (["*", *HERE, "--window", "0"], 1, "is a time"),
        (["*", *HERE, "--threshold", "50"], 2, "threshold is a probability"),
        (["*", *HERE, "--out", "p.xlsx"], 2, ".csv or .json"),
        (["*", *HERE, "--timeline", "t.png"], 2, "A timeline is of one video"),
        (["*", *HERE, "--store", "elsewhere"], 1, "There is no store"),
        (["*", *HERE, "--device", "tpu"], 1, "no such device"),
        (["*"], 2, "--run"),
        (["*", *HERE, "--boris-form", "other"], 2, "aggregated"),
    ],
)
def test_what_is_refused(place: Path, arguments: list[str], code: int, message: str) -> None:
    result = vimoclip("predict", *arguments)
    assert result.exit_code == code and message in result.stderr, result.stderr
    assert "error" in document("predict", *arguments)


def test_an_interruption_says_what_is_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object, n: int = 1, note: str | None = None) -> None:
        if n:
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.progress.ProgressBar.advance", stop)
    result = vimoclip("predict", "*", *HERE, "--out", "p.csv")
    assert result.exit_code == 130 and f"with {len(VIDEOS) - 1} videos left" in result.stderr
    lines = (place / "p.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {sorted(VIDEOS)[0]}


@pytest.mark.parametrize("form", ["aggregated", "tabular"])
def test_bouts_come_back_as_labels(place: Path, form: str) -> None:
    flags = ["--window", "0.4", "--threshold", "0.2", "--boris", "e.tsv", "--boris-form", form]
    found = document("predict", "*", *HERE, *flags)
    assert vimoclip("label", "e.tsv").exit_code == 0
    labels = Store.open(place / "vimoclip-store").labels().filter(pl.col("source") == "e.tsv")
    assert sorted(labels.select("video_id", "label", "start_s", "end_s").rows()) == sorted(
        (each["video"], bout["label"], bout["start_s"], bout["end_s"])
        for each in found["videos"]
        for bout in each["bouts"]
    )
    assert len(labels) > len(VIDEOS)
