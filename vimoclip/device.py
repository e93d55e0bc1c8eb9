"""The device to compute on, its precision, batch size and threads: what `auto` means on this machine.

It also holds what all networks share: the seed of random weights, the hash that identifies weights, and the error for a
device without enough memory.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from vimoclip.config.store import Precision, RunConfig
from vimoclip.errors import ConfigError, ModelError

# Deterministic training needs it, and cuBLAS reads it once, at the first product on a GPU.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

log = logging.getLogger(__name__)

Resolved = Literal["bf16", "fp16", "fp32"]

DTYPES: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def pick_device(name: str) -> torch.device:
    """The torch device of this name, on which a kernel has run in this process.

    Args:
        name: `auto` for the first GPU that works, else the CPU; why a GPU does not is logged as a warning, once. Or a
            name that torch knows, such as `cpu`, `cuda:1` or `mps`.

    Raises:
        ConfigError: the name is not that of a device, this machine does not have it, or it does not work.
    """
    if name == "auto":
        return _first_that_works()
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            "There is no such device here.",
            received=name,
            expected="auto, cpu, cuda, cuda:1 or mps",
            hint=str(error).splitlines()[0][:160],
        ) from error
    if (why := why_not(device)) is not None:
        raise ConfigError(
            f"The device {device} does not work.",
            received=why,
            expected="a GPU that this build of torch has kernels for, and its driver",
            hint="`--device cpu` does without it; `vimoclip doctor` shows what torch sees.",
        )
    return device


@functools.cache
def _first_that_works() -> torch.device:
    gpus = [torch.device("cuda", i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    for device in [*gpus, *([torch.device("mps")] if torch.backends.mps.is_available() else [])]:
        if (why := why_not(device)) is None:
            return device
        log.warning("The device %s is not used, because it does not work: %s", device, why)
    return torch.device("cpu")


@functools.cache
def why_not(device: torch.device) -> str | None:
    """Why networks cannot be computed on a device; None where they can.

    A GPU may be seen and yet have no kernels in this build of torch, or a driver that is too old for it. So a matrix
    product and a convolution are computed, in the precision that `auto` means there, and their values are checked; once
    per process.
    """
    if device.type not in ("cuda", "mps"):
        return None
    try:
        dtype = DTYPES[pick_precision("auto", device)]
        product = torch.ones(16, 16, device=device, dtype=dtype) @ torch.ones(16, 16, device=device, dtype=dtype)
        pixels = torch.ones(1, 4, 8, 8, device=device, dtype=dtype)
        sums = torch.nn.functional.conv2d(pixels, torch.ones(4, 4, 3, 3, device=device, dtype=dtype))
        found = [*product.flatten().tolist(), *sums.flatten().tolist()]  # waits for the device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"[:200]
    expected = [16.0] * 256 + [36.0] * 144
    return None if found == expected else "a matrix product or a convolution gave wrong numbers"


def pick_precision(precision: Precision, device: torch.device) -> Resolved:
    """The precision to compute in.

    Args:
        precision: `auto` for bf16 where the hardware multiplies it, fp16 on GPUs that lack it, and fp32 elsewhere.
        device: the device to compute on.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if device.type == "cpu":
        return "bf16" if cpu_has_bf16() else "fp32"
    return "fp16" if device.type == "mps" else "fp32"


def cpu_has_bf16() -> bool:
    """Whether the CPU has bf16 instructions (AVX512-BF16 or AMX); emulated bf16 is slower than fp32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def pick_batch_size(batch_size: int, device: torch.device) -> int:
    """The frames of a batch, where 0 leaves the choice to the device.

    It is 64 on a GPU and 8 on a CPU, where more is not faster and a clip's last batch is padded to the full size.
    """
    return batch_size or (8 if device.type == "cpu" else 64)


_host = {"sharers": 1}


def share_host_memory(processes: int) -> None:
    """Say that this many processes of this machine, this one included, load data at once.

    `free_bytes` of the host is then this process's share.
    """
    _host["sharers"] = processes


def free_bytes(device: torch.device) -> int:
    """Bytes of memory that can still be had: of a GPU; else of the machine, or of the container that this runs in.

    What torch holds of a GPU and does not use counts as free. Memory of the host is shared evenly between the processes
    that `share_host_memory` was told of.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    host = min(_machine_bytes(), _container_bytes()) // _host["sharers"]
    if device.type == "mps":  # part of the same memory
        return min(host, max(0, torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()))
    return host


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left. That of Apple's GPUs has no class of its own."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "MPS backend out of memory" in str(error)


def release_cache() -> None:
    """Give what torch holds of GPUs, and does not use, back to them."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _machine_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: only Linux says what it could free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _container_bytes() -> int:
    group = Path("/sys/fs/cgroup")
    try:
        return max(0, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # not in a container, or in one without a limit
        return sys.maxsize


def cores() -> int:
    """The number of cores that this process may use, which a batch system may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(run: RunConfig) -> int:
    """Give torch and OpenCV the run's number of threads, and return it.

    bf16 sums depend on it, so every engine calls this.
    """
    import cv2  # here, because training uses this module and not OpenCV

    threads = run.threads or cores()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    return threads


SEED = 0
"""Seed of the random weights that `none` asks for."""


def sha256(architecture: dict[str, Any], module: torch.nn.Module) -> str:
    """Hash a network: 64 hex digits of its architecture and of its tensors by name, whatever file they came in.

    Args:
        architecture: what decides the arithmetic but is not seen in the tensors.
        module: the network.
    """
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@contextlib.contextmanager
def on_device(model: str, device: torch.device) -> Iterator[None]:
    """Turn a lack of memory into a ModelError while a model is moved to a device.

    Args:
        model: its name, for the message.
        device: where it is moved to.

    Raises:
        ModelError: the device does not have enough memory for it.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"{device} has no memory for {model}.",
            received=str(error).splitlines()[0][:160],
            hint="End what else uses it, or name another with --device.",
        ) from error
