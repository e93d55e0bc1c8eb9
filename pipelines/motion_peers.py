"""The motion student on several GPUs: a process each, on its share of every batch, which together take one step.

The processes are tasks of Ray, and meet by a file in the run's folder, which all of them must see. They give the
numbers of one process with the same batches, but for the last bits.
"""

import contextlib
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import torch

from pipelines.engine import Engine
from pipelines.run_folder import default_folder, finished, records_of, snapshot
from pipelines.train_motion import TrainMotionReport, TrainMotionRequest
from pipelines.train_motion import run as run_here
from pipelines.training_run import RunObserver
from vimoclip.device import pick_device
from vimoclip.errors import ConfigError, UsageError
from vimoclip.store.location import place
from vimoclip.training.loop import METRICS
from vimoclip.training.optimizer import Peers

WAIT = timedelta(minutes=30)
"""How long a process waits for the others at one step: as long as one may need to read what it trains on."""


@dataclass(frozen=True)
class PeerRequest:
    """One of `world` processes. meeting: a file that is not there yet, and that all of them see."""

    request: TrainMotionRequest
    rank: int
    world: int
    meeting: Path


def as_peer(asked: PeerRequest) -> TrainMotionReport:
    """Train as one of several; the first leaves the run's folder.

    Raises:
        VimoclipError: as `train_motion.run`.
    """
    device = pick_device(asked.request.run.device)
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{asked.meeting}",
        rank=asked.rank,
        world_size=asked.world,
        timeout=WAIT,
    )
    try:
        return run_here(asked.request, peers=Peers(asked.rank, asked.world))
    finally:
        torch.distributed.destroy_process_group()


def run(request: TrainMotionRequest, engine: Engine, observer: RunObserver | None = None) -> TrainMotionReport:
    """Train on Ray: `engine.workers` processes, or one on each GPU of this machine.

    Raises:
        UsageError: there is no GPU, and no number of processes was given. ConfigError: more than there is room for.
        VimoclipError: as `train_motion.run`; no cluster answers; a process died.
    """
    folder = (request.folder or default_folder(request.store, request.config, "motion")).absolute()
    world = engine.workers or torch.cuda.device_count()
    if finished(folder) or world == 1:
        return run_here(replace(request, folder=folder), observer)
    if not world:
        raise UsageError("There is no GPU to train on with Ray.", expected="--workers N, for processes on the CPU")
    from pipelines.ray_runs import RayRuns

    versions = snapshot(folder, request.store).versions  # that all of them read, whatever is ingested meanwhile
    folder.mkdir(parents=True, exist_ok=True)
    meeting = folder / f".peers-{uuid.uuid4().hex}"
    side_by_side = 1 if torch.cuda.device_count() and request.run.device != "cpu" else world
    try:
        with RayRuns(engine.address, side_by_side, request.run.device) as runs:
            if runs.together < world:  # one that cannot start would be waited for
                raise ConfigError(
                    "There is no room for so many workers.",
                    received=f"--workers {world}",
                    expected=f"at most {runs.together}, one a GPU or a core of the cluster",
                )
            own = replace(request.run, threads=request.run.threads or runs.threads)
            whole = replace(request, folder=folder, store=str(place(request.store)), versions=versions, run=own)
            peers = {rank: PeerRequest(whole, rank, world, meeting) for rank in range(world)}
            report = dict(runs.map(as_peer, peers))[0]
    except KeyboardInterrupt:
        report = TrainMotionReport(folder, interrupted=True)
        report.records = records_of(folder) if (folder / METRICS).exists() else []
    finally:
        with contextlib.suppress(OSError):
            meeting.unlink()
    return report
