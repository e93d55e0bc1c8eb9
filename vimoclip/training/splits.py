"""Which videos are trained on and which are held out, by the splits of label files or else at random; and the classes.

`training_split` chooses the videos, `trainable_classes` the labels of the store that a model learns to tell apart.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from schemas.features import Feature
from schemas.models import folder_of, student_id
from schemas.videos import Video
from vimoclip.errors import CheckpointError, RunError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.models import model_files


def videos_of_split(
    store: FeatureStore, split: str | None = None, without_splits: str = "--hold-out, since no video has a split"
) -> list[Video]:
    """List the live videos of a split, by video_id.

    Args:
        store: the snapshot.
        split: its name; None is all videos.
        without_splits: what a message expects where no video has a split.

    Raises:
        RunError: there is no such video.
    """
    videos = sorted(store.live_videos(), key=lambda row: row.video_id)
    chosen = [row for row in videos if split is None or row.split == split]
    if not chosen:
        raise RunError(
            f"No video is in the split {split}." if videos else "No video is in the store.",
            expected=", ".join(splits(store)) or (without_splits if videos else None),
            hint="Splits come from label files: `vimoclip label FILE`." if videos else "`vimoclip ingest` adds some.",
        )
    return chosen


def splits(store: FeatureStore) -> list[str]:
    """List the splits that videos are in, by name."""
    return sorted({row.split for row in store.live_videos() if row.split})


SPLIT_SEED = 49
"""The default seed of what is drawn at random. It is also the default seed of trainings, which older runs drew by."""

FOLDER = "folder"
"""The name under which videos are grouped by the parent folder of their ids, instead of by a metadata column."""


def hold_out(
    videos: Sequence[Video],
    share: float,
    seed: int,
    salt: str = "",
    by: str | None = None,
    flags: tuple[str, str] = ("--hold-out", "--split-seed"),
) -> tuple[list[Video], list[Video]]:
    """Set about a share of the videos apart, at random.

    Whether a video is held out follows from its id, or that of its group, the seed and the salt alone: new videos do
    not move the others.

    Args:
        videos: to divide.
        share: of the videos, or of their groups, that is held out, 0 to 1.
        seed: another one draws other videos.
        salt: of this cut; cuts with different salts are independent of each other.
        by: what groups the videos, see `group_names`; the videos of a group are on the same side.
        flags: the options that set share and seed, for messages.

    Returns:
        The videos to train on, and those held out.

    Raises:
        RunError: one of the two would be empty.
    """
    names = group_names(videos, by)
    lots = [_drawn(name, seed, salt) for name in names]
    held = [row for row, lot in zip(videos, lots, strict=True) if lot < share]
    others = [row for row, lot in zip(videos, lots, strict=True) if lot >= share]
    if not held or not others:
        groups = f" in {len(set(names))} groups by {by}" if by else ""
        raise RunError(
            "Too few videos to hold some out.",
            received=f"{len(videos)} videos{groups}, of which {len(held)} would be held out",
            hint="Give the videos splits, by the column `split` of a label file (`vimoclip label FILE`); or hold out "
            f"another share of them ({flags[0]} 0.4), or draw others ({flags[1]} 1).",
        )
    return others, held


def group_names(videos: Sequence[Video], by: str | None) -> list[str]:
    """Name the group of each video: videos of one name stay together when some are drawn at random.

    Args:
        videos: to group.
        by: None makes each video a group; `folder` takes the parent folder of its id; anything else is a column of its
            metadata. A video without a value of the column is a group of its own.
    """
    if by is None:
        return [row.video_id for row in videos]
    if by == FOLDER:
        return [f"{FOLDER}={PurePosixPath(row.video_id).parent}" for row in videos]
    values = [json.loads(row.metadata).get(by) for row in videos]
    return [f"{by}={value}" if value else row.video_id for row, value in zip(videos, values, strict=True)]


def folds(videos: Sequence[Video], parts: int, seed: int, by: str | None = None) -> list[int]:
    """Deal videos into parts of about the same number of groups, at random.

    Args:
        videos: to divide.
        parts: how many.
        seed: another one deals them otherwise.
        by: see `group_names`.

    Returns:
        The number of the part of each video.
    """
    names = group_names(videos, by)
    order = sorted(set(names), key=lambda name: (_drawn(name, seed, "fold"), name))
    part = {name: number % parts for number, name in enumerate(order)}
    return [part[name] for name in names]


def _check_column(store: FeatureStore, by: str | None) -> None:
    if by is None or by == FOLDER:
        return
    columns = sorted({name for row in store.live_videos() for name in json.loads(row.metadata)})
    if by not in columns:
        raise RunError(
            "No video has this column to be grouped by.",
            received=by,
            expected=", ".join([*columns, FOLDER]),
            hint="Columns come from label files: `vimoclip label FILE`.",
        )


def _divided_folders(parts: Sequence[Sequence[Video]]) -> int:
    """How many parent folders of ids have videos in several parts."""
    sides = Counter(folder for videos in parts for folder in {PurePosixPath(row.video_id).parent for row in videos})
    return sum(count > 1 for count in sides.values())


def _drawn(name: str, seed: int, salt: str) -> float:
    """A number of a group's own, from 0 up to 1."""
    digest = hashlib.sha256((f"{salt} " if salt else "").encode() + f"{seed} {name}".encode()).digest()
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
        rule: how what is random was drawn, for run.json and meta.json: `seed`; `by`, the column whose groups stay
            together, or None; `share`, held out at random, or None where splits say what is held out. None in runs that
            were begun before there was a split seed.
        divided_folders: how many folders have videos on both sides of a random cut, where videos are not grouped.
    """

    train: list[Video]
    select: list[Video]
    held_out: list[Video]
    train_description: str
    held_out_description: str
    unused: dict[str, int]
    rule: dict[str, Any] | None = None
    divided_folders: int = 0

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
        seed: of what is drawn at random; None draws as runs did before there was a split seed: by the training's, and
            with the same draw for `select` as for `held_out`.
        by: what groups the videos, see `group_names`.
        allow_taught: whether the model may be judged on videos that the student of its motion vectors was taught on.
    """

    train: str = "train"
    held_out: str | None = None
    share: float = 0.2
    min_videos: int | None = None
    seed: int | None = SPLIT_SEED
    by: str | None = None
    allow_taught: bool = False

    def differs(self, rule: dict[str, Any] | None) -> str | None:
        """Say what a run that was split by this rule, see `TrainingSplit`, has that is not asked for; None if nothing.

        Args:
            rule: of the run; None where it was begun before there was a split seed.
        """
        if rule is None:
            default = self.seed in (None, SPLIT_SEED) and self.by is None
            return None if default else "no split seed and no groups"
        if (rule["seed"], rule["by"]) != (self.seed, self.by):
            return f"--split-seed {rule['seed']}" + (f" --hold-out-by {rule['by']}" if rule["by"] else "")
        return None if rule["share"] in (None, self.share) else f"--hold-out {rule['share']:g}"

    def before_split_seeds(self) -> "SplitRequest":
        """The same, drawn as runs did before there was a split seed."""
        return replace(self, seed=None, by=None)


