"""The classes of a model: which labels of a store it learns to tell apart."""

from collections.abc import Sequence

import polars as pl

from schemas.videos import Video
from vimoclip.errors import RunError
from vimoclip.store.feature_store import FeatureStore


def classes_of(store: FeatureStore) -> list[str]:
    """Every label that a video of the store has, in the order of their names."""
    return store.labels()["label"].unique().sort().to_list()


def taught_classes(store: FeatureStore, train: Sequence[Video], least: int | None = None) -> list[str]:
    """The labels that can be learned from the videos `train`, in the order of their names.

    least: how many of these videos must show a label; others are no classes. None is all labels of the store, and
    then each must be shown.

    Raises:
        RunError: there are no labels, fewer than two classes, or a class that none of these videos shows.
    """
    labels, own = store.labels(), [row.video_id for row in train]
    videos = labels.filter(pl.col("video_id").is_in(own)).group_by("label").agg(pl.col("video_id").n_unique())
    counts = dict.fromkeys(classes_of(store), 0) | dict(videos.iter_rows())
    if not counts:
        raise RunError(
            "No video has a label.",
            received=f"{len(own)} videos to train on",
            expected="two behaviours or more",
            hint="`vimoclip label FILE` adds labels.",
        )
    unseen = [name for name, shown in counts.items() if not shown]
    if unseen and least is None:
        raise RunError(
            "A class that no video shows cannot be learned.",
            received=f"no video to train on of {', '.join(unseen[:8])}"
            + f" and {len(unseen) - 8} more" * (len(unseen) > 8),
            expected="one of each class or more",
            hint="--least-videos 1 leaves such classes out; or put a video of them into the split to train on.",
        )
    classes = [name for name, shown in counts.items() if shown >= (least or 0)]
    if len(classes) < 2:
        raise RunError(
            "There are too few classes to tell apart.",
            received=", ".join(f"{name} on {shown} videos" for name, shown in counts.items()),
            expected="two classes or more" + (f", each on {least} videos" if least else ""),
            hint="Label what else the videos show: a model of one class says it of every video.",
        )
    return classes
