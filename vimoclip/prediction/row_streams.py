"""The frames of videos, one video after another, as rows of vectors: read from the store, or decoded and embedded.

Both give the same for the same video: FrameRows in order, and then Ended, or Failed at any point. Again takes back the
rows before it. In memory are a few thousand frames.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from schemas.features import Feature
from vimoclip.config.store import RunConfig
from vimoclip.embedding.events import Embedded, EmbeddedFrames, Failed, Idle, Job, Restarted
from vimoclip.errors import StoreDamagedError
from vimoclip.frames import FrameRows, FrameVectors, columns_of
from vimoclip.prediction.inputs import Target
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import lacking
from vimoclip.store.frame_reader import OrderedFrames

ROWS = 2048
"""Rows read at once."""


@dataclass(frozen=True)
class Ended:
    """The video is complete. fps: mean decoded frames a second."""

    duration_s: float
    fps: float


@dataclass(frozen=True)
class Again:
    """Forget this video's rows so far: it begins again, with other times."""


Event = FrameRows | Ended | Again | Failed


def of_store(
    store: FeatureStore, features: Sequence[Feature], targets: Sequence[Target]
) -> Iterator[tuple[Target, Event]]:
    """The videos that the store holds.

    Raises:
        StoreDamagedError: a video's frames are not whole.
    """
    without = {
        row.video_id: feature.name
        for feature in features
        if feature.added
        for row in lacking(store, store.tables["frames"], feature.name)
    }
    whole: dict[int, Target] = {}
    for target in targets:
        assert target.row is not None and target.row.take is not None
        if (name := without.get(target.row.video_id)) is not None:
            hint = f"`vimoclip embed --as {name}` adds them."
            yield target, Failed(target.video, "not-embedded", f"The store has no vectors of {name} of it. {hint}")
        else:
            whole[target.row.take] = target
    if not whole:
        return
    names = [target.row.video_id for target in whole.values() if target.row is not None]
    ordered = OrderedFrames(store, store.videos().filter(pl.col("video_id").is_in(names)))
    read = [feature.name for feature in features]
    columns = ["take", "time_s", *columns_of(read)]
    came = dict.fromkeys(whole, 0)
    for table in ordered.chunks(names, columns, ROWS):
        table = table.combine_chunks()
        takes = table["take"].to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(takes)) + 1).tolist(), len(takes)]
        for first, last in itertools.pairwise(cuts):
            take = int(takes[first])
            target, row = whole[take], whole[take].row
            assert row is not None
            rows = table.slice(first, last - first)
            yield target, FrameRows(rows["time_s"].to_numpy(), FrameVectors.stored(rows, read))
            came[take] += last - first
            if came[take] == row.frames:
                if row.duration_s is None or row.fps is None:
                    raise StoreDamagedError(
                        f"The row of {row.video_id} does not say how long it is.",
                        hint="Run `vimoclip verify` to see what is damaged.",
                    )
                yield target, Ended(row.duration_s, row.fps)


def of_files(
    store: FeatureStore, features: Sequence[Feature], targets: Sequence[Target], run: RunConfig
) -> Iterator[tuple[Target, Event]]:
    """Files that the store does not hold, decoded and embedded with its settings.

    Raises:
        SettingsError, ModelError, SearchError: see `vimoclip.search.query.worker_of`.
    """
    if not targets:
        return
    from vimoclip.search.query import worker_of  # loads open_clip, for which who reads a store need not wait

    worker = worker_of(store, list(features), run)
    jobs = {str(n): target for n, target in enumerate(targets)}  # two may have one name in two spellings
    for outcome in worker.embed(Job(n, target.path) for n, target in jobs.items()):
        if isinstance(outcome, Idle):
            continue
        target = jobs[outcome.video_id]
        if isinstance(outcome, EmbeddedFrames):
            vectors = FrameVectors.made(outcome.features, (feature.name for feature in features))
            yield target, FrameRows(outcome.time_s, vectors)
        elif isinstance(outcome, Restarted):
            yield target, Again()
        elif isinstance(outcome, Embedded):
            yield target, Ended(outcome.info.duration_s, outcome.info.fps)
        else:
            yield target, Failed(target.video, outcome.kind, outcome.message)