def training_split(
    store: FeatureStore, asked: SplitRequest, select_on: float | None, training_seed: int
) -> TrainingSplit:
    """Choose the videos of a training.

    Args:
        store: the snapshot.
        asked: how to split.
        select_on: the share of the videos to train on that is taken from them, at random, to choose the best epoch on;
            None takes none.
        training_seed: draws at random where `asked.seed` is None.

    Raises:
        RunError: there are no such videos, or too few; or no video has the column that groups them.
    """
    _check_column(store, asked.by)
    seed, salt = (training_seed, "") if asked.seed is None else (asked.seed, "select")
    known = splits(store)
    whole = f", each {asked.by} whole" if asked.by else ""
    if not known:
        train, held_out = hold_out(videos_of_split(store), asked.share, seed, by=asked.by)
        said, held = f"all but {asked.share:g} of the videos, by lot{whole}", f"{asked.share:g}, by lot{whole}"
        random = [train, held_out]
    else:
        name = asked.held_out or next((each for each in HELD_OUT if each in known and each != asked.train), None)
        train = videos_of_split(store, asked.train)
        held_out = videos_of_split(store, name) if name else []
        said, held = f"split {asked.train}", f"split {name}" if name else "nothing"
        random = []
    select: list[Video] = []
    if select_on is not None:
        train, select = hold_out(train, select_on, seed, salt, asked.by, ("--select-on", "--split-seed"))
        said += f", but for {select_on:g} of it, by lot{whole}, to choose the best epoch on"
        random = [train, select, *random[1:]]
    used = {row.video_id for row in (*train, *select, *held_out)}
    rest = Counter(row.split or "" for row in store.live_videos() if row.video_id not in used)
    rule = {"seed": asked.seed, "by": asked.by, "share": None if known else asked.share}
    return TrainingSplit(
        train,
        select,
        held_out,
        said,
        held,
        dict(sorted(rest.items())),
        None if asked.seed is None else rule,
        0 if asked.by else _divided_folders(random),
    )


