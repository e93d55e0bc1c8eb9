"""Fusion heads: from a video's sequences of vectors to its scores. TFAM's are vimoclip/models/tfam.py.

A new head is a module of this package, with a `FusionHead` and a function `build(config, dims, classes)` that makes
one, and a row of `vimoclip.config.fusion.HEADS`.
"""

import importlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vimoclip.config.fusion import HEADS, FusionConfig, Modality


class FusionHead(nn.Module):
    """What training, evaluation, prediction and the behaviour space need of a head.

    Args:
        dims: the width D of each feature that it reads, by its role.
        classes: how many.
        width: of what `pooled` gives.
    """

    def __init__(self, dims: Mapping[Modality, int], classes: int, width: int) -> None:
        super().__init__()
        self.dims, self.classes, self.width = dict(dims), classes, width

    def forward(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """Logits, fp32 (B, classes), of B videos. They depend on nothing that is masked, nor on the other videos.

        Args:
            vectors: z_t of each feature, float (B, T, D), t = 1 … T and then padding, of any value.
            present: of each, bool (B, T), False where there is no vector: padding, or motion that is missing.
        """
        raise NotImplementedError

    def pooled(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """A vector of each video, fp32 (B, width), from which its logits follow: of the behaviour space.

        Args: see `forward`.
        """
        raise NotImplementedError

    def calibrate(self, scale: float, bias: float) -> None:
        """Make its logits scale · logits + bias from now on, by its weights, which are what a checkpoint keeps."""
        raise NotImplementedError


def build_head(config: FusionConfig, dims: Mapping[Modality, int], classes: int) -> FusionHead:
    """The head that a config names, with random weights.

    Args: see `FusionHead`.

    Raises:
        ConfigError: a width that is missing or that nothing reads; no classes.
    """
    module = importlib.import_module(HEADS[config.head_name].module)
    made: FusionHead = module.build(config, dims, classes)
    return made


@torch.no_grad()
def scale_layer(layer: nn.Linear, scale: float, bias: float) -> None:
    """Make what a last layer gives scale · y + bias: `FusionHead.calibrate` of a head that ends in one."""
    layer.weight.mul_(scale)
    layer.bias.mul_(scale).add_(bias)
