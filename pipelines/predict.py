"""Predicting labels and bouts with a run of train-fusion, for stored videos and for other files.

The store is only read, and needs no lock. A video that fails is reported, and the others are scored.
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
    timeline_note,
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
    """What to predict, and which files to write.

    Attributes:
        store: the store.
        folder: of the run.
        names: paths, ids or patterns of ids (vimoclip/prediction/inputs.py).
        windows: how to cut videos into windows, and which of these become bouts.
        top: labels per video to write; 0 is all.
        out: .csv or .json files to write the predictions to.
        boris: a .csv or .tsv file to write the bouts to, as BORIS events.
        form: of that file.
        timeline: a folder to draw ethograms into, or a .png for a single video.
        run: where and how to compute.
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
    """What was predicted.

    Attributes:
        predictions: of every video.
        files: that were written.
        seconds: how long it took.
    """

    predictions: Predictions
    files: list[Path] = field(default_factory=list)
    seconds: float = 0.0


def run(request: PredictRequest, progress: Progress = NO_PROGRESS) -> PredictReport:
    """Predict, and write the files.

    A KeyboardInterrupt ends the predicting; what is predicted so far is written, with `predictions.left` set.

    Args:
        request: what to predict.
        progress: an item is a video.

    Raises:
        UsageError: a file's suffix is not known, or one timeline was asked for several videos.
        SourceError: a name matches nothing.
        ConfigError: no stored video has two frames in a window, and no other file is asked for.
        CheckpointError: the folder does not hold a run, or it was trained on other features.
        RunError: the run is not finished, or a file cannot be written.
        ModelError: a model is not available.
        StoreError: the store cannot be read.
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
        timelines = write_timelines(report.predictions, request.timeline)
        report.files += timelines
        for path, prediction in zip(timelines, report.predictions, strict=True):
            if (note := timeline_note(prediction)) is not None:
                progress.message(f"{path} is {note}.")
    report.seconds = time.monotonic() - began
    return report
