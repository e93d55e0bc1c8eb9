"""Training the motion student on a snapshot of a store: the same command goes on with a run that was broken off.

The store is only read, and needs no lock; no video is touched. What comes out is a folder (run_folder.py), from which
`vimoclip embed --motion` makes a feature.
"""

import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor

from pipelines.executor import Engine
from pipelines.run_folder import (
    TrainReport,
    begin,
    default_folder,
    finished,
    identity,
    load_finished,
    records_of,
    save_run,
    score,
    snapshot,
    train_until_done,
)
from vimoclip.config.motion import MotionConfig
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.errors import ConfigError, SettingsError, UsageError
from vimoclip.models.checkpoint import Source
from vimoclip.models.clip import ClipTeacher, load_backbone
from vimoclip.models.motion_student import StudentMeta, read_student_meta, write_student
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike, as_location
from vimoclip.training.loop import METRICS, Record, Training
from vimoclip.training.motion import MotionTask
from vimoclip.training.motion_dataset import ClipReport, read_motion_clips
from vimoclip.training.optimizer import SINGLE_PROCESS, ProcessGroup
from vimoclip.training.splits import SplitRequest, trainable_classes, training_split


@dataclass(frozen=True)
class TrainMotionRequest:
    """What to train, and on what. folder: of the run; None is one of the store's and the settings' own, in `runs`.
    versions: the snapshot to begin on; None is the newest."""

    store: LocationLike
    config: MotionConfig
    folder: Path | None = None
    split: SplitRequest = field(default_factory=SplitRequest)
    versions: dict[str, int] | None = None
    run: RunConfig = field(default_factory=RunConfig)


@dataclass
class TrainMotionReport(TrainReport):
    """What a training did. segments: what became of the videos. checkpointing: whether a part of the tower was computed
    twice."""

    segments: dict[str, ClipReport] = field(default_factory=dict)
    checkpointing: bool = False


def run(
    request: TrainMotionRequest, progress: Progress = NO_PROGRESS, peers: ProcessGroup = SINGLE_PROCESS
) -> TrainMotionReport:
    """Train, or go on with it. A KeyboardInterrupt ends it with `interrupted` set; what was kept last is kept.

    peers: the processes that train together, of which the first writes the folder.

    Raises:
        RunError: the folder holds another run, or there is nothing to train on. DivergedError. ModelError: the
        teacher's weights cannot be had. SettingsError: they are others than the store was made with. StoreError,
        ConfigError, UnknownColumnError.
    """
    began = time.monotonic()
    report = TrainMotionReport(request.folder or default_folder(request.store, request.config, "motion"))
    if finished(report.folder):
        meta = read_student_meta(report.folder)
        load_finished(report, meta.config, request.config, len(meta.classes))
    else:
        _train(request, report, progress, peers)
    report.seconds = time.monotonic() - began
    return report


def _train(request: TrainMotionRequest, report: TrainMotionReport, progress: Progress, peers: ProcessGroup) -> None:
    progress.stage("reading")
    config = request.config
    set_threads(request.run)
    store = snapshot(report.folder, request.store, request.versions)
    split = training_split(store, request.split, config.select_on, config.training.seed)
    report.train, report.held_out = split.said_train, split.said_held_out
    classes = trainable_classes(store, split.train, request.split.min_videos)
    segments = {
        name: read_motion_clips(store, config.image, config.segment, videos, classes)
        for name, videos in split.parts.items()
    }
    report.classes = len(classes)
    report.segments = {name: each.report for name, each in segments.items()}
    teacher = teacher_of(store, request.run)
    feature = store.features["clip"]
    what = identity(store, config, {"image": store.features[config.image], "teacher": feature}, classes, split)
    task = MotionTask(config, teacher, segments["train"], segments.get("held_out"), segments.get("select"), peers)
    report.checkpointing = task.checkpointing
    training = Training(
        task,
        config.training,
        teacher.device,
        report.folder,
        what,
        score,
        rates=task.rates,
        peers=peers,
        items="segments",
    )
    if not peers.rank:
        begin(report.folder, store, what)
    if not train_until_done(training, report, progress, str(teacher.device)) or peers.rank:
        return
    counts, where = segments["train"].sequences.counts(), str(store.place)

    def write(folder: Path, state: Mapping[str, Tensor], record: Record) -> None:
        meta = StudentMeta(config, classes, counts, Source.of(feature), where, store.versions, record)
        write_student(folder, state, meta)

    save_run(training, report, task.model.state_dict(), write)


def teacher_of(store: FeatureStore, run: RunConfig) -> ClipTeacher:
    """The store's teacher, in fp32: what a student starts from.

    Raises:
        ModelError: its weights cannot be had. SettingsError: they are others than the store was made with.
    """
    teacher = load_backbone(replace(store.config.clip, precision="fp32"), pick_device(run.device))
    made = store.features["clip"].weights_sha256
    if teacher.weights_sha256 != made:
        raise SettingsError(
            "The student would start from another teacher than the store was made with.",
            received=f"{teacher.config.model} with the weights {teacher.weights_sha256[:16]}",
            expected=f"the weights {made[:16]}",
            hint="Put the original weights back.",
        )
    return teacher


# The motion student on several GPUs: a process each, on its share of every batch, which together take one step.
#
# The processes are tasks of Ray, and meet by a file in the run's folder, which all of them must see. They give the
# numbers of one process with the same batches, but for the last bits.


STEP_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others at one step: as long as one may need to read what it trains on."""


@dataclass(frozen=True)
class GroupMember:
    """One of `world` processes. meeting: a file that is not there yet, and that all of them see."""

    request: TrainMotionRequest
    rank: int
    world: int
    meeting: Path


def train_in_group(asked: GroupMember) -> TrainMotionReport:
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
        timeout=STEP_TIMEOUT,
    )
    try:
        return run(asked.request, peers=ProcessGroup(asked.rank, asked.world))
    finally:
        torch.distributed.destroy_process_group()


def run_distributed(request: TrainMotionRequest, engine: Engine, progress: Progress = NO_PROGRESS) -> TrainMotionReport:
    """Train on Ray: `engine.workers` processes, or one on each GPU of this machine.

    Raises:
        UsageError: there is no GPU, and no number of processes was given. ConfigError: more than there is room for.
        VimoclipError: as `train_motion.run`; no cluster answers; a process died.
    """
    folder = (request.folder or default_folder(request.store, request.config, "motion")).absolute()
    world = engine.workers or torch.cuda.device_count()
    if finished(folder) or world == 1:
        return run(replace(request, folder=folder), progress)
    if not world:
        raise UsageError("There is no GPU to train on with Ray.", expected="--workers N, for processes on the CPU")
    from pipelines.ray_cluster import RayRuns

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
            whole = replace(request, folder=folder, store=str(as_location(request.store)), versions=versions, run=own)
            peers = {rank: GroupMember(whole, rank, world, meeting) for rank in range(world)}
            report = dict(runs.map(train_in_group, peers))[0]
    except KeyboardInterrupt:
        report = TrainMotionReport(folder, interrupted=True)
        report.records = records_of(folder) if (folder / METRICS).exists() else []
    finally:
        with contextlib.suppress(OSError):
            meeting.unlink()
    return report
