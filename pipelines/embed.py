"""A further model over the videos that are in: its vectors become a feature of the store, beside the others.

The frames are the stored ones, decoded again. Resumable; readers see the feature once it is complete, and from then on
an ingest fills it too. A video that cannot be embedded any more is named and has no vectors of it; the same command
tries it again.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.engine import Engine
from pipelines.executor import executor
from pipelines.filling import EmbedReport, Filling
from pipelines.request import Observer
from schemas.features import Feature
from schemas.videos import Video
from vimoclip.config.store import ClipConfig, RunConfig
from vimoclip.embedding.events import Failed, Job
from vimoclip.embedding.feature_models import Added
from vimoclip.errors import FeatureError, SourceError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import FeatureWriter, check_name, lacking
from vimoclip.store.location import Place, Where
from vimoclip.store.lock import Held, writer_lock
from vimoclip.video.files import content_hash


@dataclass(frozen=True)
class EmbedRequest:
    """What to add, and how.

    feature: its name. asked: settings of its tower that the user gave, as of `vimoclip.config.store.ClipConfig`; a
    feature that is there already, whole or not, needs none. motion: the folder of a run of train-motion: the feature is
    made of the stored flow by its student (embed_motion.py), and may be `moclip` itself.
    """

    store: Where
    feature: str
    asked: dict[str, Any] = field(default_factory=dict)
    motion: Path | None = None
    run: RunConfig = field(default_factory=RunConfig)
    engine: Engine = field(default_factory=Engine)
    wait: bool = True


def run(request: EmbedRequest, observer: Observer | None = None) -> EmbedReport:
    """Add a feature, or go on with it.

    A KeyboardInterrupt ends it with what is there committed and `interrupted` set.

    Raises:
        FeatureError: a name that no added feature can have, or an unknown one and no model. SettingsError: the store
        has another feature of this name. ModelError, SourceError, StoreError. NoSpaceError: what was committed is safe.
    """
    observer = observer or Observer()
    began = time.monotonic()
    at = FeatureStore.open(request.store).place
    with writer_lock(at, request.wait, observer.waiting) as lock:
        report = _embed(request, at, lock, observer)
    report.seconds = time.monotonic() - began
    return report


def _embed(request: EmbedRequest, at: Place, lock: Held, observer: Observer) -> EmbedReport:
    store = FeatureStore.open(at)
    known = store.features.get(request.feature) or store.unfinished.get(request.feature)
    moving = known is not None and known.added and known.kind == "motion" and not request.asked
    if request.motion is None and not moving:
        return _Embed(request, store, lock, observer).run()
    from pipelines.embed_motion import EmbedMotion  # with torch, which takes seconds

    return EmbedMotion(request.feature, request.motion, request.run, store, lock, observer).run()


class _Embed(Filling):
    """One run, with the write lock held."""

    def __init__(self, request: EmbedRequest, store: FeatureStore, lock: Held, observer: Observer) -> None:
        super().__init__(request.feature, lock, observer)
        self._request, self._store = request, store

    def run(self) -> EmbedReport:
        store, name = self._store, self._request.feature
        store.check_settled()
        check_name(store, name)
        tower = self._tower(store.features.get(name) or store.unfinished.get(name))
        live = sum(row.status == "ok" for row in store.rows())
        whole = name in store.features and not lacking(store, store.tables["frames"], name)
        if whole and _asks_for(tower, Added.of([store.features[name]]).towers[name]):
            self._report.known, self._report.complete = live, True
            return self._report  # no model needs to be loaded to know this
        # A file that was stored as far as it decodes decodes so far again; one that broke since lacks frames, and is
        # refused for that.
        settings = replace(self._request.run, on_corrupt="keep")
        added = Added({name: tower}, alone=True)
        with executor(store.config, settings, self._request.engine, added) as embedder:
            made = Added.of(embedder.features).towers[name]
            self.fill(FeatureWriter(store, embedder.features[0], self._lock.check), embedder, made, live)
        return self._report

    def _tower(self, known: Feature | None) -> ClipConfig:
        """The settings of the feature's tower: as asked for, or for the rest as the feature has them."""
        name, asked = self._request.feature, self._request.asked
        if known is None:
            if "model" not in asked:
                raise FeatureError(
                    "The store has no such feature, and no model was named to make it with.",
                    received=name,
                    expected=", ".join(_added(self._store)) or "--model",
                    hint="vimoclip embed --model NAME --as FEATURE; any open_clip name, hf-hub:… or local-dir:….",
                )
            return ClipConfig.from_dict(asked)
        own = Added.of([known]).towers[name]
        if "model" in asked:
            own = replace(own, weights="default")  # they belong to their model
        if {"model", "weights"} & asked.keys():
            own = replace(own, preprocess=None)  # it belongs to its weights
        return replace(own, **asked)

    def jobs(self, todo: list[Video]) -> Iterator[Job]:
        """The videos whose files still are what was stored. It runs in the decoder's thread.

        Raises:
            SourceError: after all others, when a whole folder of them is gone.
        """
        gone: dict[str, None] = {}
        for row in todo:
            try:
                stat = os.stat(row.path)
                same = (stat.st_size, stat.st_mtime_ns) == (row.bytes, row.mtime_ns)
                if not same and content_hash(row.path) != row.content_hash:
                    message = "The file has other content than what was stored; ingest its folder first."
                    self.unfit.put(Failed(row.video_id, "changed", message))
                    continue
            except OSError as error:
                if not os.path.isdir(row.root):
                    gone[row.root] = None
                    continue
                self.unfit.put(Failed(row.video_id, "unreadable", f"The file cannot be read: {error.strerror}."))
                continue
            yield Job(row.video_id, row.path)
        if gone:
            raise SourceError(
                "The folder of the videos is gone; no video was blamed for it.",
                received=", ".join(gone),
                hint="Is the drive still connected? The same command goes on from here. Where it is gone for good, "
                "`vimoclip remove` takes its videos out.",
            )


def _asks_for(tower: ClipConfig, own: ClipConfig) -> bool:
    """Whether settings, as they were asked for, are for certain those that a feature was made with."""
    weights = own.weights if tower.weights == "default" and own.weights in ("openai", "own") else tower.weights
    return replace(tower, weights=weights) == own


def _added(store: FeatureStore) -> list[str]:
    return [name for name, feature in (store.features | store.unfinished).items() if feature.added]
