"""Heads of closed form through all that a run goes through: splits, calibration, resuming, evaluation, prediction."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import ablate, index
from pipelines.ablate import AblateRequest
from pipelines.index import IndexRequest
from pipelines.train_fusion import TrainFusionRequest
from schemas.labels import Label
from tests.pipelines.test_train_fusion import CONFIG, StopsAfter, labelled, measure, timeless, train
from tests.vimoclip.made_up_runs import ONE
from tests.vimoclip.stores import make_store
from vimoclip.api import Store
from vimoclip.config.fusion import ClosedFormConfig
from vimoclip.models.checkpoint import read_checkpoint
from vimoclip.models.heads.closed_form import PENALTIES
from vimoclip.progress import Progress
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.loop import STATE

pytestmark = pytest.mark.usefixtures("one_thread")

HEADS = ("linear", "prototype")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 videos, some of which show two behaviours."""
    folder = tmp_path_factory.mktemp("several")
    videos = {f"{n}.mp4": 2 + n % 9 for n in range(40)}
    made = make_store(folder / "store", videos)
    with writer_lock(made.place):
        writer = StoreWriter(made)
        labels = [
            Label(video_id=f"{n}.mp4", label=each, source="t")
            for n in range(40)
            for each in ("a", "b", "ab", "c")[n % 4]
        ]
        writer.set_labels(labels, videos, "t")
        writer.flush()
    return folder / "store"


@pytest.mark.parametrize("head", HEADS)
def test_a_run_of_one_step(store: Path, tmp_path: Path, head: str) -> None:
    config = replace(CONFIG.with_head(head), select_on=0.2)
    assert train(store, tmp_path / "run", StopsAfter(1), config=config).interrupted
    assert (tmp_path / "run" / STATE).exists()
    report = train(store, tmp_path / "run", config=config)
    assert (report.epochs, report.selected) == (0, 1) and report.loss.startswith("Fitted in one step")
    (record,) = report.records
    assert "lr" not in record and record["fitted"]["penalty"] in PENALTIES
    assert record["loss"] == pytest.approx(record["fitted"]["error"])
    whole = train(store, tmp_path / "whole", config=config)
    assert timeless(whole.records) == timeless(report.records) and whole.epochs == 1
    models = [read_checkpoint(tmp_path / name)[0].state_dict() for name in ("run", "whole", "run/selected")]
    assert all(torch.equal(models[0][name], other[name]) for other in models[1:] for name in models[0])
    assert train(store, tmp_path / "run", config=config).known
    found = measure(store, tmp_path / "run", split="val")
    assert found.metrics.micro == record["held_out"]["micro"] and found.selected is not None
    other = replace(config, closed_form=ClosedFormConfig(thirds=False))
    assert train(store, tmp_path / "other", config=other).records[0]["loss"] != record["loss"]


@pytest.mark.parametrize("head", HEADS)
def test_it_is_calibrated_on_videos_that_it_was_not_fitted_on(several: Path, tmp_path: Path, head: str) -> None:
    stages: list[str] = []

    class Stages(Progress):
        def stage(self, name: str, total: int | None = None) -> None:
            stages.append(name)

    report = train(several, tmp_path / "run", Stages(), config=CONFIG.with_head(head))
    assert report.calibrated_on == "the training videos, each scored by a model that was not trained on it"
    assert len([name for name in stages if name.startswith("calibrating, model")]) == 10
    assert "show several behaviours" in report.loss and not (tmp_path / "run" / "folds").exists()
    calibration = measure(several, tmp_path / "run").metrics.calibration
    assert calibration is not None and calibration < 0.25


@pytest.mark.parametrize("head", HEADS)
def test_it_serves_clips_windows_and_the_behaviour_space(several: Path, tmp_path: Path, head: str) -> None:
    clips = replace(CONFIG.with_head(head), sequences=replace(CONFIG.sequences, window_s=0.2))
    assert train(several, tmp_path / "clips", config=clips).records[0]["held_out"]["stretches"] is not None
    run = tmp_path / "run"
    train(several, run, config=CONFIG.with_head(head))
    made = Store.open(several)
    (found,) = made.predict(["8.mp4"], run, settings=ONE)
    assert np.isfinite(found.window_probabilities).all()
    index.run(IndexRequest(made.place, behaviour=run))
    model, _ = read_checkpoint(run)
    kept = Store.open(several)
    assert kept.tables["segments"].schema.field("behaviour").type.list_size == model.width


def test_an_ablation_compares_it_with_tfam(store: Path, tmp_path: Path) -> None:
    base = TrainFusionRequest(
        store, replace(CONFIG, training=replace(CONFIG.training, epochs=1)), tmp_path / "a", run=ONE
    )
    report = ablate.run_all(AblateRequest(base, rows=("cross", "linear", "prototype"), seeds=2))
    assert [row.paper for row in report.rows] == [77.09, None, None]
    for row in report.rows[1:]:
        first, second = row.last["micro"]
        assert first == second  # nothing is drawn
    kept = json.loads((tmp_path / "a" / "linear-50" / "meta.json").read_text())["config"]
    assert (kept["head"], kept["training"]["seed"], kept["training"]["epochs"]) == ("linear", 50, 1)
