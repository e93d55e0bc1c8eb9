"""A second model over stored videos, and features by name, with real models and files."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from pipelines import embed, features, ingest
from pipelines.backfill import EmbedReport
from pipelines.embed import EmbedRequest
from pipelines.ingest import IngestRequest
from tests.models import write_tiny_clip
from tests.pipelines.runs import ingest as ingest_tiny
from vimoclip.config.store import ClipConfig, RunConfig, StoreConfig
from vimoclip.embedding.feature_models import ExtraFeatures
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.errors import FeatureError, ModelError, SettingsError, SourceError
from vimoclip.frames import FrameBatch, VideoJob
from vimoclip.progress import Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.verify import verify


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another tiny model."""
    return write_tiny_clip(tmp_path_factory.mktemp("other"), seed=2)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """Four clips. Not to be written to."""
    folder = tmp_path_factory.mktemp("videos")
    for n, clip in enumerate(sorted(clips.rglob("*.mp4"))[::2][:4]):
        shutil.copy2(clip, folder / f"{n}.mp4")
    return folder


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory, videos: Path, tiny_model: str) -> Path:
    """A store of them, in fp32. Not to be written to."""
    store = tmp_path_factory.mktemp("ingested") / "store"
    ingest_tiny(videos, store=store, model=tiny_model)
    return store


@pytest.fixture
def store(tmp_path: Path, ingested: Path) -> Path:
    """Its copy."""
    return Path(shutil.copytree(ingested, tmp_path / "store"))


def add(store: Path, model: str | None, name: str = "other", **more: Any) -> EmbedReport:
    asked = {} if model is None else {"model": model, "precision": "fp32"}
    return embed.run(EmbedRequest(store, name, asked | more.pop("asked", {}), **more))


def matrix(store: Path, video_id: str, name: str) -> np.ndarray:
    """(T, D) fp16, of the frames that have a vector."""
    vectors = FeatureStore.open(store).sequence(video_id, [name])[name].drop_null()
    return np.array(vectors.to_pylist(), np.float16)


def test_the_vectors_are_those_of_a_store_made_with_that_model(
    tmp_path: Path, store: Path, videos: Path, other_model: str
) -> None:
    ingest_tiny(videos, store=tmp_path / "alone", model=other_model)
    report = add(store, other_model)
    assert (report.embedded, report.frames, report.failed, report.complete) == (4, 40, [], True)
    for n in range(4):
        found, made = matrix(store, f"{n}.mp4", "other"), matrix(tmp_path / "alone", f"{n}.mp4", "clip")
        assert found.tobytes() == made.tobytes()
        assert found.tobytes() != matrix(store, f"{n}.mp4", "clip").tobytes()
    one, alone = FeatureStore.open(store), FeatureStore.open(tmp_path / "alone")
    assert one.features["other"].fingerprint == alone.features["clip"].fingerprint
    assert verify(store) == []


def test_later_videos_get_every_feature(tmp_path: Path, store: Path, videos: Path, other_model: str) -> None:
    add(store, other_model)
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy2(videos / "0.mp4", more / "again.mp4")
    with open(more / "again.mp4", "ab") as file:
        file.write(bytes(8))  # other bytes, the same frames
    report = ingest.run(IngestRequest([more], store))
    assert (report.ingested, report.failed) == (1, [])
    for name in ("clip", "moclip", "other"):
        assert matrix(store, "again.mp4", name).tobytes() == matrix(store, "0.mp4", name).tobytes()
    assert verify(store) == []


