"""The hard pairs: behaviours whose single frames look alike. How often a run tells the two of a pair apart.

A pair is judged by the videos that show just one of the two: right is the run that gives that one the higher
probability. Two runs that see the same videos can so be compared, whatever their probabilities are otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.videos import Video
from vimoclip.api import Store
from vimoclip.config.fusion import Fusion
from vimoclip.savannah import PAIRS
from vimoclip.savannah.behaviours import Behaviour

Pair = tuple[Behaviour, Behaviour]


@dataclass(frozen=True)
class PairAccuracy:
    """right: judgements, in halves where both were given the same. of: videos times runs."""

    right: float
    of: int

    @property
    def share(self) -> float | None:
        """None of no videos."""
        return self.right / self.of if self.of else None

    def __add__(self, other: "PairAccuracy") -> "PairAccuracy":
        return PairAccuracy(self.right + other.right, self.of + other.of)


NO_PAIRS = PairAccuracy(0, 0)


def pair_accuracy(store: Store, videos: Sequence[Video], run: Path) -> dict[Pair, PairAccuracy]:
    """How often a run is right about each pair of the savannah that some of the videos show just one of.

    Raises:
        CheckpointError: a folder that holds no finished run of this store.
    """
    ids = [row.video_id for row in videos]
    labels = set(store.labels().select("label", "video_id").iter_rows())
    predicted = store.predict(ids, run)
    p = np.stack([each.probabilities for each in predicted])
    classes = predicted[0].classes
    found = {}
    for one, other in PAIRS:
        is_one = np.array([(one, video_id) in labels for video_id in ids])
        is_other = np.array([(other, video_id) in labels for video_id in ids])
        alone = is_one != is_other
        if alone.any():
            lead = (p[:, classes.index(one)] - p[:, classes.index(other)])[alone] * np.where(is_one[alone], 1, -1)
            found[one, other] = PairAccuracy(float((lead > 0).sum() + 0.5 * (lead == 0).sum()), int(alone.sum()))
    return found


@dataclass(frozen=True)
class HardPair:
    """one, other: the two behaviours. videos: that show just one of them. told: by fusion, over all its runs."""

    one: str
    other: str
    videos: int
    told: dict[Fusion, PairAccuracy]


def hard_pairs(store: Store, videos: Sequence[Video], runs: dict[Fusion, list[Path]]) -> list[HardPair]:
    """Every pair of the savannah that some of the videos show.

    Raises:
        CheckpointError: a folder that holds no finished run of this store.
    """
    found = {fusion: [pair_accuracy(store, videos, run) for run in folders] for fusion, folders in runs.items()}
    first = next(each for of in found.values() for each in of)
    return [
        HardPair(
            one,
            other,
            told.of,
            {fusion: sum((each[one, other] for each in of), NO_PAIRS) for fusion, of in found.items()},
        )
        for (one, other), told in first.items()
    ]


def overall(pairs: Sequence[HardPair]) -> dict[Fusion, PairAccuracy]:
    """All pairs together."""
    fusions = dict.fromkeys(fusion for pair in pairs for fusion in pair.told)
    return {fusion: sum((pair.told[fusion] for pair in pairs), NO_PAIRS) for fusion in fusions}
