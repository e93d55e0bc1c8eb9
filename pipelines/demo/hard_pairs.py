"""Hard pairs, behaviours whose single frames look alike: how often a run tells the two of a pair apart.

A pair is judged on the videos that show only one of its two behaviours. A run is right about a video when it gives that
behaviour the higher probability, so that runs can be compared whatever the scale of their probabilities.
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
    """How often runs are right about a pair.

    Attributes:
        right: right judgements; equal probabilities count as half a judgement.
        of: judgements, videos times runs.
    """

    right: float
    of: int

    @property
    def share(self) -> float | None:
        """The share of right judgements; None without any judgement."""
        return self.right / self.of if self.of else None

    def __add__(self, other: "PairAccuracy") -> "PairAccuracy":
        return PairAccuracy(self.right + other.right, self.of + other.of)


NO_PAIRS = PairAccuracy(0, 0)


def pair_accuracy(store: Store, videos: Sequence[Video], run: Path) -> dict[Pair, PairAccuracy]:
    """How often a run is right about each hard pair of the savannah.

    Args:
        store: the store.
        videos: to judge by.
        run: the folder of a finished run.

    Returns:
        By pair; pairs that no video can judge are left out.

    Raises:
        CheckpointError: the folder does not hold a finished run of this store.
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
    """How often fusions are right about a pair.

    Attributes:
        one: a behaviour.
        other: the other behaviour.
        videos: how many show only one of them.
        told: by fusion, over all its runs.
    """

    one: str
    other: str
    videos: int
    told: dict[Fusion, PairAccuracy]


def hard_pairs(store: Store, videos: Sequence[Video], runs: dict[Fusion, list[Path]]) -> list[HardPair]:
    """How often fusions are right about each hard pair that some of the videos can judge.

    Args:
        store: the store.
        videos: to judge by.
        runs: folders of finished runs, by fusion.

    Raises:
        CheckpointError: a folder does not hold a finished run of this store.
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
    """The accuracy over all pairs, by fusion."""
    fusions = dict.fromkeys(fusion for pair in pairs for fusion in pair.told)
    return {fusion: sum((pair.told[fusion] for pair in pairs), NO_PAIRS) for fusion in fusions}