def test_a_feature_of_timm_in_channels_last_is_made_alike_ever_after(tmp_path: Path, store: Path, videos: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        torch.save(timm.create_model("test_efficientnet").state_dict(), weights := tmp_path / "w.pth")
    asked = {"weights": str(weights), "memory_format": "channels_last"}
    assert add(store, "timm:test_efficientnet", asked=asked).complete
    made = FeatureStore.open(store).features["other"]
    assert (made.dim, made.training, made.memory_format) == (256, "pretrained", "channels_last")
    with pytest.raises(SettingsError, match="preprocessing is"):
        add(store, None, asked={"memory_format": "contiguous"})
    (tmp_path / "more").mkdir()
    shutil.copy2(videos / "0.mp4", tmp_path / "more" / "again.mp4")
    with open(tmp_path / "more" / "again.mp4", "ab") as file:
        file.write(bytes(8))  # other bytes, the same frames
    assert ingest.run(IngestRequest([tmp_path / "more"], store)).failed == []
    assert matrix(store, "again.mp4", "other").tobytes() == matrix(store, "0.mp4", "other").tobytes()
    (row,) = [row for row in features.listed(store) if row.name == "other"]
    assert (row.model, row.memory_format) == ("timm:test_efficientnet", "channels_last")
    assert verify(store) == []


def test_a_feature_made_before_memory_formats_is_contiguous(store: Path, other_model: str) -> None:
    add(store, other_model)
    made = FeatureStore.open(store).features["other"]
    assert made.settings is not None and "memory_format" not in made.preprocessing
    settings = json.loads(made.settings)
    assert settings.pop("memory_format") == "contiguous"
    older = ExtraFeatures.of([replace(made, settings=json.dumps(settings))]).towers["other"]
    assert older == ExtraFeatures.of([made]).towers["other"]


class Stop(Progress):
    """Interrupts after a number of videos."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self.left -= n
        if n and self.left == 0:
            raise KeyboardInterrupt


def test_an_interruption_keeps_what_is_done_and_the_name_alone_goes_on(store: Path, other_model: str) -> None:
    asked = {"model": other_model, "precision": "fp32"}
    report = embed.run(EmbedRequest(store, "other", asked), Stop(2))
    assert (report.interrupted, report.embedded, report.left, report.complete) == (True, 2, 2, False)
    assert "other" not in FeatureStore.open(store).features
    (unfinished,) = [feature for feature in features.listed(store) if feature.state == "unfinished"]
    assert (unfinished.name, unfinished.lacking) == ("other", 2)
    report = add(store, None)
    assert (report.known, report.embedded, report.complete) == (2, 2, True)
    assert [feature.state for feature in features.listed(store)] == ["own", "own", "added"]


def test_done_is_known_without_a_model(store: Path, tmp_path: Path) -> None:
    model = write_tiny_clip(tmp_path / "model", seed=3)
    add(store, model)
    shutil.rmtree(tmp_path / "model")
    report = add(store, None)
    assert (report.known, report.embedded, report.complete) == (4, 0, True)
    report = add(store, model)
    assert (report.known, report.embedded, report.complete) == (4, 0, True)


def test_what_cannot_be_embedded_is_named_and_tried_again(
    tmp_path: Path, videos: Path, tiny_model: str, other_model: str
) -> None:
    own = tmp_path / "videos"
    shutil.copytree(videos, own)
    ingest_tiny(own, store=tmp_path / "store", model=tiny_model)
    shutil.copy2(own / "3.mp4", tmp_path / "kept.mp4")
    (own / "0.mp4").unlink()
    (own / "1.mp4").write_bytes(b"something else")
    os.utime(own / "2.mp4")  # touched, and the same
    shutil.copy2(own / "2.mp4", own / "3.mp4")
    report = add(tmp_path / "store", other_model)
    assert {video_id: kind for video_id, kind, _ in report.failed} == {
        "0.mp4": "unreadable",
        "1.mp4": "changed",
        "3.mp4": "changed",
    }
    assert (report.embedded, report.complete) == (1, True)
    assert {fault.name for fault in verify(tmp_path / "store")} == {"without-feature"}
    shutil.copy2(tmp_path / "kept.mp4", own / "3.mp4")
    report = add(tmp_path / "store", other_model)
    assert (report.known, report.embedded, len(report.failed)) == (1, 1, 2)


def test_when_nothing_can_be_embedded_there_is_nothing_to_see(
    tmp_path: Path, videos: Path, tiny_model: str, other_model: str
) -> None:
    own = tmp_path / "videos"
    shutil.copytree(videos, own)
    ingest_tiny(own, store=tmp_path / "store", model=tiny_model)
    for video in own.iterdir():
        video.unlink()
    report = add(tmp_path / "store", other_model)
    assert (len(report.failed), report.complete) == (4, False)
    assert "other" not in FeatureStore.open(tmp_path / "store").features
    own.rmdir()
    with pytest.raises(SourceError, match="folder of the videos is gone"):
        add(tmp_path / "store", other_model)


def test_a_folder_that_is_gone_does_not_keep_the_others_waiting(
    tmp_path: Path, videos: Path, tiny_model: str, other_model: str
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "again.mp4").write_bytes((videos / "0.mp4").read_bytes() + bytes(8))
    ingest_tiny(first, store=tmp_path / "store", model=tiny_model)
    ingest.run(IngestRequest([videos], tmp_path / "store"))
    first.rename(tmp_path / "away")
    with pytest.raises(SourceError, match="folder of the videos is gone"):
        add(tmp_path / "store", other_model)
    (unfinished,) = [feature for feature in features.listed(tmp_path / "store") if feature.state == "unfinished"]
    assert unfinished.lacking == 1
    (tmp_path / "away").rename(first)
    assert (report := add(tmp_path / "store", None)).complete
    assert (report.known, report.embedded) == (4, 1)


def test_a_kept_part_of_a_broken_file_and_a_sampled_store(
    tmp_path: Path, videos: Path, tiny_model: str, other_model: str
) -> None:
    own = tmp_path / "videos"
    own.mkdir()
    broken = (videos / "0.mp4").read_bytes()
    (own / "whole.mp4").write_bytes(broken)
    part = bytearray(broken)
    at = part.index(b"mdat")
    size = int.from_bytes(part[at - 4 : at], "big")
    part[at + 4 + size // 2 : at - 4 + size] = bytes(size - 8 - size // 2)
    (own / "part.mp4").write_bytes(part)
    asked = {"clip": {"model": tiny_model, "precision": "fp32"}, "sampling": {"every": 2}}
    run = RunConfig(on_corrupt="keep")
    ingest.run(IngestRequest([own], tmp_path / "store", asked, run))
    rows = {row.video_id: row for row in FeatureStore.open(tmp_path / "store").rows()}
    assert rows["whole.mp4"].frames == 5
    report = add(tmp_path / "store", other_model)
    assert (report.embedded, report.failed) == (sum(row.status == "ok" for row in rows.values()), [])
    assert matrix(tmp_path / "store", "whole.mp4", "other").shape == (5, 16)


def test_two_towers_that_share_their_input_and_one_that_does_not(tmp_path: Path, videos: Path, tiny_model: str) -> None:
    config = StoreConfig(clip=ClipConfig(tiny_model, precision="fp32"))
    towers = {
        "same": ClipConfig(tiny_model, precision="fp32"),
        "crop": ClipConfig(tiny_model, precision="fp32", resize="crop"),
    }
    worker = EmbedWorker(config, RunConfig(), ExtraFeatures(towers))
    assert [feature.name for feature in worker.features] == ["clip", "moclip", "same", "crop"]
    assert [feature.added for feature in worker.features] == [False, False, True, True]
    made = [x for x in worker.embed([VideoJob("0", str(videos / "0.mp4"))]) if isinstance(x, FrameBatch)]
    for part in made:
        assert part.features["same"].values.tobytes() == part.features["clip"].values.tobytes()
        assert part.features["crop"].values.tobytes() != part.features["clip"].values.tobytes()


def test_names_are_settled_before_a_model_is_loaded(store: Path) -> None:
    for name in ("clip", "moclip_norm", "No"):
        with pytest.raises(FeatureError):
            add(store, "no-such-model", name)
    with pytest.raises(FeatureError, match="no model was named"):
        add(store, None)


def test_another_model_under_the_name_is_refused(store: Path, other_model: str, tiny_model: str) -> None:
    add(store, other_model)
    with pytest.raises(SettingsError, match="weights_sha256"):
        add(store, tiny_model)
    with pytest.raises(SettingsError, match="preprocessing"):
        add(store, None, asked={"resize": "crop"})


def test_other_weights_are_of_the_same_model(store: Path, other_model: str) -> None:
    add(store, other_model)
    with pytest.raises(SettingsError) as caught:
        add(store, None, asked={"weights": "none"})
    assert "weights is 'own' in the store and 'none' here" in str(caught.value)
    assert "model is" not in str(caught.value)


def test_a_model_that_is_gone_is_named_and_can_be_found_again(tmp_path: Path, store: Path, videos: Path) -> None:
    add(store, write_tiny_clip(tmp_path / "here", seed=2))
    (tmp_path / "here").rename(tmp_path / "there")
    more = tmp_path / "more"
    more.mkdir()
    (more / "again.mp4").write_bytes((videos / "0.mp4").read_bytes() + bytes(8))
    with pytest.raises(ModelError, match=r"The store's feature other cannot.*here.*`vimoclip embed --as other --model"):
        ingest.run(IngestRequest([more], store))
    assert add(store, f"local-dir:{tmp_path / 'there'}").known == 4
    assert ingest.run(IngestRequest([more], store)).ingested == 1
    assert matrix(store, "again.mp4", "other").tobytes() == matrix(store, "0.mp4", "other").tobytes()


def test_rename_and_drop(store: Path, other_model: str) -> None:
    add(store, other_model)
    before = matrix(store, "0.mp4", "other")
    features.rename(store, "other", "second")
    assert [feature.name for feature in features.listed(store)] == ["clip", "moclip", "second"]
    assert matrix(store, "0.mp4", "second").tobytes() == before.tobytes()
    assert verify(store) == []
    assert add(store, None, "second").known == 4  # it is the same feature
    for old, new in (("other", "x"), ("second", "clip"), ("clip", "x"), ("second", "second")):
        with pytest.raises(FeatureError):
            features.rename(store, old, new)
    features.drop(store, "second")
    assert [feature.name for feature in features.listed(store)] == ["clip", "moclip"]
    assert "second" not in FeatureStore.open(store).frames().column_names
    assert verify(store) == []
    for name in ("second", "clip"):
        with pytest.raises(FeatureError):
            features.drop(store, name)


def test_a_reader_that_opened_before_keeps_what_it_opened(store: Path, other_model: str) -> None:
    add(store, other_model)
    reader = FeatureStore.open(store)
    before = reader.frames()
    features.rename(store, "other", "second")
    features.drop(store, "second")
    assert reader.frames().equals(before)
