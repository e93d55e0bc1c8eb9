"""Predicting with a run of train-fusion: stored videos, and files that are not in the store, to labels and bouts.

The store is only read, and needs no lock. What is wrong with one video is remembered, and the others are scored.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

from vimoclip.config.store import RunConfig
from vimoclip.prediction.export import (
    Form,
    check_events,
    check_table,
    check_timeline,
    write_events,
    write_table,
    write_timelines,
)
from vimoclip.prediction.inputs import resolve_videos
from vimoclip.prediction.predictions import Predictions
from vimoclip.prediction.predictor import Predictor, WindowOptions
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike


@dataclass(frozen=True)
class PredictRequest:
    """What to predict, and what to write of it.

    names: paths, ids or patterns of ids (vimoclip/prediction/inputs.py). folder: of the run. top: labels a video; 0 is
    all. out: .csv or .json. boris: .csv or .tsv, in the form `form`. timeline: a folder, or a .png for one video.
    """

    store: LocationLike
    folder: Path
    names: list[str]
    windows: WindowOptions = field(default_factory=WindowOptions)
    top: int = 0
    out: tuple[Path, ...] = ()
    boris: Path | None = None
    form: Form = "aggregated"
    timeline: Path | None = None
    run: RunConfig = field(default_factory=RunConfig)


@dataclass
class PredictReport:
    """What was predicted, and the files that were written."""

    predictions: Predictions
    files: list[Path] = field(default_factory=list)
    seconds: float = 0.0


def run(request: PredictRequest, progress: Progress = NO_PROGRESS) -> PredictReport:
    """Predict, and write. A KeyboardInterrupt while it predicts ends it with what is predicted so far, which is
    written, and `predictions.left` set.

    Raises:
        UsageError: a file whose suffix says no form, or one timeline of several videos. SourceError: a name of nothing.
        CheckpointError, StoreError, ModelError. RunError: the run is not finished, or a file cannot be written.
    """
    began = time.monotonic()
    for path in request.out:
        check_table(path)
    if request.boris is not None:
        check_events(request.boris)
    store = FeatureStore.open(request.store)
    progress.stage("loading models")
    predictor = Predictor(store, request.folder, request.run)
    if request.timeline is not None:
        check_timeline(request.timeline, len(resolve_videos(store, request.names)[0]))
    report = PredictReport(predictor.predict(request.names, request.windows, progress, keep_partial=True))
    report.files += [write_table(report.predictions, path, request.top) for path in request.out]
    if request.boris is not None:
        report.files.append(write_events(report.predictions, request.boris, request.form))
    if request.timeline is not None:
        report.files += write_timelines(report.predictions, request.timeline)
    report.seconds = time.monotonic() - began
    return report
