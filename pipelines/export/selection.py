"""Selecting what to export: videos by split and label, and features by name."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from schemas.features import Feature
from schemas.videos import Video
from vimoclip.errors import ExportError, require_known
from vimoclip.store.feature_store import FeatureStore


@dataclass(frozen=True)
class Query:
    """What to export: videos that have one of the splits and one of the labels.

    Attributes:
        splits: empty is any.
        labels: of the whole video or of a span; empty is any.
        features: by name; empty is all.
    """

    splits: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """What a query found in a snapshot.

    Attributes:
        store: the snapshot.
        videos: rows of `store.videos()`, in the order of video_id.
        labels: all rows of `store.labels()` of these videos.
        features: in the store's order.
    """

    store: FeatureStore
    videos: pl.DataFrame
    labels: pl.DataFrame
    features: list[Feature]

    @property
    def rows(self) -> list[Video]:
        """The rows of `videos`, in the same order."""
        rows = {row.video_id: row for row in self.store.live_videos()}
        return [rows[video_id] for video_id in self.videos["video_id"]]

    @property
    def columns(self) -> list[str]:
        """The columns of `frames` that are exported."""
        vectors = [column for feature in self.features for column in feature.columns]
        return ["video_id", "frame_index", "source_frame", "time_s", *vectors, "flow_speed"]

    @property
    def frames(self) -> int:
        """How many frames the videos have in total."""
        return int(self.videos["frames"].sum())


def select(store: FeatureStore, query: Query) -> Selection:
    """Select from a snapshot.

    Args:
        store: the snapshot.
        query: what to select.

    Raises:
        ExportError: the store does not have a split, label or feature, or no video matches.
    """
    videos, labels = store.videos(), store.labels()
    if videos.is_empty():
        raise ExportError(f"The store {store.place} holds no video.", hint="`vimoclip ingest FOLDER` adds some.")

    def known(kind: str, names: Iterable[str], held: Iterable[str]) -> tuple[str, ...]:
        return require_known(kind, names, sorted(set(held)), ExportError, "; nothing was written")

    query = Query(
        known("split", query.splits, videos["split"].drop_nulls()),
        known("label", query.labels, labels["label"]),
        known("feature", query.features, store.features),
    )
    if query.splits:
        videos = videos.filter(pl.col("split").is_in(query.splits))
    if query.labels:
        videos = videos.join(labels.filter(pl.col("label").is_in(query.labels)), on="video_id", how="semi")
    if videos.is_empty():
        raise ExportError(
            "No video matches; nothing was written.",
            received=f"split {' or '.join(query.splits)}, label {' or '.join(query.labels)}",
            expected="a video in such a split with such a label",
            hint="`vimoclip status` counts the videos of each split and label.",
        )
    labels = labels.join(videos, on="video_id", how="semi")
    features = [feature for name, feature in store.features.items() if name in (query.features or store.features)]
    return Selection(store, videos.sort("video_id"), labels.sort("video_id", "start_s", "label"), features)
