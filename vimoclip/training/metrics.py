"""How good scores are: what the literature calls mAP is three things, and each is here under its own name.

    micro          average precision of all (video, class) pairs in one ranking: the paper's 77.09 on Animal Kingdom
    micro_batches  the mean of that over batches, as MSQNet and its family print: 0.5 to 1.0 higher
    macro          the mean over classes of each class's average precision, over classes that some video shows

Average precision is Σ_n (R_n − R_{n−1}) P_n over distinct scores, without interpolation; a class that no video shows
has none. Scores are logits, float (N, C); targets are bool or 0/1, (N, C).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_average_precision,
    binary_calibration_error,
    multiclass_calibration_error,
)

HEAD, MIDDLE = 500, 100
"""Videos, or stretches of videos, of the train split from which a class is of the head, and of the middle; the rest are
the tail."""

BINS = 15  # of the calibration error


@dataclass(frozen=True)
class Metrics:
    """Of one split; fractions, None where there is nothing to take them of.

    videos: of the split. stretches: into how many they were cut, N, where any was; what is said of a video here is then
        so of each stretch.
    classes: average precision of each class, in the model's order. class_groups: its mean over the classes of each
        group, over those that some video shows.
    calibration: expected calibration error over 15 bins: of all (video, class) probabilities, or, for one behaviour a
        video, of the class that was chosen.
    accuracy: share of videos whose highest score is their class; None for several behaviours a video.
    """

    videos: int
    micro: float | None
    micro_batches: float | None
    macro: float | None
    class_groups: dict[str, float | None]
    classes: list[float | None]
    calibration: float | None
    accuracy: float | None = None
    stretches: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as metrics.jsonl and --json have them: there `class_groups` is called `segments`."""
        return {"segments" if name == "class_groups" else name: value for name, value in asdict(self).items()}


def percent(fraction: float | None) -> str:
    """A fraction as the literature has it, 0.7709 as 77.09; a dash where there is none."""
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def multilabel_metrics(
    scores: Tensor, targets: Tensor, class_groups: Sequence[str], batch_size: int, videos: int | None = None
) -> Metrics:
    """Metrics where a video shows any number of behaviours. p = σ(score).

    Args:
        scores: logits, float (N, C).
        targets: bool or 0/1, (N, C).
        class_groups: the group of each class, C names, as `by_count` or a table of them says.
        batch_size: of `micro_batches`, in the order of the videos.
        videos: of how many the N scores are, which are of stretches where these are fewer; None is N.
    """
    p, y = torch.sigmoid(scores.double()), targets.long()  # float64, in which high scores do not all become 1
    return _metrics(p, y, class_groups, batch_size, videos, _binary_calibration(p, y))


def multiclass_metrics(
    scores: Tensor, targets: Tensor, class_groups: Sequence[str], batch_size: int, videos: int | None = None
) -> Metrics:
    """Metrics where a video shows one behaviour; arguments as of `multilabel_metrics`. p = softmax(scores)."""
    p, y = torch.softmax(scores.double(), dim=1), targets.long()
    if not len(p):
        return _metrics(p, y, class_groups, batch_size, videos, None)
    chosen = y.argmax(dim=1)
    calibration = float(multiclass_calibration_error(p, chosen, num_classes=p.shape[1], n_bins=BINS))
    accuracy = float((p.argmax(dim=1) == chosen).double().mean())
    return _metrics(p, y, class_groups, batch_size, videos, calibration, accuracy)


def by_count(counts: Sequence[int]) -> list[str]:
    """The group of each class by how many videos, or stretches, of the train split show it: head, middle or tail."""
    return ["head" if n >= HEAD else "middle" if n >= MIDDLE else "tail" for n in counts]


def _metrics(
    p: Tensor,
    y: Tensor,
    class_groups: Sequence[str],
    batch_size: int,
    videos: int | None,
    calibration: float | None,
    accuracy: float | None = None,
) -> Metrics:
    classes = [_average_precision(p[:, c], y[:, c]) for c in range(p.shape[1])]
    parts = [_average_precision(p[i : i + batch_size], y[i : i + batch_size]) for i in range(0, len(p), batch_size)]
    of = {
        name: [ap for ap, own in zip(classes, class_groups, strict=True) if own == name]
        for name in dict.fromkeys(class_groups)
    }
    return Metrics(
        videos=len(p) if videos is None else videos,
        micro=_average_precision(p, y),
        micro_batches=_mean(parts),
        macro=_mean(classes),
        class_groups={name: _mean(values) for name, values in of.items()},
        classes=classes,
        calibration=calibration,
        accuracy=accuracy,
        stretches=None if videos in (None, len(p)) else len(p),
    )


def _average_precision(p: Tensor, y: Tensor) -> float | None:
    return float(binary_average_precision(p.flatten(), y.flatten())) if y.any() else None


def _binary_calibration(p: Tensor, y: Tensor) -> float | None:
    return float(binary_calibration_error(p.flatten(), y.flatten(), n_bins=BINS)) if y.numel() else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


# Means of a few repetitions and how sure they are: Student's t, since a handful of seeds is not many.


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds the true one at the given confidence. low, high: None for one value alone."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def half(self) -> float | None:
        """Half of its width."""
        return None if self.high is None else self.high - self.mean


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """x̄ ± t(n − 1) · s / √n, of independent values of about a normal distribution.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("an interval is of one value or more")
    mean, n = math.fsum(values) / len(values), len(values)
    if n == 1:
        return Interval(mean, None, None, 1)
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def paired(ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval of ours − theirs, pair by pair: whatever a seed does to both does not count.

    Raises:
        ValueError: no values, or not as many of one as of the other.
    """
    return interval([a - b for a, b in zip(ours, theirs, strict=True)], confidence)
