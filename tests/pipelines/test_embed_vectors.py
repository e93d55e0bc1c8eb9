"""Vectors that other tools made, in a real store: matching, growing, refusing, and use as any feature's."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from pipelines import embed, features, index, ingest
from pipelines.backfill import EmbedReport
from pipelines.embed import EmbedRequest
from pipelines.export.run import run as export
from pipelines.index import IndexRequest
from pipelines.ingest import IngestRequest
from tests.cli.runner import vimoclip
from tests.pipelines.runs import ingest as ingest_tiny
from vimoclip.api import Store
from vimoclip.errors import FeatureError, SettingsError, UsageError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.verify import verify

DIM = 24
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> Path:
    """A store of ten labelled clips of ten frames, every other stored. Not to be written to."""
    store = tmp_path_factory.mktemp("ingested") / "store"
    ingest_tiny(clips, store=store, model=tiny_model, asked={"sampling": {"every": 2}})
    return store


@pytest.fixture
def store(tmp_path: Path, ingested: Path) -> Path:
    """Its copy."""
    return Path(shutil.copytree(ingested, tmp_path / "store"))


@pytest.fixture
def made(tmp_path: Path, ingested: Path) -> dict[str, np.ndarray]:
    """Ten vectors of each video, one a decoded frame, by video_id; they lie in `tmp_path/made`, a file a video."""
    found = {
        row.video_id: RNG.normal(size=(10, DIM)).astype(np.float32) for row in FeatureStore.open(ingested).live_videos()
    }
    for video_id, values in found.items():
        path = (tmp_path / "made" / video_id).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values)
    return found


def add(store: Path, path: Path | None, name: str = "mine", **more: object) -> EmbedReport:
    return embed.run(EmbedRequest(store, name, vectors=None if path is None else str(path), **more))  # type: ignore[arg-type]


def raw(store: Path, video_id: str, name: str = "mine") -> np.ndarray:
    """(T, D), NaN where there is no vector."""
    rows = FeatureStore.open(store).sequence(video_id, [name, f"{name}_norm"])
    vectors = [[np.nan] * DIM if each is None else each for each in rows[name].to_pylist()]
    found: np.ndarray = np.array(vectors, np.float64) * rows[f"{name}_norm"].fill_null(np.nan).to_numpy()[:, None]
    return found


def test_every_stored_frame_gets_the_vector_of_its_decoded_frame(
    tmp_path: Path, store: Path, made: dict[str, np.ndarray]
) -> None:
    report = add(store, tmp_path / "made")
    assert (report.embedded, report.frames, report.bare, report.unnamed, report.failed) == (10, 50, 0, 0, [])
    assert report.complete
    for video_id, values in made.items():
        assert np.abs(raw(store, video_id) - values[::2]).max() < 0.01
    feature = FeatureStore.open(store).features["mine"]
    assert (feature.kind, feature.dim, feature.training, feature.precision) == ("image", DIM, "elsewhere", "fp32")
    assert verify(store) == []
    again = add(store, None)  # from where they were read
    assert (again.known, again.embedded, again.complete) == (10, 0, True)


def test_names_of_another_folder_are_found_and_the_rest_is_reported(
    tmp_path: Path, store: Path, made: dict[str, np.ndarray]
) -> None:
    one, two, *_ = made
    folder = tmp_path / "flat"
    folder.mkdir()
    for name, values in (("nowhere", made[one]), (one.replace("/", "-"), made[one])):
        np.save(folder / f"{name}.npy", values)
    with pytest.raises(FeatureError, match="of no video of the store"):
        add(store, folder)
    rows = pl.DataFrame(
        {
            "filepath": [f"D:\\film\\{one}".replace("/", "\\")] * 10 + [two] * 3 + ["nowhere.mp4"],
            "source_frame": [*range(10), 0, 4, 8, 0],
            "vector": [*made[one].tolist(), *made[two][[0, 4, 8]].tolist(), [0.0] * DIM],
        }
    )
    rows.write_parquet(tmp_path / "v.parquet")
    report = add(store, tmp_path / "v.parquet")
    assert (report.embedded, report.bare, report.unnamed, report.unknown) == (2, 0, 8, ["nowhere.mp4"])
    assert np.abs(raw(store, one) - made[one][::2]).max() < 0.01
    assert np.abs(raw(store, two) - made[two][[0, 0, 4, 4, 8]]).max() < 0.01
    (listed,) = [row for row in features.listed(store) if row.name == "mine"]
    assert (listed.state, listed.lacking) == ("added", 8)
    assert verify(store) == []


def test_a_feature_grows_and_never_holds_vectors_of_two_kinds(
    tmp_path: Path, store: Path, made: dict[str, np.ndarray]
) -> None:
    first, *others = made
    files = {video_id: (tmp_path / "made" / video_id).with_suffix(".npy") for video_id in made}
    for video_id in others:
        files[video_id].rename(files[video_id].with_suffix(".later"))
    assert add(store, tmp_path / "made").embedded == 1
    fingerprint = FeatureStore.open(store).features["mine"].fingerprint
    for video_id in others:
        files[video_id].with_suffix(".later").rename(files[video_id])
    np.save(files[first], made[first] + 0.5)
    before = FeatureStore.open(store).versions
    with pytest.raises(FeatureError, match=r"of two kinds.*other vectors than the store has.*features drop mine"):
        add(store, tmp_path / "made")
    assert FeatureStore.open(store).versions == before
    np.save(files[first], made[first])
    report = add(store, tmp_path / "made")
    assert (report.known, report.embedded, report.unnamed) == (1, 9, 0)
    assert FeatureStore.open(store).features["mine"].fingerprint == fingerprint
    assert verify(store) == []


def test_a_video_that_cannot_be_given_its_vectors_is_named_and_the_others_are_added(
    tmp_path: Path, store: Path, made: dict[str, np.ndarray]
) -> None:
    short, wide, cut, *_ = made
    files = {video_id: (tmp_path / "made" / video_id).with_suffix(".npy") for video_id in made}
    np.save(files[short], made[short][:7])
    np.save(files[wide], np.ones((10, DIM + 1)))
    files[cut].write_bytes(files[cut].read_bytes()[:200])
    # The first file that can be read says how wide vectors are.
    report = add(store, tmp_path / "made")
    kinds = {video_id: kind for video_id, kind, _ in report.failed}
    assert kinds[cut] == "unreadable" and kinds[short] == "bad-vectors"
    assert report.complete and report.embedded + len(report.failed) == 10
    for video_id, values in made.items():
        if video_id not in kinds:
            assert np.abs(raw(store, video_id) - values[::2]).max() < 0.01


def test_they_are_not_another_feature(
    tmp_path: Path, store: Path, made: dict[str, np.ndarray], tiny_model: str
) -> None:
    with pytest.raises(FeatureError, match="column of this name"):
        add(store, tmp_path / "made", "moclip")
    embed.run(EmbedRequest(store, "other", {"model": tiny_model, "precision": "fp32"}))
    with pytest.raises(SettingsError, match="another feature of this name"):
        add(store, tmp_path / "made", "other")
    with pytest.raises(UsageError, match="Only vectors made elsewhere need a kind"):
        embed.run(EmbedRequest(store, "other", kind="motion"))
    add(store, tmp_path / "made")
    with pytest.raises(UsageError, match="of the other kind"):
        add(store, None, kind="motion")
    with pytest.raises(FeatureError, match="take no model"):
        embed.run(EmbedRequest(store, "mine", {"model": tiny_model}))


def test_two_videos_of_one_stem_are_ambiguous(tmp_path: Path, clips: Path, tiny_model: str) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip, name in zip(sorted(clips.rglob("*.mp4")), ("a.mp4", "a.m4v", "b.mp4"), strict=False):
        shutil.copy2(clip, folder / name)
    ingest_tiny(folder, store=tmp_path / "store", model=tiny_model)
    (tmp_path / "made").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / "made" / f"{name}.npy", RNG.normal(size=(10, DIM)))
    report = add(tmp_path / "store", tmp_path / "made")
    assert (report.embedded, report.unnamed, report.ambiguous) == (1, 2, ["a"])
    np.save(tmp_path / "made" / "a.m4v.npy", RNG.normal(size=(10, DIM)))
    report = add(tmp_path / "store", tmp_path / "made")
    assert (report.known, report.embedded, report.ambiguous) == (1, 1, ["a"])


def test_a_name_that_ends_like_a_tools_file_is_a_name_where_a_video_has_it(
    tmp_path: Path, clips: Path, tiny_model: str
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip, name in zip(sorted(clips.rglob("*.mp4")), ("mouse.mp4", "mouse_flow.mp4", "rat.mp4"), strict=False):
        shutil.copy2(clip, folder / name)
    ingest_tiny(folder, store=tmp_path / "store", model=tiny_model)
    (tmp_path / "made").mkdir()
    made = {name: RNG.normal(size=(10, DIM)).astype(np.float32) for name in ("mouse_flow", "rat_flow")}
    for name, values in made.items():
        np.save(tmp_path / "made" / f"{name}.npy", values)
    assert add(tmp_path / "store", tmp_path / "made").embedded == 2
    assert np.isnan(raw(tmp_path / "store", "mouse.mp4")).all()
    assert np.abs(raw(tmp_path / "store", "mouse_flow.mp4") - made["mouse_flow"]).max() < 0.01
    assert np.abs(raw(tmp_path / "store", "rat.mp4") - made["rat_flow"]).max() < 0.01


def test_a_name_of_a_copy_means_the_video(tmp_path: Path, clips: Path, tiny_model: str) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    clip = min(clips.rglob("*.mp4"))
    for name in ("first.mp4", "second.mp4"):
        shutil.copy2(clip, folder / name)
    ingest_tiny(folder, store=tmp_path / "store", model=tiny_model)
    (stored,) = FeatureStore.open(tmp_path / "store").live_videos()
    copy = {"first.mp4": "second", "second.mp4": "first"}[stored.video_id]
    (tmp_path / "made").mkdir()
    values = RNG.normal(size=(10, DIM)).astype(np.float32)
    np.save(tmp_path / "made" / f"{copy}.npy", values)
    assert add(tmp_path / "store", tmp_path / "made").embedded == 1
    assert np.abs(raw(tmp_path / "store", stored.video_id) - values).max() < 0.01


def test_later_videos_lack_them_until_they_are_added(
    tmp_path: Path, store: Path, clips: Path, made: dict[str, np.ndarray]
) -> None:
    add(store, tmp_path / "made", kind="motion")
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy2(min(clips.rglob("*.mp4")), more / "again.mp4")
    with open(more / "again.mp4", "ab") as file:
        file.write(bytes(8))  # other bytes, the same frames
    assert ingest.run(IngestRequest([more], store)).failed == []
    assert np.isnan(raw(store, "again.mp4")).all()
    np.save(tmp_path / "made" / "again.npy", RNG.normal(size=(10, DIM)))
    report = add(store, None)
    assert (report.known, report.embedded, report.unnamed) == (10, 1, 0)
    assert verify(store) == []


@pytest.mark.parametrize(("kind", "space"), [("image", "appearance"), ("motion", "motion")])
def test_they_train_search_and_export_like_any(
    tmp_path: Path, store: Path, made: dict[str, np.ndarray], kind: str, space: Literal["appearance", "motion"]
) -> None:
    gaps, *others = made
    # Of one video the tool saw only the beginning, and of another nothing.
    np.savez((tmp_path / "made" / gaps).with_suffix(".npz"), vectors=made[gaps][:3], frame=np.arange(3))
    (tmp_path / "made" / gaps).with_suffix(".npy").unlink()
    (tmp_path / "made" / others[0]).with_suffix(".npy").unlink()
    report = add(store, tmp_path / "made", kind=kind)
    assert (report.embedded, report.bare, report.unnamed) == (9, 3, 1)
    run = tmp_path / "run"
    trained = vimoclip(
        *("train-fusion", "--store", store, "--run", run, "--epochs", "2", "--device", "cpu", "--min-videos", "1"),
        *("--set", f"sequences.{kind}=mine", "--set", "tfam.width=32", "--set", "tfam.feed_forward=32"),
        *("--set", "tfam.heads=2", "--set", "tfam.layers=1"),
    )
    assert trained.exit_code == 0, trained.stderr
    opened = Store.open(store)
    predicted = opened.predict([row.video_id for row in opened.live_videos()], run)
    assert len(predicted) == 9
    ((video_id, failed),) = [(each.video_id, each.message) for each in predicted.failed]
    assert video_id == others[0] and "vimoclip embed --as mine" in failed
    index.run(IndexRequest(store, features={space: "mine"}))
    opened = Store.open(store)
    assert len(opened.search(video=others[1], by=space, top=5)) == 5
    shutil.copy2(opened.live_videos()[0].path, film := tmp_path / "film.mp4")
    with open(film, "ab") as file:
        file.write(bytes(8))  # other bytes, so not the stored one
    from_file = vimoclip("predict", film, "--run", run, "--store", store)
    assert from_file.exit_code == 1 and "made elsewhere, and only stored videos have them" in from_file.stderr
    export(store, tmp_path / "out", "npz")
    with np.load(
        next(each for each in (tmp_path / "out").rglob("*.npz") if f"{each}".endswith(f"{gaps}.npz"))
    ) as arrays:
        assert arrays["mine_present"].tolist() == [True, True, False, False, False]
    assert verify(store) == []


def test_an_export_of_one_store_is_a_feature_of_another(
    tmp_path: Path, store: Path, ingested: Path, made: dict[str, np.ndarray]
) -> None:
    add(store, tmp_path / "made")
    export(store, tmp_path / "out", "npz")
    other = Path(shutil.copytree(ingested, tmp_path / "other"))
    report = add(other, tmp_path / "out")
    assert (report.embedded, report.failed, report.unknown) == (10, [], [])
    for video_id in made:
        assert np.abs(raw(other, video_id) - raw(store, video_id)).max() < 0.01


def test_kill_9_leaves_a_feature_that_nobody_sees_and_the_same_command_finishes_it(
    tmp_path: Path, store: Path, made: dict[str, np.ndarray]
) -> None:
    script = """
