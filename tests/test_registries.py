"""What is added as one file and one row is used as what was there before is."""

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from pipelines import evaluate, train_fusion
from pipelines.evaluate import EvaluateRequest
from pipelines.train_fusion import TrainFusionRequest
from tests.clips import render
from tests.pipelines.runs import ingest
from tests.vimoclip.made_up_runs import CONFIG, ONE, labelled
from vimoclip.api import Store
from vimoclip.config.fusion import HEADS, Fusion, FusionConfig, Head
from vimoclip.config.store import ESTIMATORS, Estimator, FlowConfig
from vimoclip.errors import ConfigError, UsageError
from vimoclip.flow import make_estimator, resolve
from vimoclip.models.backbones import BACKBONES, backbone_of
from vimoclip.models.checkpoint import META, read_checkpoint
from vimoclip.models.heads import FusionHead
from vimoclip.training.splits import SplitRequest
from vimoclip.video.encode import write_clip

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

ESTIMATOR = '''
import numpy as np

from vimoclip.flow.estimator import FlowEstimator


class Rightwards(FlowEstimator[np.ndarray]):
    """All moves two pixels to the right."""

    def __init__(self, max_width):
        self.max_width = max_width

    def prepare(self, frame):
        return frame

    def flow(self, previous, current):
        return np.full((*previous.shape[:2], 2), (2, 0), np.float32)
'''

HEAD = '''
import torch
from torch import nn

from vimoclip.models.heads import FusionHead, scale_layer


class MeanHead(FusionHead):
    """A linear layer on the mean of each sequence."""

    def __init__(self, dims, classes):
        super().__init__(dims, classes, sum(dims.values()))
        self.last = nn.Linear(self.width, classes)

    def pooled(self, vectors, present):
        masks = {role: present[role][..., None] for role in self.dims}
        sums = (vectors[role].float().masked_fill(~mask, 0).sum(1) for role, mask in masks.items())
        return torch.cat([z / mask.sum(1).clamp(min=1) for z, mask in zip(sums, masks.values())], dim=1)

    def forward(self, vectors, present):
        return self.last(self.pooled(vectors, present)).float()

    def calibrate(self, scale, bias):
        scale_layer(self.last, scale, bias)


def build(config, dims, classes):
    return MeanHead(dims, classes)
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a module can be put that is imported as `added.<its name>`."""
    folder = tmp_path / "path" / "added"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder.parent)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "added"]:
        del sys.modules[name]


def test_every_row_names_what_is_there() -> None:
    for estimator in ESTIMATORS.values():
        assert callable(getattr(importlib.import_module(estimator.module), estimator.name))
    for head in HEADS.values():
        assert callable(importlib.import_module(head.module).build)
    for backbone in BACKBONES.values():
        assert callable(getattr(importlib.import_module(backbone.module), backbone.name))
    assert set(get_args(Fusion)) <= set(HEADS)


def test_a_flow_estimator_is_a_file_and_a_row(
    package: Path, tmp_path: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "rightwards.py").write_text(ESTIMATOR)
    with pytest.raises(ConfigError, match="estimator has a value it cannot have"):
        FlowConfig("rightwards")
    monkeypatch.setitem(ESTIMATORS, "rightwards", Estimator("added.rightwards", "Rightwards"))
    with pytest.raises(UsageError, match="flow of rightwards is not computed by a network"):
        FlowConfig("rightwards", weights="none")
    config = resolve(FlowConfig("rightwards", max_width=320), CPU)
    made = make_estimator(config, CPU, "fp32")
    frame = made.prepare(np.zeros((48, 64, 3), np.uint8))
    assert (made.max_width, made.flow(frame, frame)[7, 9].tolist()) == (320, [2, 0])  # type: ignore[attr-defined]

    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "a.mp4", render("drifting", 1, 4, (64, 48)), 25.0)
    report = ingest(
        tmp_path / "videos", store=tmp_path / "store", model=tiny_model, asked={"flow": {"estimator": "rightwards"}}
    )
    store = Store.open(tmp_path / "store")
    assert store.config.flow.estimator == "rightwards" and not report.failed
    speed = store.sequence("a.mp4")["flow_speed"].to_pylist()
    assert speed[1:] == pytest.approx([2 / 64 * 25] * 3, rel=0.05)  # frame widths a second


def test_a_head_is_a_file_and_a_row(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "mean_head.py").write_text(HEAD)
    with pytest.raises(ConfigError, match="head has a value it cannot have"):
        CONFIG.with_head("mean")
    monkeypatch.setitem(HEADS, "mean", Head("linear, of means", ("image", "motion"), "added.mean_head"))
    store = labelled(tmp_path)
    config = replace(CONFIG.with_head("mean"), training=replace(CONFIG.training, epochs=1))
    assert config.head_name == "mean" and FusionConfig.from_dict(config.to_dict()) == config
    assert (
        config.with_head("temporal").to_dict()
        == replace(CONFIG, tfam=replace(CONFIG.tfam, fusion="temporal"), training=config.training).to_dict()
    )

    place, run = str(store.place), tmp_path / "run"
    trained = train_fusion.run(TrainFusionRequest(place, config, run, split=SplitRequest(share=0.3), run=ONE))
    assert json.loads((run / META).read_text())["config"]["head"] == "mean"
    model, meta = read_checkpoint(run)
    assert isinstance(model, FusionHead) and type(model).__name__ == "MeanHead" and meta.config.head_name == "mean"
    assert list(meta.features) == ["image", "motion"] and len(trained.records) == 1
    assert evaluate.run(EvaluateRequest(place, run, run=ONE)).epoch == 1
    (found,) = store.predict(["long.mp4"], run, settings=ONE)
    assert np.isfinite(found.window_probabilities).all()


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("vimoclip-tiny", "vimoclip-tiny"),
        ("local-dir:/a/folder", "local-dir:"),
        ("hf-hub:org/name", "hf-hub:"),
        ("timm:convnext_base", "timm:"),
        ("ViT-B-16", ""),
        ("vimoclip-tiny:no", ""),
    ],
)
def test_the_name_of_a_model_says_what_it_is(model: str, row: str) -> None:
    assert backbone_of(model) is BACKBONES[row]
