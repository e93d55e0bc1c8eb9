"""How good scores are. What the literature calls mAP is three things, and each is here under its own name.

    micro          average precision of all (video, class) pairs in one ranking: the paper's 77.09 on Animal Kingdom
    micro_batches  the mean of that over batches, as MSQNet and its family print: 0.5 to 1.0 higher
    macro          the mean over classes of each class's average precision, over classes that some video shows

Average precision is Σ_n (R_n − R_{n−1}) P_n over distinct scores, without interpolation; a class that no video shows
has none. Scores are logits, float (N, C); targets are bool or 0/1, (N, C).

Only the order of scores counts, so a calibration, which turns logits x into a x + b with a > 0, must leave every mAP as
it is. Logits of several behaviours are ranked as they are. With one behaviour a video, logits of different videos can
only be compared after something common to all logits of a video is taken away; softmax does that, but then the order of
two videos changes with a. So a class is ranked by its **lead**, x_c − max_{k ≠ c} x_k: how far its logit lies above the
highest of the others, which is a times as large after a calibration.

`interval` and `paired` give means of a few repetitions with their confidence intervals, by Student's t.
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
"""How many videos, or clips, of the train split must show a class for it to be in the head, or in the middle; other
classes are in the tail."""

BINS = 15  # of the calibration error


@dataclass(frozen=True)
class Metrics:
    """Metrics of one split; fractions, None where there is nothing to compute them from.

    Attributes:
        videos: how many the split has.
        micro: see above.
        micro_batches: see above.
        macro: see above.
        class_groups: mean average precision over the classes of each group that some video shows.
        classes: average precision of each class, in the model's order.
        calibration: expected calibration error over 15 bins: of all (video, class) probabilities or, with one behaviour
            a video, of the chosen class.
        accuracy: share of videos whose highest score is their class; None for several behaviours a video.
        stretches: how many clips the videos were cut into, where any was; the other fields are then about clips.
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
        """Return plain values for JSON, as metrics.jsonl and --json have them; `class_groups` is `segments` there."""
        plain = {"segments" if name == "class_groups" else name: value for name, value in asdict(self).items()}
        return plain | {"macro_classes": self.macro_classes}

    @property
    def macro_classes(self) -> int:
        """How many classes `macro` is the mean over: those that some video shows."""
        return classes_shown(self.classes)


def classes_shown(classes: Sequence[float | None]) -> int:
    """Count the classes that have an average precision, over which macro mAP is the mean.

    Args:
        classes: average precision of each class.
    """
    return sum(value is not None for value in classes)


def over_classes(classes: Sequence[float | None]) -> str:
    """Say which classes macro mAP is the mean over: `over 140 classes`, or `over 12 of 140 classes`.

    Args:
        classes: average precision of each class.
    """
    return over_count(classes_shown(classes), len(classes))


def over_count(shown: int, classes: int) -> str:
    """Say what `over_classes` does, by how many classes some video shows, and how many there are."""
    share = f"{shown} of {classes}" if shown < classes else f"{shown}"
    return f"over {share} {'class' if classes == 1 else 'classes'}"


def percent(fraction: float | None) -> str:
    """Write a fraction as the literature does, 0.7709 as 77.09; None as a dash."""
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def multilabel_metrics(
    scores: Tensor, targets: Tensor, class_groups: Sequence[str], batch_size: int, videos: int | None = None
) -> Metrics:
    """Compute metrics where a video shows any number of behaviours. p = σ(score).

    Args:
        scores: logits, float (N, C).
        targets: bool or 0/1, (N, C).
        class_groups: the group of each class, C names, as `by_count` or a table gives them.
        batch_size: of `micro_batches`, in the order of the videos.
        videos: how many videos the N scores belong to, where they are scores of clips; None is N.
    """
    x, y = scores.double(), targets.long()
    return _metrics(x, y, class_groups, batch_size, videos, _binary_calibration(torch.sigmoid(x), y))


def multiclass_metrics(
    scores: Tensor, targets: Tensor, class_groups: Sequence[str], batch_size: int, videos: int | None = None
) -> Metrics:
    """Compute metrics where a video shows one behaviour; arguments as `multilabel_metrics`.

    Classes are ranked by their leads (see the module's docstring); the calibration is that of p = softmax(scores).
    """
    x, y = scores.double(), targets.long()
    if not len(x):
        return _metrics(x, y, class_groups, batch_size, videos, None)
    p, chosen = torch.softmax(x, dim=1), y.argmax(dim=1)
    calibration = float(multiclass_calibration_error(p, chosen, num_classes=p.shape[1], n_bins=BINS))
    accuracy = float((x.argmax(dim=1) == chosen).double().mean())
    return _metrics(leads(x), y, class_groups, batch_size, videos, calibration, accuracy)


def leads(scores: Tensor) -> Tensor:
    """Compute how far each logit lies above the highest of the others of its video, float (N, C).

    Args:
        scores: logits, float (N, C), of two classes or more.
    """
    highest = scores.topk(2, dim=1).values
    first, second = highest[:, :1], highest[:, 1:]
    return scores - torch.where(scores == first, second, first)


def by_count(counts: Sequence[int]) -> list[str]:
    """Group each class by how many videos, or clips, of the train split show it: head, middle or tail."""
    return ["head" if n >= HEAD else "middle" if n >= MIDDLE else "tail" for n in counts]


def _metrics(
    scores: Tensor,
    y: Tensor,
    class_groups: Sequence[str],
    batch_size: int,
    videos: int | None,
    calibration: float | None,
    accuracy: float | None = None,
) -> Metrics:
    p = _ranks(scores)
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


def _ranks(scores: Tensor) -> Tensor:
    """The place of each score among all of them, above 0 and up to 1: a sigmoid would make high scores equal."""
    _, places = torch.unique(scores, return_inverse=True)
    ranks: Tensor = (places.double() + 1) / max(places.numel(), 1)
    return ranks


def _average_precision(p: Tensor, y: Tensor) -> float | None:
    return float(binary_average_precision(p.flatten(), y.flatten())) if y.any() else None


def _binary_calibration(p: Tensor, y: Tensor) -> float | None:
    return float(binary_calibration_error(p.flatten(), y.flatten(), n_bins=BINS)) if y.numel() else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


@dataclass(frozen=True)
class Interval:
    """A mean, and the interval that holds the true one at the given confidence.

    Attributes:
        mean: of the values.
        low: the lower end; None for a single value.
        high: the upper end; None for a single value.
        count: how many values.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def half(self) -> float | None:
        """Half of the interval's width; None for a single value."""
        return None if self.high is None else self.high - self.mean


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Compute x̄ ± t(n − 1) · s / √n of independent, about normally distributed values.

    Student's t is used because a handful of seeds is few.

    Args:
        values: one or more.
        confidence: between 0 and 1.

    Raises:
        ValueError: there are no values.
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
    """Compute the interval of ours − theirs, pair by pair, so that what a seed does to both does not count.

    Raises:
        ValueError: there are no values, or not equally many of both.
    """
    return interval([a - b for a, b in zip(ours, theirs, strict=True)], confidence)
