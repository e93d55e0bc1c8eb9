"""SearchOptions: which answers a search should give."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vimoclip.errors import UsageError

Space = Literal["appearance", "motion", "behaviour"]  # as in schemas/segments.py, which --help should not load
By = Literal[Space, "mix"]
Exclude = Literal["span", "video", "nothing"]
Unit = Literal["segments", "frames"]

EVEN_WEIGHTS: Mapping[Space, float] = {"appearance": 1.0, "motion": 1.0}


@dataclass(frozen=True)
class SearchOptions:
    """Which answers are wanted.

    Attributes:
        by: the space to compare in; `mix` weighs several.
        weights: the weight of each space, for `mix`; None weighs appearance and motion evenly.
        top: how many bouts.
        min_percentile: the least percentile of a hit among random pairs, 0 to 100.
        exclude: which part of a stored query's own video is not an answer: the `span` it is made from, the whole
            `video`, or `nothing`.

    Raises:
        UsageError: a value that is out of range, or weights without `mix`.
    """

    by: By = "appearance"
    weights: Mapping[Space, float] | None = None
    top: int = 10
    min_percentile: float = 0.0
    exclude: Exclude = "span"

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UsageError("A search finds at least one bout.", received=f"top {self.top}", expected="1 or more")
        if not 0 <= self.min_percentile <= 100:
            raise UsageError("A percentile lies in 0 to 100.", received=self.min_percentile)
        if self.weights is not None and self.by != "mix":
            raise UsageError("Weights are for --by mix.", received=f"weights, and by {self.by}")
        weights = (self.weights or EVEN_WEIGHTS).values()
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights) > 0:
            raise UsageError("Weights are numbers of at least 0, not all 0.", received=dict(self.weights or {}))

    def space_weights(self) -> dict[Space, float]:
        """Return the weight of each space; they sum to 1, and none is 0."""
        if self.by != "mix":
            return {self.by: 1.0}
        given = self.weights or EVEN_WEIGHTS
        total = sum(given.values())
        return {space: weight / total for space, weight in given.items() if weight > 0}
