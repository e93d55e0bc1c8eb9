"""Every command and every piece of Python in docs/search.md, in order, in a folder with the clips of the demo."""

import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from tests.docs.pages import SHARED, code, commands, options, run, small, text
from vimoclip.video.contact_sheet import frames_at

SIZE = {"width=320": "width=96", "height=180": "height=64"}  # of the clips that the page means, and of those here


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(clips, folder / "clips")
    PIL.Image.fromarray(frames_at(clips / "still" / "000.mp4", [0.1])[0]).save(folder / "frame.png")
    return folder


@pytest.fixture(scope="module")
def said(here: Path, tiny_model: str) -> dict[str, str]:
    """What each command says, on both streams."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        return run(commands("docs/search.md"), small(tiny_model), SIZE)


def test_the_page_shows_every_query_and_option(said: dict[str, str]) -> None:
    assert len(code("docs/search.md")) == 2
    shown = text("docs/search.md")
    assert not {option for option in options("search") - SHARED if option not in shown}


def test_they_find(said: dict[str, str]) -> None:
    for command, printed in said.items():
        if command.startswith("search") and "--min-percentile" not in command:
            assert "bouts like" in printed, command
    assert "No match for “the moon”" in said["search --text the moon --min-percentile 100"]


def test_pictures_and_clips_are_there(said: dict[str, str], here: Path) -> None:
    with PIL.Image.open(here / "hits.png") as drawn:
        assert drawn.height > 108
    assert len(list((here / "cut").iterdir())) == 3


def test_python(said: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    names: dict[str, Any] = {}
    for block, _ in code("docs/search.md"):
        exec(compile(block, "docs/search.md", "exec"), names)
    assert len(names["hits"]) == 5
    assert set(names["table"]["split"]) == {"train"}
    assert len(names["like_a_frame"]) > 0
