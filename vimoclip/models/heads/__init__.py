"""Fusion heads: from a video's sequences of vectors to its scores. TFAM's heads are in vimoclip/models/tfam.py, and
those for few clips in closed_form.py.

A new head is a module of this package, with a `FusionHead` and a function `build(config, dims, classes)` that makes
one, and a row of `vimoclip.config.fusion.HEADS`.
"""

import importlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vimoclip.config.fusion import HEADS, FusionConfig, Modality


class FusionHead(nn.Module):
    """What training, evaluation, prediction and the behaviour space need from a head.

    Args:
        dims: the width D of each feature that it reads, by its role.
        classes: the number of classes.
        width: the width of the vectors that `pooled` gives.
    """

    def __init__(self, dims: Mapping[Modality, int], classes: int, width: int) -> None:
        super().__init__()
        self.dims, self.classes, self.width = dict(dims), classes, width

    def forward(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """The logits of B videos. They depend neither on masked vectors nor on the other videos.

        Args:
            vectors: z_t of each feature, float (B, T, D), t = 1 … T and then padding, of any value.
            present: for each feature, bool (B, T), False where there is not a vector: padding, or missing motion.

        Returns:
            fp32 (B, classes).
        """
        raise NotImplementedError

    def pooled(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """A vector of each video, from which its logits follow: its place in the behaviour space.

        Args:
            vectors: see `forward`.
            present: see `forward`.

        Returns:
            fp32 (B, width).
        """
        raise NotImplementedError

    def calibrate(self, scale: float, bias: float) -> None:
        """Change the weights so that logits become scale · logits + bias. A checkpoint then keeps them so."""
        raise NotImplementedError


def build_head(config: FusionConfig, dims: Mapping[Modality, int], classes: int) -> FusionHead:
    """Make the head that a config names, with random weights.

    Args:
        config: the settings of a run.
        dims: the width D of each feature, by its role.
        classes: the number of classes.

    Raises:
        ConfigError: a width that is missing, or one that the head does not read; or no classes.
    """
    module = importlib.import_module(HEADS[config.head_name].module)
    made: FusionHead = module.build(config, dims, classes)
    return made


@torch.no_grad()
def scale_layer(layer: nn.Linear, scale: float, bias: float) -> None:
    """Make a layer's output scale · y + bias: `FusionHead.calibrate` for a head that ends in this layer."""
    layer.weight.mul_(scale)
    layer.bias.mul_(scale).add_(bias)
