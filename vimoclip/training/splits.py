"""Which videos are trained on, and which are held out: by the splits of label files, or by lot where there are none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.videos import Video
from vimoclip.errors import RunError
from vimoclip.store.feature_store import FeatureStore


def videos_of_split(store: FeatureStore, split: str | None = None) -> list[Video]:
    """The videos of a split that are in, by video_id; None is all of them.

    Raises:
        RunError: there is none.
    """
    videos = sorted(store.live_videos(), key=lambda row: row.video_id)
    chosen = [row for row in videos if split is None or row.split == split]
    if not chosen:
        raise RunError(
            f"No video is in the split {split}." if videos else "No video is in the store.",
            expected=", ".join(splits(store)) or ("--hold-out, since no video has a split" if videos else None),
            hint="Splits come from label files: `vimoclip label FILE`." if videos else "`vimoclip ingest` adds some.",
        )
    return chosen


def splits(store: FeatureStore) -> list[str]:
    """The splits that videos are in, by name."""
    return sorted({row.split for row in store.live_videos() if row.split})


def hold_out(videos: Sequence[Video], share: float, seed: int) -> tuple[list[Video], list[Video]]:
    """About a share of the videos apart from the rest: (to be trained on, held out).

    The lot of a video follows from its id and the seed alone: new videos change nothing about the others.

    Raises:
        RunError: one of the two would be empty.
    """
    held = [row for row in videos if _drawn(row.video_id, seed) < share]
    others = [row for row in videos if _drawn(row.video_id, seed) >= share]
    if not held or not others:
        raise RunError(
            "Too few videos to hold some out.",
            received=f"{len(videos)} videos, of which {len(held)} would be held out",
            hint="Give the videos splits, by the column `split` of a label file (`vimoclip label FILE`); or hold out "
            "another share of them (--hold-out 0.4), or by another lot (--seed 1).",
        )
    return others, held


def _drawn(video_id: str, seed: int) -> float:
    """From 0 up to 1."""
    digest = hashlib.sha256(f"{seed} {video_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


# The classes of a model: which labels of a store it learns to tell apart.


def list_classes(store: FeatureStore) -> list[str]:
    """Every label that a video of the store has, in the order of their names."""
    return store.labels()["label"].unique().sort().to_list()


def trainable_classes(store: FeatureStore, train: Sequence[Video], least: int | None = None) -> list[str]:
    """The labels that can be learned from the videos `train`, in the order of their names.

    least: how many of these videos must show a label; others are no classes. None is all labels of the store, and
    then each must be shown.

    Raises:
        RunError: there are no labels, fewer than two classes, or a class that none of these videos shows.
    """
    labels, own = store.labels(), [row.video_id for row in train]
    videos = labels.filter(pl.col("video_id").is_in(own)).group_by("label").agg(pl.col("video_id").n_unique())
    counts = dict.fromkeys(list_classes(store), 0) | dict(videos.iter_rows())
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
            hint="--min-videos 1 leaves such classes out; or put a video of them into the split to train on.",
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


# Which videos of a store a training learns from, and which it is evaluated on; in words too.


HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class TrainingSplit:
    """The videos of each part of a training.

    Attributes:
        train: the videos to train on.
        select: those set aside to choose the best epoch on; empty where that is not asked for.
        held_out: those to evaluate on; may be empty.
        train_description: which `train` are, in words; kept in run.json, so that its wording must not change.
        held_out_description: likewise of `held_out`.
    """

    train: list[Video]
    select: list[Video]
    held_out: list[Video]
    train_description: str
    held_out_description: str

    @property
    def parts(self) -> dict[str, list[Video]]:
        """Those parts that there are, by name."""
        found = {"select": self.select, "train": self.train, "held_out": self.held_out}
        return {name: videos for name, videos in found.items() if videos}


@dataclass(frozen=True)
class SplitRequest:
    """How to split. train: the split to train on. held_out: the one that is evaluated on; None is val, or test,
    whichever there is. share: of the videos that is held out by lot where no video has a split. min_videos: of those
    to train on that must show a class; None refuses a label that none of them shows."""

    train: str = "train"
    held_out: str | None = None
    share: float = 0.2
    min_videos: int | None = None


def training_split(store: FeatureStore, asked: SplitRequest, select_on: float | None, seed: int) -> TrainingSplit:
    """The split. select_on: the share of the videos to train on that is cut from them, by lot, to choose the best epoch
    on.

    Raises:
        RunError: there are no such videos, or too few.
    """
    known = splits(store)
    if not known:
        train, held_out = hold_out(videos_of_split(store), asked.share, seed)
        said, held = f"all but {asked.share:g} of the videos, by lot", f"{asked.share:g}, by lot"
    else:
        name = asked.held_out or next((each for each in HELD_OUT if each in known and each != asked.train), None)
        train = videos_of_split(store, asked.train)
        held_out = videos_of_split(store, name) if name else []
        said, held = f"split {asked.train}", f"split {name}" if name else "nothing"
    select: list[Video] = []
    if select_on is not None:
        train, select = hold_out(train, select_on, seed)
        said += f", but for {select_on:g} of it, by lot, to choose the best epoch on"
    return TrainingSplit(train, select, held_out, said, held)
