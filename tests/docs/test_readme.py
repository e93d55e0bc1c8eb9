"""Every command of the README, section by section, each in a folder that has what it names."""

from pathlib import Path

import numpy as np
import pytest

from tests.clips import write_folder
from tests.docs.pages import blocks, commands, run, small
from tests.models import write_tiny_clip
from vimoclip.video.encode import write_clip

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = "README.md"
OWN = ("ViMoCLIP", "Install", "Your own videos", "Search")  # one after the other, of the same videos
VIDEOS = ("site/a.MP4", "site/b.MP4", "c.mp4", "d.mp4", "e.mp4")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_no_other_sections_with_commands() -> None:
    assert {block.section for block in blocks(PAGE, "sh")} == {*OWN, "Table 2, from a folder of clips"}


def test_ones_own_videos(here: Path, tiny_model: str) -> None:
    rng = np.random.default_rng(0)
    labels = ["video,label,split"]
    for n, name in enumerate((*VIDEOS, "new")):
        path = here / "videos" / name if name != "new" else here / "new" / "f.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, iter(rng.integers(0, 256, (80, 32, 48, 3), np.uint8)), 25)
        labels.append(f"{name},{'grazing' if n % 2 else 'resting'},{'val' if n > 2 else 'train'}")
    (here / "features" / "site").mkdir(parents=True)
    for name in VIDEOS:
        np.save(here / "features" / Path(name).with_suffix(".npy"), rng.normal(size=(80, 4)))
    (here / "annotations.csv").write_text("\n".join(labels[:-1]) + "\n")
    (here / "new.mp4").hardlink_to(here / "new" / "f.mp4")
    instead = {"hf-hub:imageomics/bioclip": write_tiny_clip(here / "second", seed=2)}
    said = run([line for section in OWN for line in commands(PAGE, section)], small(tiny_model), instead)
    assert "5 videos in" in said["ingest videos/ --dry-run"]
    assert "No video failed" in said["errors"]
    assert "The store is whole" in said["verify"]
    assert (here / "tables" / "videos.parquet").is_file()
    assert (here / "hits.png").is_file()
    assert all("bouts like" in printed for command, printed in said.items() if command.startswith("search"))


def test_table_2(here: Path, tiny_model: str) -> None:
    write_folder(here / "interactions", clips_per_behaviour=4, frames=6, size=(64, 48))
    said = run(commands(PAGE, "Table 2, from a folder of clips"), small(tiny_model))
    assert "mAP, micro" in said["evaluate runs/cross-1a2b3c4d --split val"]
    assert len(list(here.glob("runs/ablation-*/*-*/model.safetensors"))) == 15
