"""Counting what is in a store."""

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocationLike
from vimoclip.store.lock import current_writer


@dataclass(frozen=True)
class StatusReport:
    """What is in a store.

    Attributes:
        store: where it is.
        videos: how many, by status.
        frames: of the stored videos.
        hours: their duration.
        bytes: on the disk.
        failed: failed videos by kind of failure, with N for the digits in it.
        splits: stored videos by split.
        labels: stored videos by label.
        features: a dict per feature: its name, kind, dim, model, weights, training, precision, memory format and
            fingerprint, and for motion how its `flow` was made (docs/store.md).
        settings: the store's own.
        writer: who is writing to the store now, and how far that is (`vimoclip.store.lock.current_writer`); None where
            nothing is.
    """

    store: str
    videos: dict[str, int]
    frames: int
    hours: float
    bytes: int
    failed: dict[str, int]
    splits: dict[str, int]
    labels: dict[str, int]
    features: list[dict[str, Any]]
    settings: dict[str, Any]
    writer: dict[str, Any] | None


def run(where: LocationLike) -> StatusReport:
    """Count what is in a store.

    Raises:
        StoreError: see `FeatureStore.open`.
    """
    store = FeatureStore.open(where)
    rows = store.rows()
    live = store.live_videos()
    labels = Counter(store.labels().select("video_id", "label").unique()["label"])
    kept = ("name", "kind", "dim", "model", "weights", "training", "precision")
    features = [
        {name: value for name, value in asdict(feature).items() if name in kept}
        | {"flow": json.loads(feature.preprocessing).get("flow"), "fingerprint": feature.fingerprint}
        | {"memory_format": feature.memory_format}
        for feature in store.features.values()
    ]
    return StatusReport(
        store=str(store.place),
        videos=dict(Counter(row.status for row in rows).most_common()),
        frames=sum(row.frames or 0 for row in live),
        hours=sum(row.duration_s or 0.0 for row in live) / 3600,
        bytes=store.place.size(),
        failed=dict(Counter(_kind(row.error_kind) for row in rows if row.error_kind and row.status != "removed")),
        splits=dict(Counter(row.split for row in live if row.split).most_common()),
        labels=dict(labels.most_common()),
        features=features,
        settings=store.config.to_dict(),
        writer=current_writer(store.place),
    )


def _kind(error_kind: str) -> str:
    """The kind of failure without its number of frames: corrupt-after-N-frames."""
    return re.sub(r"\d+", "N", error_kind)
