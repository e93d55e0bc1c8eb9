"""Two processes that train together, by gloo on the CPU, give what one does with the same batches."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.train_motion import GroupMember, TrainMotionRequest, train_in_group
from tests.pipelines.runs import ingest
from tests.pipelines.test_train_motion import CONFIG, ONE, train
from vimoclip.models.motion_student import read_student

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("one_thread")]


def test_two_processes_train_as_one(tmp_path: Path, clips: Path, tiny_model: str) -> None:
    ingest(clips, store=tmp_path / "store", model=tiny_model)
    config = replace(CONFIG, training=replace(CONFIG.training, batch_size=3, epochs=2))  # the last batch is of one
    alone = train(tmp_path / "store", tmp_path / "alone", config=config)
    request = TrainMotionRequest(tmp_path / "store", config, tmp_path / "run", run=ONE)
    peers = [GroupMember(request, rank, 2, tmp_path / "meeting") for rank in range(2)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        first, second = pool.map(train_in_group, peers)
    assert [record["loss"] for record in first.records] == [record["loss"] for record in second.records]
    for own, other in zip(first.records, alone.records, strict=True):
        assert own["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert own["held_out"]["cosine"] == pytest.approx(other["held_out"]["cosine"], abs=1e-4)
    one, two = (read_student(folder).state for folder in (tmp_path / "alone", tmp_path / "run"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)
