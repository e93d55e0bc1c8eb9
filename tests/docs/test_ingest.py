"""Every command of docs/ingest.md, in order, in a folder of small videos."""

import re
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.docs.pages import SHARED, blocks, commands, options, run, small, text
from tests.models import write_tiny_clip
from vimoclip.config.store import StoreConfig
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.verify import verify
from vimoclip.video.encode import write_clip
from vimoclip.video.files import EXTENSIONS

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = "docs/ingest.md"
FRAMES, FPS = 7, 10
VIDEOS = ("videos/site/a.MP4", "videos/site/b.mp4", "videos/c.mp4", "north/a.mp4", "south/a.mp4", "card/a.mp4")
TOO_LARGE = {  # what would be downloaded, and what is made up in its place
    "vimoclip ingest videos/ --store large --config settings.toml": ["--clip-weights", "default"],
    "vimoclip ingest videos/ --store raft --flow raft-large": ["--flow-weights", "none", "--flow-updates", "1"],
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    noise = np.random.default_rng(0).integers(0, 256, (len(VIDEOS), FRAMES, 32, 48, 3), np.uint8)
    for name, frames in zip(VIDEOS, noise, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_clip(folder / name, iter(frames), FPS)
    (settings,) = blocks(PAGE, "toml")
    (folder / "settings.toml").write_text(settings.code)
    write_vectors(folder)
    return folder


def write_vectors(folder: Path) -> None:
    """What other tools would have made of the videos of `videos`, in the three forms that the page names."""
    rng, rows = np.random.default_rng(1), []
    (folder / "i3d").mkdir()
    for name in VIDEOS[:3]:
        video = Path(name).relative_to("videos")
        (folder / "r50" / video).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / "r50" / video.with_suffix(".npy"), rng.normal(size=(FRAMES, 4)))
        for key in ("rgb", "flow"):
            np.save(folder / "i3d" / f"{video.stem}_{key}.npy", rng.normal(size=(2, 4)))
        np.save(folder / "i3d" / f"{video.stem}_timestamps_ms.npy", np.array([300.0, 600.0]))
        rows += [
            {"filepath": str(video), "vector": each, "frame": n} for n, each in enumerate(rng.normal(size=(FRAMES, 4)))
        ]
    pl.DataFrame(rows).write_parquet(folder / "vectors.parquet")


@pytest.fixture(scope="module")
def said(here: Path, tiny_model: str) -> dict[str, str]:
    """What each command says, on both streams."""
    more = {**small(tiny_model), **TOO_LARGE}
    instead = {"hf-hub:imageomics/bioclip": write_tiny_clip(here / "second", seed=2)}
    every, errors = commands(PAGE), commands(PAGE, "Errors")
    begin = every.index(errors[0])
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        found = run(every[:begin], more, instead)
        Path("videos", "broken.mp4").write_bytes(b"")
        run(["vimoclip ingest videos/"], more, ends=3)
        found |= run(errors[:1])
        found |= run(errors[1:], more, ends=3)
        return found | run(every[begin + len(errors) :], more, instead)


def stored(here: Path, name: str) -> dict[str, int]:
    """Frames by video."""
    return dict(FeatureStore.open(here / name).videos().select("video_id", "frames").iter_rows())


def test_ids_are_those_that_the_page_names(said: dict[str, str], here: Path) -> None:
    assert set(stored(here, "sites")) == {"north/a.mp4", "south/a.mp4", "june/a.mp4"}
    assert set(stored(here, "one")) == {"a.MP4"}
    assert len(stored(here, "some")) == 2


def test_which_frames(said: dict[str, str], here: Path) -> None:
    assert set(stored(here, "vimoclip-store").values()) == {FRAMES}
    assert set(stored(here, "sparse").values()) == {4}  # at 0, 0.2, 0.4 and 0.6 s
    assert set(stored(here, "thirds").values()) == {3}  # 0, 3 and 6


def test_settings_are_those_of_the_file_and_kept(said: dict[str, str], here: Path, tiny_model: str) -> None:
    settings = tomllib.loads(blocks(PAGE, "toml")[0].code)
    kept = FeatureStore.open(here / "large").config
    assert StoreConfig.from_dict(settings).sampling == kept.sampling
    assert (kept.clip.resize, kept.flow.estimator, kept.clip.model) == ("letterbox", "dis", tiny_model)
    assert FeatureStore.open(here / "cropped").config.clip.resize == "crop"
    assert FeatureStore.open(here / "random").features["clip"].training == "random"
    assert FeatureStore.open(here / "raft").config.flow.estimator == "raft-large"


def test_what_they_say(said: dict[str, str], here: Path) -> None:
    assert "broken.mp4" in said["errors"] and "unreadable" in said["errors"]
    assert (
        "3 videos in" in said["ingest videos/ --dry-run"] and "Nothing was written" in said["ingest videos/ --dry-run"]
    )
    assert "3 known" in said["ingest videos/ --device cpu --threads 1"]
    assert "bioclip" in said["features"]
    assert "The store is whole" in said["verify"]
    assert verify(here / "vimoclip-store") == []
    features = FeatureStore.open(here / "vimoclip-store").features
    kinds = {"clip": "image", "moclip": "motion", "r50": "image", "i3d": "motion", "mae": "image"}
    assert {name: feature.kind for name, feature in features.items()} == kinds
    assert len(stored(here, "vimoclip-store")) == 3


def test_the_page_shows_every_option_and_suffix() -> None:
    shown = text(PAGE)
    assert not {
        option for option in options("ingest") - SHARED if f"`{option}" not in shown and f" {option}" not in shown
    }
    assert set(re.findall(r"`(\.3g2[^`]*)`", shown)[0].split()) == EXTENSIONS
