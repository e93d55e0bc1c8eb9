"""Every command and every piece of Python in docs/search.md, in order, in a folder with the clips of the demo; and
every command of the README's section on search, in a folder that has what it names."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.cli.runner import vimoclip
from tests.cli.test_train_fusion import SMALL
from tests.vimoclip.searches import make_run
from vimoclip.contact_sheet import frames_at
from vimoclip.shapes import write_clip
from vimoclip.store import FeatureStore

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


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
            # The real model cannot be had here, and a training of the usual size would take hours.
            more = {"ingest": ["--clip-model", tiny_model], "train-fusion": SMALL}.get(words[0], [])
            words = [word.replace("width=320", "width=96").replace("height=180", "height=64") for word in words]
            result = vimoclip(*words, *more)
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


def test_the_readme(tmp_path: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = ["video,label,split"]
    for n, name in enumerate(("site/a.MP4", "site/b.MP4", "c.mp4", "d.mp4", "e.mp4")):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, iter(rng.integers(0, 256, (80, 32, 48, 3), np.uint8)), 25)
        labels.append(f"{name},{'grazing' if n % 2 else 'resting'},{'val' if n > 2 else 'train'}")
    (tmp_path / "videos" / "labels.csv").write_text("\n".join(labels) + "\n")
    shutil.copy(tmp_path / "videos" / "c.mp4", "new.mp4")
    assert vimoclip("ingest", "videos", "--clip-model", tiny_model).exit_code == 0
    make_run(FeatureStore.open("vimoclip-store"), Path("runs/cross-1a2b3c4d"))
    (block,) = blocks("sh", README[README.index("\n## Search\n") : README.index("\n## More of it\n")])
    lines = block.splitlines()
    assert len(lines) == 8
    for line in lines:
        _, *words = shlex.split(line, comments=True)
        result = vimoclip(*words)
        assert result.exit_code == 0, (line, result.stderr)
        assert words[0] == "index" or "bouts like" in result.stderr, line
    assert Path("hits.png").is_file()
