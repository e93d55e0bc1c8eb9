"""What all weights share: the seed of random ones, the hash that names them, and room for a model on a device."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch

from vimoclip.errors import ModelError

SEED = 0
"""Of the random weights that `none` asks for."""


def sha256(architecture: dict[str, Any], module: torch.nn.Module) -> str:
    """Of the architecture, and of the tensors by name, whatever file they came in.

    architecture: what decides the arithmetic and leaves no trace in the tensors.
    """
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@contextlib.contextmanager
def room_for(model: str, device: torch.device) -> Iterator[None]:
    """Around bringing a model to a device.

    Raises:
        ModelError: the device has no memory for it.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{device} has no memory for {model}.",
            received=str(error).splitlines()[0][:160],
            hint="End what else uses it, or name another with --device.",
        ) from error