import os, signal, sys
from pipelines import embed
from pipelines.embed import EmbedRequest
from vimoclip.store.features import FeatureWriter
ended = FeatureWriter.end
def killed(self, video, reduced):
    ended(self, video, reduced)
    killed.count += 1
    if killed.count == 4:
        self.flush()
        os.kill(os.getpid(), signal.SIGKILL)
killed.count = 0
FeatureWriter.end = killed
embed.run(EmbedRequest(sys.argv[1], "mine", vectors=sys.argv[2]))
"""
    command = [sys.executable, "-c", script, str(store), str(tmp_path / "made")]
    assert subprocess.run(command, check=False, env=os.environ).returncode == -signal.SIGKILL
    assert "mine" not in FeatureStore.open(store).features
    victim = next(video_id for video_id in made)
    np.save((tmp_path / "made" / victim).with_suffix(".npy"), made[victim] + 1)
    with pytest.raises((FeatureError, SettingsError)):
        add(store, tmp_path / "made")
    np.save((tmp_path / "made" / victim).with_suffix(".npy"), made[victim])
    report = add(store, tmp_path / "made")
    assert (report.known, report.embedded, report.complete) == (4, 6, True)
    for video_id, values in made.items():
        assert np.abs(raw(store, video_id) - values[::2]).max() < 0.01
    assert verify(store) == []


def test_real_clips_with_vectors_as_video_features_writes_them(
    tmp_path: Path, shared_videos: Path, tiny_model: str
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip in sorted((shared_videos / "interactions" / "clips").glob("*"))[:3]:
        shutil.copy2(clip, folder / clip.name)
    ingest_tiny(folder, store=tmp_path / "store", model=tiny_model, asked={"sampling": {"fps": 5.0}})
    (tmp_path / "made").mkdir()
    rows = FeatureStore.open(tmp_path / "store").live_videos()
    for row in rows:
        assert row.fps is not None and row.decoded_frames is not None
        stem = tmp_path / "made" / Path(row.video_id).stem
        times = np.arange(row.decoded_frames) / row.fps * 1000
        np.save(f"{stem}_clip.npy", np.stack([times + 1, np.ones_like(times)], axis=1))
        np.save(f"{stem}_timestamps_ms.npy", times)
        np.save(f"{stem}_fps.npy", np.array(row.fps))
    report = add(tmp_path / "store", tmp_path / "made")
    assert (report.embedded, report.bare, report.failed) == (3, 0, [])
    for row in rows:
        stored = FeatureStore.open(tmp_path / "store").sequence(row.video_id, ["time_s", "mine", "mine_norm"])
        first = np.array(stored["mine"].to_pylist(), np.float64)[:, 0] * stored["mine_norm"].to_numpy()
        assert row.fps is not None
        assert np.abs(first - 1 - 1000 * stored["time_s"].to_numpy()).max() < 500 / row.fps
