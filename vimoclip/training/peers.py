"""Peers: the processes that train one model together, each on its share of every batch."""

import torch
from torch import Tensor, nn


class Peers:
    """One of `world` processes, by its `rank`; alone by itself.

    Each computes the part of a batch's loss that its share makes up: gradients and losses are then summed, and all take
    the same step.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank, self.world = rank, world

    def sum(self, values: Tensor) -> Tensor:
        """Over all processes, in place."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def sum_gradients(self, model: nn.Module) -> None:
        """Over all processes, in one piece: a process without a share has none, and they count as zeros."""
        if self.world == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        gradients = [
            parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for parameter in parameters
        ]
        flat = self.sum(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = torch.split(flat, [parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)


ALONE = Peers()
