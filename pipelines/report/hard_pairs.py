"""The hard pairs: behaviours whose single frames look alike. How often a run tells the two of a pair apart.

A pair is judged by the videos that show just one of the two: right is the run that gives that one the higher
probability. Two runs that see the same videos can so be compared, whatever their probabilities are otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.videos import Video
from vimoclip.fusion_config import Fusion
from vimoclip.prediction import Predictions
from vimoclip.savannah import PAIRS
from vimoclip.store import FeatureStore


@dataclass(frozen=True)
class Told:
    """right: judgements, in halves where both were given the same. of: videos times runs."""

    right: float
    of: int

    @property
    def share(self) -> float | None:
        """None of no videos."""
        return self.right / self.of if self.of else None

    def __add__(self, other: "Told") -> "Told":
        return Told(self.right + other.right, self.of + other.of)


NONE_TOLD = Told(0, 0)


@dataclass(frozen=True)
class HardPair:
    """one, other: the two behaviours. videos: that show just one of them. told: by fusion, over all its runs."""

    one: str
    other: str
    videos: int
    told: dict[Fusion, Told]


def hard_pairs(store: FeatureStore, videos: Sequence[Video], runs: dict[Fusion, list[Path]]) -> list[HardPair]:
    """Every pair of the savannah that some of the videos show.

    Raises:
        CheckpointError: a folder that holds no finished run of this store.
    """
    ids = [row.video_id for row in videos]
    shown = {label: np.zeros(len(ids), bool) for pair in PAIRS for label in pair}
    places = {video_id: n for n, video_id in enumerate(ids)}
    for label, video_id in store.labels().select("label", "video_id").iter_rows():
        if label in shown and video_id in places:
            shown[label][places[video_id]] = True
    predicted = {fusion: [store.predict(ids, run) for run in folders] for fusion, folders in runs.items()}
    pairs = []
    for one, other in PAIRS:
        alone = shown[one] != shown[other]
        if alone.any():
            told = {
                fusion: sum((_told(each, one, other, shown[one], alone) for each in found), NONE_TOLD)
                for fusion, found in predicted.items()
            }
            pairs.append(HardPair(one, other, int(alone.sum()), told))
    return pairs


def in_all(pairs: Sequence[HardPair]) -> dict[Fusion, Told]:
    """All pairs together."""
    fusions = dict.fromkeys(fusion for pair in pairs for fusion in pair.told)
    return {fusion: sum((pair.told[fusion] for pair in pairs), NONE_TOLD) for fusion in fusions}


def _told(predicted: Predictions, one: str, other: str, is_one: NDArray[np.bool_], alone: NDArray[np.bool_]) -> Told:
    """predicted: of the videos of `is_one` and `alone`, in their order."""
    p = np.stack([each.probabilities for each in predicted])
    classes = predicted[0].classes
    lead = (p[:, classes.index(one)] - p[:, classes.index(other)])[alone] * np.where(is_one[alone], 1, -1)
    return Told(float((lead > 0).sum() + 0.5 * (lead == 0).sum()), int(alone.sum()))
