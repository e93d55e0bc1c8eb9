"""`make demo`, short: rendered clips through the real model into a store that says of them what was rendered."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pipelines import demo
from vimoclip import open_store
from vimoclip.arrays import vectors
from vimoclip.savannah import BEHAVIOURS, plan
from vimoclip.store import FeatureStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a demo of a clip of each behaviour leaves."""
    made = tmp_path_factory.mktemp("demo")
    assert demo.main(made, clips=len(BEHAVIOURS)) == 0
    return made


@pytest.fixture(scope="module")
def store(folder: Path) -> FeatureStore:
    return open_store(folder / "store")


def test_the_store_holds_what_was_rendered(store: FeatureStore) -> None:
    scenes = {f"{scene.name}.mp4": scene for scene in plan(len(BEHAVIOURS))}
    videos = {row["video_id"]: row for row in store.videos().to_dicts()}
    assert videos.keys() == scenes.keys()
    for video_id, scene in scenes.items():
        row = videos[video_id]
        assert (row["frames"], row["split"], row["habitat"]) == (scene.frames_count, scene.split, scene.habitat)
        spans = store.labels().filter(pl.col("video_id") == video_id).select("label", "start_s", "end_s").rows()
        expected = [(span.label, span.start_s, span.end_s) for span in scene.spans]
        assert [label for label, *_ in sorted(spans)] == [label for label, *_ in sorted(expected)]
        np.testing.assert_allclose([s[1:] for s in sorted(spans)], [s[1:] for s in sorted(expected)], atol=1e-5)
    assert {name: feature.model for name, feature in store.features.items()} == {
        "clip": "vimoclip-tiny", "moclip": "vimoclip-tiny",
    }  # fmt: skip


def test_frames_of_one_habitat_are_alike(store: FeatureStore) -> None:
    habitats = dict(store.videos().select("video_id", "habitat").iter_rows())
    means = np.stack([vectors(store.sequence(name, ["clip"])["clip"]).mean(0, np.float64) for name in habitats])
    cosine = means @ means.T / np.outer(*[np.linalg.norm(means, axis=1)] * 2)
    names = np.array(list(habitats.values()))
    same = (names[:, None] == names) & ~np.eye(len(names), dtype=bool)
    assert cosine[same].mean() > cosine[names[:, None] != names].mean() + 0.1


def test_every_behaviour_has_its_strip(folder: Path, store: FeatureStore) -> None:
    strips = list(demo.strips(store))
    assert [strip.title for strip in strips] == sorted(set(store.labels()["label"]))
    assert set(BEHAVIOURS) == {strip.title for strip in strips}
    assert all(len(strip.frames) == demo.FRAMES for strip in strips)
    with Image.open(folder / "contact-sheet.png") as sheet:
        assert sheet.height > len(strips) // 2 * 100


def test_a_second_run_goes_on_from_what_is_there(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.main(folder, clips=len(BEHAVIOURS)) == 0
    said = "".join(capfd.readouterr())
    assert "Rendering" not in said and f"{len(BEHAVIOURS)} known" in said
