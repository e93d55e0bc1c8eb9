"""Calibration: a trained model's scores made into probabilities that mean what they say.

A loss that makes little of easy negatives, and labels that are mixed, leave scores that rank well and say nothing as
probabilities. So the logits x of a model at its end become a x + b, a > 0, with the a and b that fit the labels of the
videos it was trained on (Platt, 1999); where a video shows one behaviour, a x (Guo et al., ICML 2017). Rankings, and so
every mAP, stay.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vimoclip.models.tfam import Tfam

STEPS = 100  # of L-BFGS; it ends by itself after some ten
LEAST = 0.01
"""Of the standard deviation of calibrated logits: of worthless scores the best a is 0, where all would be one tie."""


@dataclass(frozen=True)
class Calibration:
    """a and b of a x + b."""

    scale: float = 1.0
    bias: float = 0.0


def fit(logits: Tensor, targets: Tensor, one_each: bool) -> Calibration:
    """The a and b with the least cross-entropy. logits, targets: (N, C). one_each: of one behaviour a video; b is 0.

    Targets are Platt's: (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2) in place of 1 and 0, so that scores which are right on all
    videos give no infinite a; with one behaviour a video, (N y + 1) / (N + C). Where scores or labels are all the same
    there is nothing to fit, and a = 1, b = 0.
    """
    x, y = logits.double().clone(), targets.double()
    center = 0.0 if one_each else float(x.mean())
    spread = float((x - center).square().mean().sqrt())
    positives, negatives = float(y.sum()), float((1 - y).sum())
    if not (spread and positives and negatives):
        return Calibration()
    if one_each:
        y = (len(y) * y + 1) / (len(y) + y.shape[1])
    else:
        y = torch.where(y > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    z = (x - center) / spread  # so that the search has the same steps for any model
    found = torch.zeros(2, dtype=x.dtype, requires_grad=True)  # a by its logarithm, and b
    search = torch.optim.LBFGS([found], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        scaled = (LEAST + found[0].exp()) * z + (0 if one_each else found[1])
        value = F.cross_entropy(scaled, y) if one_each else F.binary_cross_entropy_with_logits(scaled, y)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    scale, bias = (LEAST + float(found[0].detach().exp())) / spread, float(found[1].detach())
    return Calibration(scale, 0.0 if one_each else bias - scale * center)


@torch.no_grad()
def apply(model: Tfam, calibration: Calibration) -> None:
    """Make the model's logits a x + b, by its last layer."""
    last = model.head[-1]
    assert isinstance(last, nn.Linear)
    last.weight.mul_(calibration.scale)
    last.bias.mul_(calibration.scale).add_(calibration.bias)
