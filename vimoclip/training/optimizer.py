"""What a training step does to the weights: AdamW with a learning rate along a cosine, and a moving average of weights.

`ProcessGroup` joins the processes that train one model together, each on its share of every batch.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vimoclip.config.fusion import TrainingConfig, TrainingPrecision
from vimoclip.device import cpu_has_bf16


def learning_rate(config: TrainingConfig, progress: float) -> float:
    """Return the learning rate η at the end of a step.

    η = lr · progress / w in the warm-up, the first w of all steps; then, u from 0 to 1 over the others,
    η = lr_end + (lr − lr_end) (1 + cos πu) / 2.

    Args:
        config: has lr, lr_end and the warm-up w.
        progress: the share of all steps that is done after this one, above 0 and up to 1.
    """
    if progress < config.warmup:
        return config.lr * progress / config.warmup
    u = (progress - config.warmup) / (1 - config.warmup)
    return config.lr_end + (config.lr - config.lr_end) * (1 + math.cos(math.pi * u)) / 2


def adamw(model: nn.Module, config: TrainingConfig, rates: Mapping[str, float] | None = None) -> torch.optim.AdamW:
    """Make AdamW over a model's trainable parameters. Without decay it is Adam.

    Its groups are by learning rate, and within that matrices first and then vectors, which may not decay. Each group
    carries its factor as `rate`.

    Args:
        model: whose parameters are trained.
        config: has lr and the decay.
        rates: by name of a parameter, what its learning rate is multiplied by; others have 1.
    """
    rates = rates or {}
    parts: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parts.setdefault((rates.get(name, 1.0), parameter.ndim < 2), []).append(parameter)
    decay = config.weight_decay
    groups = [
        {"params": parts[part], "rate": part[0], "weight_decay": 0.0 if part[1] and config.decay != "all" else decay}
        for part in sorted(parts)
    ]
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)


def layer_rates(names: Sequence[str], decay: float) -> dict[str, float]:
    """Return what the learning rate of each parameter of a tower is multiplied by: decay^(L − l) in block l.

    A block is the part of a name up to its first number between dots: `transformer.resblocks.3`, `layer2.0`. Parameters
    before the first block are block 0. Those after the last, and a final projection `proj`, are block L, whose rate is
    1.

    Args:
        names: of the parameters, in the tower's order.
        decay: of the rate from block to block.
    """
    blocks = [named[1] if (named := re.match(r"(.*?\.\d+)\.", name)) else None for name in names]
    order = [None, *dict.fromkeys(block for block in blocks if block is not None)]
    found, depth, top = dict[str, float](), 0, len(order)
    for name, block in zip(names, blocks, strict=True):
        if block is not None:
            depth = order.index(block)
        elif depth == top - 1:
            depth = top
        found[name] = decay ** (0 if name == "proj" else top - depth)
    return found


def training_precision(precision: TrainingPrecision, device: torch.device) -> Literal["bf16", "fp32"]:
    """Resolve `auto`: bf16 where the hardware multiplies it, otherwise fp32; gradients vanish in fp16."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    return "bf16" if device.type == "cpu" and cpu_has_bf16() else "fp32"


class WeightAverage:
    """An exponential moving average of a model's parameters, ā ← d ā + (1 − d) a after every step.

    d = min(decay, (1 + n) / (10 + n)) after n steps, so that a short run does not stay near where it began.

    Args:
        model: whose parameters are averaged.
        decay: the largest d.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._parameters = list(model.parameters())
        self._averages = [parameter.detach().clone() for parameter in self._parameters]
        self._decay, self._steps = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's parameters into the average, after a step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(self._averages, self._parameters, self._steps)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights and the averages; a second call exchanges them back."""
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            own = parameter.clone()
            parameter.copy_(average)
            average.copy_(own)

    def state(self) -> dict[str, Any]:
        """Return what `load` takes."""
        return {"averages": self._averages, "steps": self._steps}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        for average, kept in zip(self._averages, state["averages"], strict=True):
            average.copy_(kept)
        self._steps = state["steps"]


class ProcessGroup:
    """The processes that train one model together, each on its share of every batch; this one is `rank` of `world`.

    Each computes the part of a batch's loss that its share contributes, and `sum` gives the whole. All have the
    gradient of the whole, and take the same step.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank, self.world = rank, world

    def sum(self, values: Tensor) -> Tensor:
        """Sum values over all processes, in place."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def synchronized(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that its gradients, after `backward` of its output, are those of all processes."""
        if self.world == 1:
            return module
        # A process may have no share of a batch, and so no use of a parameter. Buffers are never trained.
        return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)

    def backward(self, part: Tensor) -> None:
        """Compute the gradient of the whole loss.

        Args:
            part: this process's part of the loss.
        """
        if self.world > 1:
            part = self.world * part  # DistributedDataParallel gives the mean over processes, and the loss is a sum
        part.backward()  # type: ignore[no-untyped-call]


SINGLE_PROCESS = ProcessGroup()
