"""Every command and every piece of Python in docs/predict.md, in order, in a folder with the clips of the demo."""

import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import polars as pl
import pytest

from tests.clips import render
from tests.docs.pages import SHARED, code, commands, options, run, small, text
from vimoclip.annotations import read
from vimoclip.video.encode import write_clip

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(clips, folder / "clips")
    (folder / "new" / "night").mkdir(parents=True)
    write_clip(folder / "new" / "a.mp4", render("circling", 8, 12, (96, 64)), 24.0)
    write_clip(folder / "new" / "night" / "b.mp4", render("still", 8, 12, (96, 64)), 24.0)
    return folder


@pytest.fixture(scope="module")
def said(here: Path, tiny_model: str) -> dict[str, str]:
    """What each command says, on both streams. The real models are too large for here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        return run(commands("docs/predict.md"), small(tiny_model))


def test_the_page_shows_every_option(said: dict[str, str]) -> None:
    shown = text("docs/predict.md")
    assert not {option for option in options("predict") - SHARED if option not in shown}
    assert "0 videos from the store, 2 files to decode." in said["predict new --run runs/first"]
    assert "4 videos from the store, 0 files" in said["predict clips/still bouncing/* --run runs/first"]


def test_files_are_there(said: dict[str, str], here: Path) -> None:
    assert set(pl.read_csv(here / "bouts.csv")["video"]) == {"new/a.mp4", "new/night/b.mp4"}
    read(here / "events.tsv"), read(here / "events.csv")
    assert len(list((here / "timelines").iterdir())) == 2
    with PIL.Image.open(here / "bouncing.png") as drawn:
        assert drawn.width > 1000


def test_python(said: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    names: dict[str, Any] = {}
    for block, _ in code("docs/predict.md"):
        exec(compile(block, "docs/predict.md", "exec"), names)
    assert len(names["found"]) == 2 and not names["failed"]
    assert len(names["every"]) == 2 * 4 and set(names["whole"]["label"]) == {
        "bouncing", "circling", "drifting", "growing", "still"
    }  # fmt: skip
