"""Training the student on a real store of a tiny model: runs that go on, what they leave, and what is refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import train_fusion, train_motion
from pipelines.run_folder import RUN
from pipelines.train_fusion import TrainFusionRequest
from pipelines.train_motion import TrainMotionReport, TrainMotionRequest
from schemas.labels import Label
from tests.models import write_tiny_clip
from tests.pipelines.runs import ingest
from tests.pipelines.test_train_fusion import StopsAfter
from tests.vimoclip.training.test_loop import timeless
from vimoclip.config.fusion import FusionConfig, TfamConfig, TrainingConfig
from vimoclip.config.motion import DEFAULT_TRAINING, MotionConfig
from vimoclip.config.store import RunConfig
from vimoclip.errors import CheckpointError, ModelError, RunError, SettingsError, UnknownColumnError
from vimoclip.models.motion_student import MOCLIP, MoClip, read_student
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.loop import METRICS, STATE
from vimoclip.training.splits import SplitRequest

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = MotionConfig(
    segment=5,
    hidden=8,
    training=replace(DEFAULT_TRAINING, epochs=3, batch_size=4, lr=1e-3, precision="fp32"),
)
ONE = RunConfig(threads=1, device="cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> Path:
    """Ten clips of ten frames, in fp32. Not to be written to."""
    where = tmp_path_factory.mktemp("train-motion") / "store"
    ingest(clips, store=where, model=tiny_model)
    return where


def train(store: Path, folder: Path, progress: Progress = NO_PROGRESS, **more: Any) -> TrainMotionReport:
    request = TrainMotionRequest(store, more.pop("config", CONFIG), folder, run=ONE, **more)
    return train_motion.run(request, progress)


@pytest.fixture(scope="module")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> TrainMotionReport:
    """A run that was not broken off."""
    return train(store, tmp_path_factory.mktemp("whole") / "run")


def test_a_run_is_a_folder_with_all_that_serving_needs(store: Path, whole: TrainMotionReport) -> None:
    names = sorted(path.name for path in whole.folder.iterdir() if "tfevents" not in path.name)
    assert names == ["meta.json", METRICS, "model.safetensors", RUN]
    assert whole.epochs == 3 and sum(found.videos for found in whole.segments.values()) == 10
    assert all(found.segments == 2 * found.videos for found in whole.segments.values())
    assert {"videos", "micro", "macro", "macro_classes", "cosine"} <= whole.records[-1]["held_out"].keys()
    one_each = "every video shows exactly one behaviour"
    assert whole.loss == f"Loss: binary cross-entropy, the only one there is; {one_each}."
    assert json.loads((whole.folder / RUN).read_text())["loss"] == whole.loss
    student = read_student(whole.folder)
    opened = FeatureStore.open(store)
    meta = student.meta
    assert meta.config == CONFIG and meta.versions == opened.versions and meta.metrics == whole.records[-1]
    assert meta.teacher.fingerprint == opened.features["clip"].fingerprint
    assert len(meta.classes) == whole.classes and sum(meta.counts) == whole.segments["train"].videos
    assert meta.taught is not None and len(meta.taught) == whole.segments["train"].videos
    assert set(meta.taught) < {row.content_hash for row in opened.live_videos()}
    teacher = train_motion.teacher_of(opened, ONE)
    expected = MoClip.of(teacher, whole.classes, 0.1, 8).state_dict()
    assert student.state.keys() == expected.keys()
    moved = [name for name, tensor in student.state.items() if not torch.equal(tensor, expected[name])]
    assert any(name.startswith("tower.") for name in moved) and any(name.startswith("h.") for name in moved)
    body = json.loads((whole.folder / "meta.json").read_text())
    assert body["format"] == MOCLIP.format == "vimoclip-moclip" and body["config"]["encoding"] == "uvm"


def test_the_same_command_goes_on_and_gives_what_an_unbroken_run_does(
    store: Path, whole: TrainMotionReport, tmp_path: Path
) -> None:
    broken = train(store, tmp_path / "run", StopsAfter(1))
    assert broken.interrupted and broken.epochs == 1 and (tmp_path / "run" / STATE).exists()
    report = train(store, tmp_path / "run")
    assert timeless(report.records) == timeless(whole.records) and report.epochs == 2
    one, other = (read_student(folder).state for folder in (whole.folder, tmp_path / "run"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert train(store, tmp_path / "run").known


def test_a_run_that_is_killed_within_an_epoch_goes_on(store: Path, whole: TrainMotionReport, tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import vimoclip.training.loop
from tests.pipelines import test_train_motion as tests
defaults = list(vimoclip.training.loop.Training.__init__.__defaults__)
defaults[defaults.index(vimoclip.training.loop.SAVE_EVERY_S)] = 0.0
vimoclip.training.loop.Training.__init__.__defaults__ = tuple(defaults)

class Killed(tests.Progress):
    left = 6
    def advance(self, n=1, note=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

tests.train(Path(sys.argv[1]), Path(sys.argv[2]), Killed())
"""
    root = Path(__file__).resolve().parents[2]
    arguments = [sys.executable, "-c", program, str(store), str(tmp_path / "run")]
    assert subprocess.run(arguments, cwd=root, check=False, timeout=120).returncode == -9
    state = torch.load(tmp_path / "run" / STATE, weights_only=True)
    assert state["epoch"]["steps"] > 0
    report = train(store, tmp_path / "run")
    assert timeless(report.records) == timeless(whole.records)
    one, other = (read_student(folder).state for folder in (whole.folder, tmp_path / "run"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_best_epoch_is_kept_beside_the_last(store: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(store, tmp_path / "store"))
    with writer_lock(FeatureStore.open(own).place):  # two labels that every part shows
        writer = StoreWriter(FeatureStore.open(own))
        ids = sorted(row.video_id for row in FeatureStore.open(own).rows())
        writer.set_labels([Label(video_id=each, label=label, source="t") for each in ids for label in "ab"], ids, "t")
        writer.flush()
    config, split = replace(CONFIG, select_on=0.3), SplitRequest(min_videos=2)
    report = train(own, tmp_path / "run", config=config, split=split)
    assert report.classes == 2
    by_epoch = [record["select"]["micro"] for record in report.records]
    assert report.selected == 1 + by_epoch.index(max(by_epoch))
    assert read_student(tmp_path / "run" / "selected").meta.metrics["epoch"] == report.selected
    assert read_student(tmp_path / "run").meta.metrics["epoch"] == 3


def test_what_cannot_be_trained_on_is_refused(store: Path, tmp_path: Path, clips: Path, tiny_model: str) -> None:
    few = tmp_path / "few"
    for n, clip in enumerate(sorted(clips.rglob("*.mp4"))[:4]):
        (few / "ab"[n % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy2(clip, few / "ab"[n % 2] / f"{n}.mp4")
    ingest(few, store=tmp_path / "unlabelled", model=tiny_model)
    with pytest.raises(RunError, match=r"No video has a label.*`vimoclip label FILE`"):
        train(tmp_path / "unlabelled", tmp_path / "run", split=SplitRequest(share=0.5))
    ingest(few, store=tmp_path / "flowless", model=tiny_model, asked={"keep_flow": False}, label_folders=True)
    with pytest.raises(RunError, match="keeps no flow"):
        train(tmp_path / "flowless", tmp_path / "run", split=SplitRequest(share=0.3))
    with pytest.raises(UnknownColumnError, match="no feature to take image from"):
        train(store, tmp_path / "run", config=replace(CONFIG, image="siglip"))
    assert not (tmp_path / "run").exists()


def test_another_teacher_is_refused(tmp_path: Path, clips: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for n, clip in enumerate(sorted(clips.rglob("*.mp4"))[:4]):
        shutil.copy2(clip, few / f"{n}.mp4")
    (few / "labels.csv").write_text("filepath,label\n" + "".join(f"{n}.mp4,{'ab'[n % 2]}\n" for n in range(4)))
    model = write_tiny_clip(tmp_path / "model", seed=5)
    ingest(few, store=tmp_path / "store", model=model)
    write_tiny_clip(tmp_path / "model", seed=6)
    with pytest.raises(SettingsError, match="another teacher than the store was made with"):
        train(tmp_path / "store", tmp_path / "run", split=SplitRequest(share=0.5))
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(ModelError, match="cannot be"):
        train(tmp_path / "store", tmp_path / "run", split=SplitRequest(share=0.5))


def test_a_run_of_something_else_is_refused(store: Path, whole: TrainMotionReport, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="finished run with other settings"):
        train(store, whole.folder, config=replace(CONFIG, alpha=0.2))
    train(store, tmp_path / "run", StopsAfter(1))
    with pytest.raises(RunError, match=r"Received: config\.alpha 0\.2\. Expected: config\.alpha 0\.1"):
        train(store, tmp_path / "run", config=replace(CONFIG, alpha=0.2))
    with pytest.raises(CheckpointError, match=r"meta.json cannot be read.*a finished run of `vimoclip train-motion`"):
        read_student(tmp_path / "run")
    tiny = TfamConfig(layers=1, width=8, heads=2, feed_forward=8, hidden=4)
    fusion = FusionConfig(tfam=tiny, training=TrainingConfig(epochs=1, precision="fp32"))
    train_fusion.run(TrainFusionRequest(store, fusion, tmp_path / "fusion", run=ONE))
    with pytest.raises(CheckpointError, match=r"holds no motion student. Received: format vimoclip-tfam"):
        read_student(tmp_path / "fusion")


def test_a_damaged_student_is_refused(whole: TrainMotionReport, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / "run"))
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"is not the file that meta\.json was written for"):
        read_student(folder)
