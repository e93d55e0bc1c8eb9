"""Training the motion student on a snapshot of a store, in one process or in several on Ray.

The store is only read and needs no lock, and no video is opened. The result is a folder (run_folder.py), from which
`vimoclip embed --motion` makes a feature. The same command continues a run that was interrupted.
"""

import contextlib
import platform
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.executor import Engine
from pipelines.run_folder import (
    TrainReport,
    begin,
    default_folder,
    fill_split,
    finished,
    identity,
    load_finished,
    records_of,
    save_run,
    score,
    snapshot,
    split_of_run,
    train_until_done,
)
from vimoclip.config.motion import MotionConfig
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads, share_host_memory
from vimoclip.errors import ConfigError, SettingsError, UsageError
from vimoclip.models.backbones import load_backbone
from vimoclip.models.checkpoint import Source
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import StudentMeta, read_student_meta, write_student
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike, as_location
from vimoclip.training.loop import METRICS, Record, Training
from vimoclip.training.losses import NAMES, explain_labels
from vimoclip.training.motion import MotionTask
from vimoclip.training.motion_dataset import ClipReport, read_motion_clips
from vimoclip.training.optimizer import SINGLE_PROCESS, ProcessGroup
from vimoclip.training.splits import SplitRequest, trainable_classes, training_split


@dataclass(frozen=True)
class TrainMotionRequest:
    """What to train, and on what.

    Attributes:
        store: the store to read.
        config: settings of the training.
        folder: of the run; None is the default for the store and the settings, in `runs`.
        split: which videos to train and to evaluate on.
        versions: the snapshot to begin on, table versions by name; None is the newest.
        run: where and how to compute.
    """

    store: LocationLike
    config: MotionConfig
    folder: Path | None = None
    split: SplitRequest = field(default_factory=SplitRequest)
    versions: dict[str, int] | None = None
    run: RunConfig = field(default_factory=RunConfig)


@dataclass
class TrainMotionReport(TrainReport):
    """What a training did, beyond a `TrainReport`.

    Attributes:
        segments: what each part, such as `train`, was made from.
        checkpointing: whether activation checkpointing was used to save memory.
    """

    segments: dict[str, ClipReport] = field(default_factory=dict)
    checkpointing: bool = False


def run(
    request: TrainMotionRequest, progress: Progress = NO_PROGRESS, peers: ProcessGroup = SINGLE_PROCESS
) -> TrainMotionReport:
    """Train, or continue training.

    A KeyboardInterrupt ends it with `interrupted` set; the last saved state is kept.

    Args:
        request: what to train.
        progress: a stage per epoch.
        peers: the processes that train together; the first one writes the folder.

    Raises:
        RunError: the folder holds another run, or there is nothing to train on.
        DivergedError: the loss is not finite.
        ModelError: the teacher's weights are not available.
        SettingsError: the teacher's weights differ from those the store was made with.
        StoreError: the store cannot be read.
        ConfigError: a setting does not fit the store.
        UnknownColumnError: the store lacks a feature that the settings name.
    """
    began = time.monotonic()
    report = TrainMotionReport(request.folder or default_folder(request.store, request.config, "motion", request.split))
    if finished(report.folder):
        meta = read_student_meta(report.folder)
        load_finished(report, meta.config, request.config, len(meta.classes), request.split)
    else:
        _train(request, report, progress, peers)
    report.seconds = time.monotonic() - began
    return report


def _train(request: TrainMotionRequest, report: TrainMotionReport, progress: Progress, peers: ProcessGroup) -> None:
    progress.stage("reading")
    config = request.config
    set_threads(request.run)
    store = snapshot(report.folder, request.store, request.versions)
    split = training_split(store, split_of_run(report.folder, request.split), config.select_on, config.training.seed)
    fill_split(report, split)
    classes = trainable_classes(store, split.train, request.split.min_videos)
    segments = {
        name: read_motion_clips(store, config.image, config.segment, videos, classes)
        for name, videos in split.parts.items()
    }
    report.classes = len(classes)
    report.segments = {name: each.report for name, each in segments.items()}
    shown = explain_labels(store, (each.sequences for each in segments.values()))
    report.loss = f"Loss: {NAMES['bce']}, the only one there is; {shown}."
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
        begin(report.folder, store, what, report.loss)
    try:
        done = train_until_done(training, report, progress, str(teacher.device))
    finally:
        task.close()
    if not done or peers.rank:
        return
    counts, where = segments["train"].sequences.counts(), str(store.place)
    ids = set(segments["train"].sequences.video_ids)
    taught = sorted(row.content_hash for row in split.train if row.video_id in ids)

    def write(folder: Path, state: Mapping[str, Tensor], record: Record) -> None:
        meta = StudentMeta(config, classes, counts, Source.of(feature), where, store.versions, record, taught)
        write_student(folder, state, meta)

    save_run(training, report, task.model.state_dict(), write)


