"""Checkpoints in the layout of OpenAI's CLIP: the TorchScript archive that OpenAI distributes, or its state dictionary.

An archive is a program, which torch either runs or, with `weights_only`, refuses whole. So it is never run here: its
tensors are read out of its pickle, in which only tensors and the names of their modules are accepted.
"""

import collections
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

_SIZES = {"input_resolution", "context_length", "vocab_size"}  # not weights; they identify the layout
_MASK = "attn_mask"  # the causal mask of the text blocks, in an archive among their tensors
_DTYPES = {"HalfStorage": torch.float16, "FloatStorage": torch.float32, "LongStorage": torch.int64}
_DTYPES |= {"BFloat16Storage": torch.bfloat16, "DoubleStorage": torch.float64, "IntStorage": torch.int32}


def read_openai_weights(path: Path) -> dict[str, torch.Tensor] | None:
    """Read the weights.

    Args:
        path: a checkpoint of any layout.

    Returns:
        The tensors by open_clip's names, which are OpenAI's; None where the file has another layout.

    Raises:
        OSError, pickle.UnpicklingError, RuntimeError: it cannot be read, or holds something other than tensors.
    """
    if path.suffix in (".safetensors", ".npz", ".npy"):
        return None
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            roots = [
                name.removesuffix("constants.pkl") for name in archive.namelist() if name.endswith("constants.pkl")
            ]
            if roots:  # only TorchScript writes constants.pkl
                found = _tensors(_Reader(archive, min(roots, key=len)).load())
                return {name: found[name] for name in found if name not in _SIZES and not name.endswith(_MASK)}
    found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    if not isinstance(found, dict) or not found.keys() >= _SIZES:
        return None
    return {name: value for name, value in found.items() if name not in _SIZES}


class _Module:
    """Any module of the archive: its attributes, without its code."""


class _Reader(pickle.Unpickler):
    """Reads the pickle in the folder `root` of an archive."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}data.pkl"))
        self._archive, self._root = archive, root
        self._storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module.partition(".")[0] == "__torch__":
            return _Module
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not a tensor")

    def persistent_load(self, pid: tuple[str, torch.dtype, str, str, int]) -> torch.Tensor:
        _, dtype, key, _, _ = pid
        if key not in self._storages:
            data = bytearray(self._archive.read(f"{self._root}data/{key}"))
            self._storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _tensor(
    storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> torch.Tensor:
    return storage.as_strided(size, stride, offset)  # it refuses to read beyond the storage


def _tensors(module: _Module, prefix: str = "") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor):
            found[prefix + name] = value
        elif isinstance(value, _Module):
            found |= _tensors(value, f"{prefix}{name}.")
    return found
