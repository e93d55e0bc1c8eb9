"""RAFT's weights (Teed & Deng 2020): torchvision's, by name; or a file, in torchvision's layout or the original one.

Random weights (seeded) are used only if `none` asks for them.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torchvision.models import WeightsEnum
from torchvision.models.optical_flow import RAFT, Raft_Large_Weights, Raft_Small_Weights, raft_large, raft_small

from vimoclip.device import SEED
from vimoclip.errors import ModelError

RaftName = Literal["raft-large", "raft-small"]

_MODELS: dict[RaftName, tuple[Callable[[], RAFT], type[WeightsEnum]]] = {
    "raft-large": (raft_large, Raft_Large_Weights),
    "raft-small": (raft_small, Raft_Small_Weights),
}


def raft_name(estimator: str) -> RaftName:
    """The name of an estimator as that of a RAFT network, one of `RaftName`."""
    (name,) = (known for known in _MODELS if known == estimator)
    return name


_RENAMED = [
    (re.compile(original), ours)
    for original, ours in (
        (r"^fnet\.", "feature_encoder."),
        (r"^cnet\.", "context_encoder."),
        (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
        (r"^(\w+_encoder)\.norm1\.", r"\1.convnormrelu.1."),
        (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
        (r"\.(layer\d\.\d)\.conv(\d)\.", r".\1.convnormrelu\2.0."),
        (r"\.(layer\d\.\d)\.norm(\d)\.", r".\1.convnormrelu\2.1."),
        (r"^update_block\.encoder\.convc(\d)\.", r"update_block.motion_encoder.convcorr\1.0."),
        (r"^update_block\.encoder\.convf(\d)\.", r"update_block.motion_encoder.convflow\1.0."),
        (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
        (r"^update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
        (r"^update_block\.gru\.conv([zrq])\.", r"update_block.recurrent_block.convgru1.conv\1."),
        (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
        (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
    )
]
_TWICE = re.compile(r"\.layer\d\.\d\.norm3\.")  # large: the shortcut's norm, also stored as downsample.1


def resolve_raft_weights(estimator: RaftName, weights: str | None) -> str:
    """Decide which weights are meant.

    Args:
        estimator: the network.
        weights: a torchvision tag, a path, `none` for seeded random ones, or `default` or None for torchvision's
            default.

    Returns:
        A torchvision tag, an absolute path, or `none`.

    Raises:
        ModelError: there is neither such a tag nor such a file.
    """
    tags = _MODELS[estimator][1]
    if weights is None or weights == "default":
        weights = "DEFAULT"
    if weights in tags.__members__:
        return str(tags[weights].name)
    if weights == "none":
        return weights
    if Path(weights).is_file():
        return str(Path(weights).absolute())
    raise ModelError(
        f"There are no such weights for {estimator}.",
        received=weights,
        expected="the path of a weights file, none, or " + ", ".join(tag.name for tag in tags),
        hint="Name others with --flow-weights.",
    )


def load(estimator: RaftName, weights: str) -> RAFT:
    """Load a network, on the CPU in fp32, in evaluation mode.

    Args:
        estimator: the network.
        weights: what `resolve_raft_weights` returned.

    Raises:
        ModelError: the weights cannot be had, cannot be read, or belong to another network.
    """
    build, tags = _MODELS[estimator]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = build().requires_grad_(False).eval()
    if weights == "none":
        return network
    state = _downloaded(estimator, tags[weights]) if weights in tags.__members__ else _read(estimator, weights)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"The weights are not those of {estimator}.",
            received=f"{weights}: {' '.join(str(error).split())[:200]}",
            expected=f"a state dict of torchvision's {estimator.replace('-', '_')}, or of the original RAFT",
            hint="Check that --flow names the network that the file was saved from.",
        ) from error
    return network


def _downloaded(estimator: RaftName, tag: Any) -> dict[str, torch.Tensor]:
    """From torch's cache, or downloaded into it."""
    try:
        state: dict[str, torch.Tensor] = tag.get_state_dict(progress=False, check_hash=True, weights_only=True)
        return state
    except Exception as error:  # network, disk, a file cut short: all mean the same to the user
        place = Path(torch.hub.get_dir(), "checkpoints")
        raise ModelError(
            f"The weights {tag.name} of {estimator} cannot be had.",
            received=_why(error),
            expected="a connection, or the file",
            hint=f"With a connection once, they are kept in {place} and found again without one. Or fetch {tag.url} "
            "elsewhere and copy it there, or give --flow-weights PATH; --flow-weights none takes seeded random ones, "
            "to try things out; --flow dis needs none.",
        ) from error


def _read(estimator: RaftName, path: str) -> dict[str, torch.Tensor]:
    """A file's tensors by torchvision's names."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
            raise TypeError("it does not hold tensors by name")
    except Exception as error:  # zip, pickle and torch raise many kinds, by the kind of file
        raise ModelError(
            f"The weights of {estimator} cannot be read.",
            received=f"{path}: {_why(error)}",
            expected="a state dict that torch.save wrote, of tensors and nothing else",
            hint="From a training checkpoint, save the network's state_dict() alone.",
        ) from error
    return from_original({name.removeprefix("module."): tensor for name, tensor in state.items()})


def from_original(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict of the original RAFT under torchvision's names; one of torchvision's is returned as it is."""
    if not any(name.startswith("fnet.") for name in state):
        return state
    renamed = {}
    for name, tensor in state.items():
        if _TWICE.search(name):
            continue
        for original, ours in _RENAMED:
            name = original.sub(ours, name)
        renamed[name] = tensor
    return renamed


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:160]}" if str(error) else type(error).__name__