def teacher_of(store: FeatureStore, run: RunConfig) -> ClipTeacher:
    """Load the store's teacher in fp32, from which a student starts.

    Raises:
        ModelError: its weights are not available.
        SettingsError: they differ from those the store was made with.
    """
    teacher: ClipTeacher = load_backbone(replace(store.config.clip, precision="fp32"), pick_device(run.device))
    made = store.features["clip"].weights_sha256
    if teacher.weights_sha256 != made:
        raise SettingsError(
            "The student would start from another teacher than the store was made with.",
            received=f"{teacher.config.model} with the weights {teacher.weights_sha256[:16]}",
            expected=f"the weights {made[:16]}",
            hint="Put the original weights back.",
        )
    return teacher


# The motion student on several GPUs: one process each, which works on its share of every batch; together they take one
# step.
#
# The processes are Ray tasks, and find each other by a file in the run's folder, which all of them must see. Their
# numbers equal those of one process with the same batches, but for the last bits.


STEP_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others at one step: as long as another may need to read its training data."""


@dataclass(frozen=True)
class GroupMember:
    """One of the processes that train together.

    Attributes:
        request: what to train, the same for all.
        rank: the process's number, from 0.
        world: how many processes there are.
        rendezvous_file: a file that does not exist yet, at a path that all of them see.
    """

    request: TrainMotionRequest
    rank: int
    world: int
    rendezvous_file: Path


def train_in_group(member: GroupMember) -> TrainMotionReport:
    """Train as one of several processes; the first writes the run's folder.

    Raises:
        VimoclipError: see `run`.
    """
    if member.world == 1:
        return run(member.request)
    device = pick_device(member.request.run.device)
    store = torch.distributed.FileStore(str(member.rendezvous_file), member.world)  # type: ignore[attr-defined]
    store.set_timeout(STEP_TIMEOUT)
    share_host_memory(_on_this_machine(store, member))
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=member.rank,
        world_size=member.world,
        timeout=STEP_TIMEOUT,
    )
    try:
        return run(member.request, peers=ProcessGroup(member.rank, member.world))
    finally:
        torch.distributed.destroy_process_group()
        share_host_memory(1)


def _on_this_machine(store: Any, member: GroupMember) -> int:
    """How many of the processes run on this machine. They tell each other, by a store that all of them reach."""
    own = platform.node()
    store.set(f"machine/{member.rank}", own)
    return sum(store.get(f"machine/{rank}").decode() == own for rank in range(member.world))


def run_distributed(request: TrainMotionRequest, engine: Engine, progress: Progress = NO_PROGRESS) -> TrainMotionReport:
    """Train on Ray: in `engine.workers` processes, or in one per GPU of the cluster.

    Each process has a GPU to itself, on whichever machine of the cluster it is; this one needs none. On a cluster
    without GPUs, or with `--device cpu`, the processes share the cores.

    Raises:
        UsageError: the cluster has no GPU, and no number of processes was given.
        ConfigError: the cluster has no room for that many processes.
        VimoclipError: see `run`; no cluster answers, or a process died.
    """
    folder = (request.folder or default_folder(request.store, request.config, "motion", request.split)).absolute()
    alone = engine.workers == 1 and engine.address is None  # on this machine, which needs no cluster for that
    if finished(folder) or alone:
        return run(replace(request, folder=folder), progress)
    from pipelines.ray_cluster import RayRuns

    rendezvous_file = folder / f".peers-{uuid.uuid4().hex}"
    try:
        with RayRuns(engine.address, 1, request.run.device, on_cpus=engine.workers or 1) as runs:
            world = engine.workers or runs.gpus
            if not world:
                raise UsageError(
                    "There is no GPU to train on with Ray.", expected="--workers N, for processes on the CPU"
                )
            if runs.together < world:  # the others would wait for a process that cannot start
                raise ConfigError(
                    "The cluster has no room for that many workers.",
                    received=f"--workers {world}",
                    expected=f"at most {runs.together}, one a {'GPU' if runs.gpus else 'core'} of the cluster",
                )
            versions = snapshot(folder, request.store).versions  # all read this one, whatever is ingested meanwhile
            folder.mkdir(parents=True, exist_ok=True)
            own = replace(request.run, threads=request.run.threads or runs.threads)
            if own.device == "auto":  # one that cannot use its GPU says so, and does not leave the others waiting
                own = replace(own, device="cuda" if runs.gpus else "cpu")
            whole = replace(request, folder=folder, store=str(as_location(request.store)), versions=versions, run=own)
            peers = [GroupMember(whole, rank, world, rendezvous_file) for rank in range(world)]
            report = runs.group(train_in_group, peers)[0]
    except KeyboardInterrupt:
        report = TrainMotionReport(folder, interrupted=True)
        report.records = records_of(folder) if (folder / METRICS).exists() else []
    finally:
        with contextlib.suppress(OSError):
            rendezvous_file.unlink()
    return report
