"""What every model's weights share: the seed of random ones, and the hash that names them."""

import hashlib
import json
from typing import Any

import torch

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
