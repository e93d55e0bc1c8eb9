"""Which videos are trained on and which are held out, by the splits of label files or else at random; and the classes.

`training_split` chooses the videos, `trainable_classes` the labels of the store that a model learns to tell apart.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.videos import Video
from vimoclip.errors import RunError
from vimoclip.store.feature_store import FeatureStore


def videos_of_split(store: FeatureStore, split: str | None = None) -> list[Video]:
    """List the live videos of a split, by video_id.

    Args:
        store: the snapshot.
        split: its name; None is all videos.

    Raises:
        RunError: there is no such video.
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
    """List the splits that videos are in, by name."""
    return sorted({row.split for row in store.live_videos() if row.split})


def hold_out(videos: Sequence[Video], share: float, seed: int) -> tuple[list[Video], list[Video]]:
    """Set about a share of the videos apart, at random.

    Whether a video is held out follows from its id and the seed alone: new videos do not move the others.

    Args:
        videos: to divide.
        share: of the videos that is held out, 0 to 1.
        seed: another one draws other videos.

    Returns:
        The videos to train on, and those held out.

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
            "another share of them (--hold-out 0.4), or draw others (--seed 1).",
        )
    return others, held


def _drawn(video_id: str, seed: int) -> float:
    """A number of the video's own, from 0 up to 1."""
    digest = hashlib.sha256(f"{seed} {video_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def list_classes(store: FeatureStore) -> list[str]:
    """List every label that a video of the store has, by name."""
    return store.labels()["label"].unique().sort().to_list()


def trainable_classes(store: FeatureStore, train: Sequence[Video], least: int | None = None) -> list[str]:
    """List the labels that can be learned from some videos, by name.

    Args:
        store: the snapshot.
        train: the videos to train on.
        least: how many of them must show a label for it to be a class; None takes all labels of the store, and each
            must be shown.

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


HELD_OUT = ("val", "test")
"""The splits that are held out by default, the first of them that there is."""


@dataclass(frozen=True)
class TrainingSplit:
    """The videos of each part of a training.

    Attributes:
        train: the videos to train on.
        select: those set aside to choose the best epoch on; empty where that is not asked for.
        held_out: those to evaluate on; may be empty.
        train_description: which `train` are, in words; kept in run.json, so that its wording must not change.
        held_out_description: likewise of `held_out`.
        unused: how many videos are in no part, by their split; those without one under the empty name.
    """

    train: list[Video]
    select: list[Video]
    held_out: list[Video]
    train_description: str
    held_out_description: str
    unused: dict[str, int]

    @property
    def parts(self) -> dict[str, list[Video]]:
        """The parts that have videos, by name."""
        found = {"select": self.select, "train": self.train, "held_out": self.held_out}
        return {name: videos for name, videos in found.items() if videos}


@dataclass(frozen=True)
class SplitRequest:
    """How to split.

    Attributes:
        train: the split to train on.
        held_out: the split to evaluate on; None is val, or test, whichever there is.
        share: of the videos that is held out at random where no video has a split.
        min_videos: how many of the videos to train on must show a class; None refuses a label that none of them shows.
    """

    train: str = "train"
    held_out: str | None = None
    share: float = 0.2
    min_videos: int | None = None


def training_split(store: FeatureStore, asked: SplitRequest, select_on: float | None, seed: int) -> TrainingSplit:
    """Choose the videos of a training.

    Args:
        store: the snapshot.
        asked: how to split.
        select_on: the share of the videos to train on that is taken from them, at random, to choose the best epoch on;
            None takes none.
        seed: of what is drawn at random.

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
    used = {row.video_id for row in (*train, *select, *held_out)}
    rest = Counter(row.split or "" for row in store.live_videos() if row.video_id not in used)
    return TrainingSplit(train, select, held_out, said, held, dict(sorted(rest.items())))
