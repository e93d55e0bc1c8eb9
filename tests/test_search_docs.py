"""Every command and every piece of Python in docs/search.md, in order, in a folder with the clips of the demo."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from tests.cli.runner import vimoclip
from vimoclip.contact_sheet import frames_at

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "search.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(clips, folder / "clips")
    PIL.Image.fromarray(frames_at(clips / "still" / "000.mp4", [0.1])[0]).save(folder / "frame.png")
    return folder


@pytest.fixture(scope="module")
def said(here: Path, tiny_model: str) -> dict[str, str]:
    """What each command says, on both streams."""
    found = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        for line in "".join(blocks("sh")).splitlines():
            _, *words = shlex.split(line, comments=True)
            model = ["--clip-model", tiny_model] if words[0] == "ingest" else []  # the real one cannot be had here
            words = [word.replace("width=320", "width=96").replace("height=180", "height=64") for word in words]
            result = vimoclip(*words, *model)
            assert result.exit_code == 0, (line, result.stderr)
            found[" ".join(words)] = result.stdout + result.stderr
    return found


def test_the_page_shows_every_query_and_option(said: dict[str, str]) -> None:
    assert len(blocks("python")) == 2
    shown = vimoclip("search", "--help").stdout
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help", "--store", "--device", "--threads"}
    missing = {option for option in options if option not in PAGE}
    assert not missing


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
    for block in blocks("python"):
        exec(compile(block, "docs/search.md", "exec"), names)
    assert len(names["hits"]) == 5
    assert set(names["table"]["split"]) == {"train"}
    assert len(names["like_a_frame"]) > 0
