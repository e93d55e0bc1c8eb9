"""Every command and every piece of Python in docs/predict.md, in order, in a folder with the clips of the demo."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import polars as pl
import pytest

from tests.cli.runner import vimoclip
from vimoclip.annotations import read
from vimoclip.shapes import render, write_clip

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "predict.md").read_text(encoding="utf-8")
SIZES = ("layers=1", "width=8", "heads=2", "feed_forward=8")
SMALL = ["--epochs", "2", *(part for size in SIZES for part in ("--set", f"tfam.{size}"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


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
    found = {}
    more = {"ingest": ["--clip-model", tiny_model], "train-fusion": SMALL}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        for line in "".join(blocks("sh")).splitlines():
            _, *words = shlex.split(line, comments=True)
            result = vimoclip(*words, *more.get(words[0], []), "--threads", "1")
            assert result.exit_code == 0, (line, result.stderr)
            found[" ".join(words)] = result.stdout + result.stderr
    return found


def test_the_page_shows_every_option(said: dict[str, str]) -> None:
    shown = vimoclip("predict", "--help").stdout
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help", "--store", "--device", "--threads"}
    assert not {option for option in options if option not in PAGE}
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
    for block in blocks("python"):
        exec(compile(block, "docs/predict.md", "exec"), names)
    assert len(names["found"]) == 2 and not names["failed"]
    assert len(names["every"]) == 2 * 4 and set(names["whole"]["label"]) == {
        "bouncing", "circling", "drifting", "growing", "still"
    }  # fmt: skip
