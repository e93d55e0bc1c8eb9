"""Processes that train together on clusters: where they run, how much memory each may take, and what ends them all.

The clusters say that they have GPUs; the processes say where they were put, and do not use them.
"""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from pipelines import ray_cluster, train_motion
from pipelines.executor import Engine
from pipelines.ray_cluster import RayRuns
from pipelines.train_motion import GroupMember, TrainMotionReport, TrainMotionRequest, run_distributed
from tests.clusters import cluster
from tests.pipelines.runs import ingest
from tests.pipelines.test_train_motion import CONFIG, ONE
from vimoclip.config.store import RunConfig
from vimoclip.errors import ConfigError, DivergedError, UsageError, VimoclipError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes note where they were put, in the place of training: node and GPUs, and the device they are to use."""

    def note(member: GroupMember) -> TrainMotionReport:
        import ray

        time.sleep(1)  # so that all of them run at once
        folder = member.request.folder
        assert folder is not None
        where: dict[str, Any] = {
            "node": ray.get_runtime_context().get_node_id(),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        }
        where |= {"device": member.request.run.device, "world": member.world}
        (folder / f"{member.rank}.json").write_text(json.dumps(where))
        return TrainMotionReport(folder)

    monkeypatch.setattr(train_motion, "train_in_group", note)


def places(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("[0-9].json"))]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> Path:
    where = tmp_path_factory.mktemp("group") / "store"
    ingest(clips, store=where, model=tiny_model)
    return where


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize("workers", [0, 2])
def test_each_process_has_a_gpu_of_the_cluster_whose_head_has_none(store: Path, tmp_path: Path, workers: int) -> None:
    request = TrainMotionRequest(store, CONFIG, tmp_path / "run", run=RunConfig(threads=1))
    with cluster(num_cpus=1, num_gpus=0) as made:
        for _ in range(2):
            made.add_node(num_cpus=1, num_gpus=2)
        run_distributed(request, Engine("ray", workers, str(made.address)))
    found = places(tmp_path / "run")
    assert [each["world"] for each in found] == [workers or 4] * (workers or 4)
    assert len({(each["node"], each["gpus"]) for each in found}) == (workers or 4)  # none shares its GPU
    assert {each["gpus"] for each in found} <= {"0", "1"} and {each["device"] for each in found} == {"cuda"}


@pytest.mark.usefixtures("placed")
def test_a_cluster_without_gpus_needs_a_number_of_processes(store: Path, tmp_path: Path) -> None:
    request = TrainMotionRequest(store, CONFIG, tmp_path / "run")
    with cluster(num_cpus=2, num_gpus=0) as made:
        with pytest.raises(UsageError, match="no GPU to train on"):
            run_distributed(request, Engine("ray", 0, str(made.address)))
        with pytest.raises(ConfigError, match="no room for that many workers"):
            run_distributed(request, Engine("ray", 3, str(made.address)))
        run_distributed(request, Engine("ray", 2, str(made.address)))
    assert [each["device"] for each in places(tmp_path / "run")] == ["cpu", "cpu"]


def test_a_dead_process_ends_all_of_them_and_is_not_tried_again(tmp_path: Path) -> None:
    def work(rank: int) -> int:
        (tmp_path / f"{rank}-{os.getpid()}").touch()
        if rank == 1:
            os._exit(1)
        time.sleep(600)
        return rank

    with cluster(num_cpus=2, num_gpus=0) as made, RayRuns(str(made.address), 1, "cpu", on_cpus=2) as runs:
        began = time.monotonic()
        with pytest.raises(VimoclipError, match=r"has died, and the others were ended.*process 1 of 2.*same command"):
            runs.group(work, [0, 1])
        assert time.monotonic() - began < 60
        started = sorted(path.name.partition("-") for path in tmp_path.iterdir())
        assert [rank for rank, _, _ in started] == ["0", "1"]  # each once
        other = int(started[0][2])
        until = time.monotonic() + 30
        while psutil.pid_exists(other) and psutil.Process(other).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until, "the other process still runs"
            time.sleep(0.2)


def test_an_error_of_one_is_told_and_not_what_the_others_say_of_it() -> None:
    def work(rank: int) -> int:
        if rank == 0:
            raise RuntimeError("Connection closed by peer")
        time.sleep(1)
        raise DivergedError("The loss, or its gradient, is not finite.")

    with cluster(num_cpus=2, num_gpus=0) as made, RayRuns(str(made.address), 1, "cpu", on_cpus=2) as runs:
        with pytest.raises(DivergedError, match="not finite"):
            runs.group(work, [0, 1])
        assert runs.group(lambda rank: 10 * rank, [0, 1]) == [0, 10]  # the room is free again


def test_a_group_waits_for_all_of_its_room_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "ROOM_S", 1.0)
    with (
        cluster(num_cpus=2, num_gpus=0) as made,
        RayRuns(str(made.address), 1, "cpu", on_cpus=2) as runs,
        pytest.raises(VimoclipError, match=r"no room for all processes.*3 free shares of the cores"),
    ):
        runs.group(lambda rank: rank, [0, 1, 2])


class Shared:
    """A store that processes write to, as torch's is."""

    def __init__(self, machines: list[str]) -> None:
        self.values = {f"machine/{rank}": name.encode() for rank, name in enumerate(machines)}

    def set(self, key: str, value: str) -> None:
        self.values[key] = value.encode()

    def get(self, key: str) -> bytes:
        return self.values[key]


def test_the_processes_of_one_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.node", lambda: "node7")
    member = GroupMember(TrainMotionRequest("store", CONFIG), 1, 4, Path("nowhere"))
    machines = ["node7", "?", "node8", "node7"]
    assert train_motion._on_this_machine(Shared(machines), member) == 3


def test_each_takes_its_share_of_memory_while_it_trains(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vimoclip import device

    monkeypatch.setattr(device, "_machine_bytes", lambda: 6000)
    seen: list[int] = []

    def trained(request: TrainMotionRequest, **_: Any) -> TrainMotionReport:
        seen.append(device.free_bytes(torch.device("cpu")))
        return TrainMotionReport(tmp_path)

    monkeypatch.setattr(train_motion, "run", trained)
    monkeypatch.setattr(train_motion, "_on_this_machine", lambda *_: 3)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    request = TrainMotionRequest(store, CONFIG, tmp_path / "run", run=replace(ONE))
    train_motion.train_in_group(GroupMember(request, 0, 2, tmp_path / "meeting"))
    assert seen == [2000] and device.free_bytes(torch.device("cpu")) == 6000
