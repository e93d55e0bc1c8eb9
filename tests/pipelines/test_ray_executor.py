"""Ray for real: two logical GPUs on this machine, actors that are killed and that hang, and the bits of one process."""

import os
import platform
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.reliability.compare import differences, store_digest
from pipelines import embed, ray_executor, status
from pipelines.embed import EmbedRequest
from pipelines.executor import Engine
from pipelines.ingest import IngestRequest, run
from pipelines.ingest_recorder import IngestReport
from pipelines.ray_executor import RayExecutor
from tests.clusters import cluster
from tests.models import write_tiny_clip
from vimoclip.config.store import ClipConfig, RunConfig, StoreConfig
from vimoclip.errors import ConfigError, ModelError, VimoclipError
from vimoclip.frames import FrameBatch, FrameEvent, Idle, VideoDone, VideoFailed, VideoJob, VideoReset
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.verify import verify

pytestmark = pytest.mark.ray

BATCH = 4


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of one node that says it has two GPUs."""
    with cluster(num_cpus=2, num_gpus=2) as made:
        yield str(made.address)


def settings(model: str) -> StoreConfig:
    return StoreConfig(clip=ClipConfig(model, precision="fp32", batch_size=BATCH))


def ingest(savannah: Path, store: Path, model: str, engine: Engine, progress: Progress = NO_PROGRESS) -> IngestReport:
    asked = {"clip": {"model": model, "precision": "fp32", "batch_size": BATCH}}
    return run(IngestRequest([savannah], store, asked, engine=engine), progress)


class Onlooker(Progress):
    """Looks at what `status` says of the workers whenever a video is done, and then waits for a while, until so many
    were seen: one that starts late gets some too."""

    def __init__(self, store: Path, workers: int) -> None:
        self._store, self._workers = store, workers
        self.workers: dict[str, float] = {}  # frames a second, by name

    def advance(self, n: int = 1, note: str | None = None) -> None:
        if not n:
            return
        writer = status.run(self._store).writer
        assert writer is not None and writer["pid"] == os.getpid()
        self.workers |= {worker["name"]: worker["frames_per_s"] for worker in writer.get("workers", [])}
        if len(self.workers) < self._workers:
            time.sleep(3)


def test_two_gpus_are_two_actors_and_the_store_is_the_same(
    address: str, tmp_path: Path, savannah: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.progress.HEARTBEAT_S", 0.0)
    executor = RayExecutor(settings(tiny_model), RunConfig(), address=address)
    try:
        assert sorted(actor.gpus for actor in executor.actors) == ["0", "1"]
        assert len({actor.pid for actor in executor.actors} | {os.getpid()}) == 3
    finally:
        executor.close()
    onlooker = Onlooker(tmp_path / "ray", workers=2)
    assert ingest(savannah, tmp_path / "ray", tiny_model, Engine(address=address), onlooker).ingested == 10
    assert sorted(onlooker.workers) == [f"GPU {n} of {platform.node()}" for n in (0, 1)]
    assert min(onlooker.workers.values()) > 0
    assert status.run(tmp_path / "ray").writer is None
    onlooker = Onlooker(tmp_path / "alone", workers=1)
    assert ingest(savannah, tmp_path / "alone", tiny_model, Engine("in-process"), onlooker).ingested == 10
    assert list(onlooker.workers) == ["cpu"]
    asked = {"model": write_tiny_clip(tmp_path / "other", seed=2), "precision": "fp32"}
    for name, engine in (("ray", Engine(address=address)), ("alone", Engine("in-process"))):
        assert embed.run(EmbedRequest(tmp_path / name, "other", asked, engine=engine)).embedded == 10
    assert differences(store_digest(tmp_path / "alone"), store_digest(tmp_path / "ray")) == []
    assert verify(tmp_path / "ray") == []
    assert ingest(savannah, tmp_path / "ray", tiny_model, Engine(address=address)).known == 10


def holder(executor: RayExecutor, video_id: str) -> int:
    """The process of the actor that is at this video."""
    at_it = [handle.described for handle in executor._handles if handle.jobs and handle.jobs[0].video_id == video_id]
    (described,) = at_it
    assert described is not None
    return described.pid


def outcomes_while(
    executor: RayExecutor, savannah: Path, video_id: str, number: int, harm: signal.Signals
) -> dict[str, list[FrameEvent]]:
    """Outcomes by id, while the actor that gives frames of one video is sent a signal, `number` times."""
    jobs = [VideoJob(path.relative_to(savannah).as_posix(), str(path)) for path in sorted(savannah.rglob("*.mp4"))]
    found: dict[str, list[FrameEvent]] = {job.video_id: [] for job in jobs}
    for outcome in executor.embed(jobs):
        if isinstance(outcome, Idle):
            continue
        found[outcome.video_id].append(outcome)
        if isinstance(outcome, FrameBatch) and outcome.video_id == video_id and number:
            number -= 1
            os.kill(holder(executor, video_id), harm)
    return found


def frames(outcomes: list[FrameEvent]) -> list[int]:
    """Numbers of the frames that stand at the end."""
    standing: list[int] = []
    for outcome in outcomes:
        if isinstance(outcome, VideoReset):
            standing.clear()
        elif isinstance(outcome, FrameBatch):
            standing += outcome.frame_index.tolist()
    return standing


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP])
def test_an_actor_that_dies_or_hangs_is_replaced_and_its_video_tried_again(
    address: str, savannah: Path, tiny_model: str, harm: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "HANG_S", 4.0)
    executor = RayExecutor(settings(tiny_model), RunConfig(timeout_s=1), address=address)
    try:
        before = {actor.pid for actor in executor.actors}
        found = outcomes_while(executor, savannah, "walking/001.mp4", 1, harm)
        assert len({actor.pid for actor in executor.actors} - before) == 1
    finally:
        executor.close()
    for video_id, outcomes in found.items():
        end = outcomes[-1]
        assert isinstance(end, VideoDone)
        assert end.attempts == (2 if video_id == "walking/001.mp4" else 1)
        assert frames(outcomes) == list(range(10))


def test_a_video_that_costs_three_actors_is_given_up_and_the_rest_go_on(
    address: str, savannah: Path, tiny_model: str
) -> None:
    executor = RayExecutor(settings(tiny_model), RunConfig(), address=address)
    try:
        found = outcomes_while(executor, savannah, "approaching/000.mp4", 99, signal.SIGKILL)
    finally:
        executor.close()
    end = found.pop("approaching/000.mp4")[-1]
    assert isinstance(end, VideoFailed)
    assert (end.kind, end.attempts) == ("worker-lost", 3)
    assert all(isinstance(outcomes[-1], VideoDone) for outcomes in found.values())
    assert all(frames(outcomes) == list(range(10)) for outcomes in found.values())


def test_what_goes_wrong_over_there_is_said_here_as_it_was(address: str, tiny_model: str) -> None:
    with pytest.raises(ModelError, match="open_clip knows no such model") as caught:
        RayExecutor(settings("no-such-model"), RunConfig(), address=address)
    assert caught.value.received == "no-such-model"
    with pytest.raises(ConfigError, match=r"--workers 3.*at most 2, one a GPU"):
        RayExecutor(settings(tiny_model), RunConfig(), workers=3, address=address)


def test_no_cluster_there(tiny_model: str) -> None:
    with pytest.raises(VimoclipError, match=r"no Ray cluster.*127\.0\.0\.1:1"):
        RayExecutor(settings(tiny_model), RunConfig(), address="127.0.0.1:1")
