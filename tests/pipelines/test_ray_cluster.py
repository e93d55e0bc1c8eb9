"""Clusters whose nodes come, die and take their actors with them: raylets are killed for real."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from pipelines import ray_cluster
from pipelines.ray_cluster import RayCluster
from pipelines.ray_executor import RayExecutor
from tests.clusters import cluster
from tests.pipelines.test_ray_executor import BATCH, frames
from vimoclip.config.store import ClipConfig, RunConfig, StoreConfig
from vimoclip.errors import VimoclipError
from vimoclip.frames import FrameEvent, Idle, VideoDone, VideoJob

pytestmark = pytest.mark.ray

GPU_NODE: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1}
HASTY = {"health_check_period_ms": 500, "health_check_failure_threshold": 2}
"""Ray takes 20 s to declare a node dead, unless told otherwise."""


@pytest.fixture
def one_node() -> Iterator[Cluster]:
    """One node, which says it has a GPU."""
    with cluster(**GPU_NODE, _system_config=HASTY) as made:
        yield made


def kill_raylet(node: Any) -> None:
    psutil.Process(node.all_processes["raylet"][0].process.pid).send_signal(signal.SIGKILL)


def test_nodes_come_and_die_and_come_while_a_run_goes_on(
    one_node: Cluster, clips: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "LOOK_S", 1.0)
    paths = sorted(clips.rglob("*.mp4"))
    enough = False

    def jobs() -> Iterator[VideoJob]:
        n = 0
        while not enough:
            yield VideoJob(f"{n}.mp4", str(paths[n % len(paths)]))
            n += 1

    def pids() -> set[int]:
        return {handle.described.pid for handle in executor._handles if handle.described is not None}

    found: dict[str, list[FrameEvent]] = {}
    second: set[int] = set()
    config = StoreConfig(clip=ClipConfig(tiny_model, precision="fp32", batch_size=BATCH))
    executor = RayExecutor(config, RunConfig(), address=str(one_node.address))
    try:
        first, nodes, done_since = pids(), list[Any](), 0
        assert len(first) == 1
        for outcome in executor.embed(jobs()):
            if not isinstance(outcome, Idle):
                found.setdefault(outcome.video_id, []).append(outcome)
            if not nodes:
                nodes.append(one_node.add_node(**GPU_NODE))
            elif len(nodes) == 1 and len(pids()) == 2 and pids() != second:
                second = pids()
                kill_raylet(nodes[0])
            elif len(nodes) == 1 and second and pids() == first:  # the other is lost, and its successor has no GPU
                assert len(executor._handles) == 2
                done_since += isinstance(outcome, VideoDone)
                if done_since == 3:
                    nodes.append(one_node.add_node(**GPU_NODE))
            elif len(nodes) == 2 and len(pids()) == 2:
                enough = True
    finally:
        executor.close()
    for video_id, outcomes in found.items():
        assert isinstance(outcomes[-1], VideoDone), video_id
        assert frames(outcomes) == list(range(10))


def test_a_dead_raylet_of_ones_own_ends_the_run(
    one_node: Cluster, clips: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "LOOK_S", 1.0)
    config = StoreConfig(clip=ClipConfig(tiny_model, precision="fp32", batch_size=BATCH))
    executor = RayExecutor(config, RunConfig(), address=str(one_node.address))
    try:
        jobs = (VideoJob(str(n), str(clips / "still/000.mp4")) for n in range(100_000))
        outcomes = executor.embed(jobs)
        next(outcomes)
        kill_raylet(one_node.head_node)
        began = time.monotonic()
        with pytest.raises(
            VimoclipError, match=r"raylet is gone.*Connection refused.*continues from there, once `ray st"
        ):
            list(outcomes)
        assert time.monotonic() - began < 15
    finally:
        executor.close()


def test_a_head_that_stays_away_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "HEAD_S", 0.3)
    private = RayCluster(None)
    try:
        assert private.look(now=True)
        assert not private.look()  # it was only just looked for
        (head,) = [child for child in psutil.Process().children() if child.name() == "gcs_server"]
        head.kill()
        head.wait()
        assert not private.look(now=True)
        time.sleep(0.4)
        with pytest.raises(VimoclipError, match=r"head of the Ray cluster is gone.*refused.*from there\."):
            private.look(now=True)
    finally:
        private.close()
