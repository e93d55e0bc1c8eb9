"""`train-motion` and `embed --motion` as typed: settings, what is printed, and exit codes."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.runner import document, vimoclip
from tests.pipelines.runs import ingest
from vimoclip.config.motion import PRESETS, motion_settings

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = [
    "--epochs",
    "1",
    "--threads",
    "1",
    "--set",
    "segment=5",
    "--set",
    "hidden=4",
    "--set",
    "training.precision=fp32",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> Path:
    where = tmp_path_factory.mktemp("made") / "store"
    ingest(clips, store=where, model=tiny_model)
    return where


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a store of the default's name."""
    shutil.copytree(made, tmp_path / "vimoclip-store")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_and_embed(place: Path) -> None:
    result = vimoclip("train-motion", *SMALL, "--run", "run", "--encoding", "wheel")
    assert result.exit_code == 0
    assert "epoch 1: loss" in result.stderr and "cosine to the image" in result.stderr
    assert "Next: vimoclip embed --motion run --as moclip_trained" in result.stderr
    again = document("train-motion", *SMALL, "--run", "run", "--encoding", "wheel", "--json")
    assert again["known"] and again["epochs"] == 0
    config = json.loads((place / "run" / "meta.json").read_text())["config"]
    expected = motion_settings("default", {"encoding": "wheel", "segment": 5, "hidden": 4, "training": {"epochs": 1}})
    assert config == expected.changed({"training": {"precision": "fp32"}}).to_dict()
    beside = vimoclip("embed", "--motion", "run", "--as", "moclip_trained", "--threads", "1")
    assert beside.exit_code == 0 and "moclip_trained in" in beside.stderr
    assert document("embed", "--motion", "run", "--threads", "1", "--json")["complete"]
    listed = {feature["name"]: feature for feature in document("features", "--json")}
    assert listed["moclip"]["training"] == listed["moclip_trained"]["training"] == "trained"
    assert vimoclip("verify").exit_code == 0


def test_what_contradicts_itself_is_refused(place: Path) -> None:
    assert vimoclip("embed").exit_code == 2
    refused = vimoclip("embed", "--motion", "run", "--model", "ViT-B-16")
    assert refused.exit_code == 2 and "--model" in refused.stderr
    nothing = vimoclip("embed", "--motion", "run")
    assert nothing.exit_code == 1 and "finished run of `vimoclip train-motion`" in nothing.stderr
    Path("mbh").mkdir()  # as a run may be called
    either = vimoclip("embed", "--motion", "mbh", "--as", "beside")
    assert either.exit_code == 2 and "./mbh" in either.stderr
    assert vimoclip("embed", "--motion", "./mbh", "--as", "beside").exit_code == 1  # which holds no run
    wrong = vimoclip("train-motion", "--set", "flip=2")
    assert wrong.exit_code == 1 and "flip is a share" in wrong.stderr


def test_the_paper_s_preset_is_the_paper() -> None:
    paper = PRESETS["paper"]
    training = paper.training
    assert (training.lr, training.lr_end, training.warmup, training.weight_decay) == (1e-3, 1e-3, 0, 0)
    assert (training.epochs, training.batch_size, paper.segment) == (10, 32, 30)
    assert (paper.alpha, paper.positive_weight, paper.flip, paper.layer_decay) == (0.1, 10, 0, 1)
