"""Which videos of a store a training learns from, and which it is evaluated on; in words too."""

from dataclasses import dataclass

from schemas.videos import Video
from vimoclip.store.feature_store import FeatureStore
from vimoclip.training.splits import hold_out, of_split, splits

HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class TrainingSplit:
    """train, select, held_out: the videos of each part; nothing where it is not asked for, or not there. said_train,
    said_held_out: which these are, for people."""

    train: list[Video]
    select: list[Video]
    held_out: list[Video]
    said_train: str
    said_held_out: str

    @property
    def parts(self) -> dict[str, list[Video]]:
        """Those parts that there are, by name."""
        found = {"select": self.select, "train": self.train, "held_out": self.held_out}
        return {name: videos for name, videos in found.items() if videos}


@dataclass(frozen=True)
class Asked:
    """How to split. train: the split to train on. held_out: the one that is evaluated on; None is val, or test,
    whichever there is. share: of the videos that is held out by lot where no video has a split. least_videos: of those
    to train on that must show a class; None refuses a label that none of them shows."""

    train: str = "train"
    held_out: str | None = None
    share: float = 0.2
    least_videos: int | None = None


def training_split(store: FeatureStore, asked: Asked, select_on: float | None, seed: int) -> TrainingSplit:
    """The split. select_on: the share of the videos to train on that is cut from them, by lot, to choose the best epoch
    on.

    Raises:
        RunError: there are no such videos, or too few.
    """
    known = splits(store)
    if not known:
        train, held_out = hold_out(of_split(store), asked.share, seed)
        said, held = f"all but {asked.share:g} of the videos, by lot", f"{asked.share:g}, by lot"
    else:
        name = asked.held_out or next((each for each in HELD_OUT if each in known and each != asked.train), None)
        train = of_split(store, asked.train)
        held_out = of_split(store, name) if name else []
        said, held = f"split {asked.train}", f"split {name}" if name else "nothing"
    select: list[Video] = []
    if select_on is not None:
        train, select = hold_out(train, select_on, seed)
        said += f", but for {select_on:g} of it, by lot, to choose the best epoch on"
    return TrainingSplit(train, select, held_out, said, held)