def held_out_by(store: FeatureStore, rule: dict[str, Any], seed: int) -> list[Video]:
    """The videos of a store without splits that a run holds out, or would hold out, by its rule.

    Args:
        store: the snapshot.
        rule: of the run, see `TrainingSplit`, with a share.
        seed: the rule's or, where it has none, the training's.

    Raises:
        RunError: no video is in the store, or none has the column any longer.
    """
    _check_column(store, rule["by"])
    videos = videos_of_split(store)
    names = group_names(videos, rule["by"])
    return [row for row, name in zip(videos, names, strict=True) if _drawn(name, seed, "") < rule["share"]]


@dataclass(frozen=True)
class Taught:
    """What the trained students of a model's features were taught on.

    Attributes:
        videos: those that one of them was taught on, of the videos that were asked about.
        unknown: the features whose student does not say, since an earlier version trained it.
    """

    videos: list[Video]
    unknown: list[str]


def taught_videos(store: FeatureStore, features: Iterable[Feature], videos: Sequence[Video]) -> Taught:
    """Find the videos that the students of features were taught on. A video is known by the hash of its file.

    Args:
        store: the snapshot.
        features: those that a model reads.
        videos: to look among.
    """
    from vimoclip.models.motion_student import read_student_meta  # torch

    taught, unknown = set[str](), list[str]()
    for feature in features:
        if (id := student_id(feature)) is None:
            continue
        try:
            own = read_student_meta(model_files(store.place, id), f"{store.place}/{folder_of(id)}").taught
        except CheckpointError:  # `vimoclip verify` tells; vectors can be read without it
            own = None
        if own is None:
            unknown.append(feature.name)
        else:
            taught |= set(own)
    return Taught([row for row in videos if row.content_hash in taught], unknown)


def check_taught(store: FeatureStore, features: Iterable[Feature], judged: Sequence[Video], allow: bool) -> str | None:
    """Refuse to judge a model on videos that the student of its motion vectors was taught on.

    Args:
        store: the snapshot.
        features: those that the model reads.
        judged: the videos that it is to be judged on.
        allow: whether to judge it nonetheless.

    Returns:
        A warning, if it is judged on such videos nonetheless or if it is not known which they are.

    Raises:
        RunError: it names some of the videos.
    """
    found = taught_videos(store, features, judged)
    if found.videos:
        names = ", ".join(row.video_id for row in found.videos[:3]) + ", …" * (len(found.videos) > 3)
        share = f"{len(found.videos)} of {len(judged)} videos to judge the model on were taught, such as {names}"
        if not allow:
            raise RunError(
                "The student of the motion vectors was taught the labels of videos that are held out here.",
                received=share,
                expected="held-out videos that it was not taught on",
                hint="Train the student and the model with the same splits or, where videos have none, with the same "
                "--hold-out, --split-seed and --hold-out-by; or judge the model nonetheless with --allow-taught.",
            )
        return f"Warning: {share}: the figures are too good."
    if found.unknown and judged:
        return (
            f"Warning: which videos the student of {', '.join(found.unknown)} was taught on is not known, since an "
            "earlier version trained it. If some of them are held out here, the figures are too good."
        )
    return None
