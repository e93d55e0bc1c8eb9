"""Training the motion student on a snapshot of a store: the same command goes on with a run that was broken off.

The store is only read, and needs no lock; no video is touched. What comes out is a folder (run_folder.py), from which
`vimoclip embed --motion` makes a feature.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from pipelines.run_folder import begin, default_folder, finished, identity, snapshot
from pipelines.training_run import RunObserver, TrainReport, carry_out, leave, recall, score
from vimoclip.config.motion import MotionConfig
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.errors import SettingsError
from vimoclip.models.checkpoint import Source
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import StudentMeta, read_student_meta, write_student
from vimoclip.sequences.reader import Kept
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import Where
from vimoclip.training.loop import Record, Training
from vimoclip.training.motion import MotionTask
from vimoclip.training.motion_dataset import SegmentReport, read_motion_segments
from vimoclip.training.optimizer import ALONE, Peers
from vimoclip.training.splits import Asked, taught_classes, training_split


@dataclass(frozen=True)
class TrainMotionRequest:
    """What to train, and on what. folder: of the run; None is one of the store's and the settings' own, in `runs`.
    versions: the snapshot to begin on; None is the newest."""

    store: Where
    config: MotionConfig
    folder: Path | None = None
    split: Asked = field(default_factory=Asked)
    versions: dict[str, int] | None = None
    run: RunConfig = field(default_factory=RunConfig)
    kept: Kept = field(default_factory=Kept)


@dataclass
class TrainMotionReport(TrainReport):
    """What a training did. segments: what became of the videos. checkpointing: whether a part of the tower was computed
    twice."""

    segments: dict[str, SegmentReport] = field(default_factory=dict)
    checkpointing: bool = False


def run(request: TrainMotionRequest, observer: RunObserver | None = None, peers: Peers = ALONE) -> TrainMotionReport:
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
        recall(report, meta.config, request.config, len(meta.classes))
    else:
        _train(request, report, observer or RunObserver(), peers)
    report.seconds = time.monotonic() - began
    return report


def _train(request: TrainMotionRequest, report: TrainMotionReport, observer: RunObserver, peers: Peers) -> None:
    config = request.config
    set_threads(request.run)
    store = snapshot(report.folder, request.store, request.versions)
    split = training_split(store, request.split, config.select_on, config.training.seed)
    report.train, report.held_out = split.said_train, split.said_held_out
    classes = taught_classes(store, split.train, request.split.least_videos)
    segments = {
        name: read_motion_segments(store, config.image, config.segment, videos, classes, request.kept)
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
        task, config.training, teacher.device, report.folder, what, score, rates=task.rates, peers=peers
    )
    if not peers.rank:
        begin(report.folder, store, what)
    if not carry_out(training, report, observer, str(teacher.device)) or peers.rank:
        return
    counts, where = segments["train"].sequences.counts(), str(store.place)

    def write(folder: Path, state: Mapping[str, Tensor], record: Record) -> None:
        meta = StudentMeta(config, classes, counts, Source.of(feature), where, store.versions, record)
        write_student(folder, state, meta)

    leave(training, report, task.model.state_dict(), write)


def teacher_of(store: FeatureStore, run: RunConfig) -> ClipTeacher:
    """The store's teacher, in fp32: what a student starts from.

    Raises:
        ModelError: its weights cannot be had. SettingsError: they are others than the store was made with.
    """
    teacher = ClipTeacher(replace(store.config.clip, precision="fp32"), pick_device(run.device))
    made = store.features["clip"].weights_sha256
    if teacher.weights_sha256 != made:
        raise SettingsError(
            "The student would start from another teacher than the store was made with.",
            received=f"{teacher.config.model} with the weights {teacher.weights_sha256[:16]}",
            expected=f"the weights {made[:16]}",
            hint="Put the original weights back.",
        )
    return teacher
