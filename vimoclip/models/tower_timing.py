"""Which precision and memory format a tower of convolutions is computed in: timed when it is loaded, not believed.

Which is fastest depends on the network and on the machine (benchmarks/speed/towers.py). So `auto` times one made-up
batch in each, and keeps what was usual, `pick_precision` and contiguous, unless another is clearly faster and its
vectors agree with those of fp32. The choice changes bits; a store keeps it with its settings, and everything that makes
vectors for the store later takes it from there.

Timing must not let equal commands make different stores. So what was decided is remembered in the user's cache: the
same weights on the same device of the same machine are not timed again. Small networks keep what is usual without being
timed, by their number of multiplications, and so do those without convolutions beyond the embedding of patches, which
have one layer for which the format matters. Processor seconds are compared on a CPU, which other work on the machine
changes little, and the faster one has to need less than 0.8 of the other's.
"""

import contextlib
import copy
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vimoclip.atomic import atomic_write
from vimoclip.config.store import ClipConfig
from vimoclip.device import DTYPES, Resolved, is_out_of_memory, pick_precision, release_cache
from vimoclip.errors import RunError

Format = Literal["contiguous", "channels_last"]

FORMATS: dict[str, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


class Arithmetic(NamedTuple):
    """How a tower is computed."""

    precision: Resolved
    memory_format: Format


CLEARLY_FASTER = 0.8
"""The share of the other's time that one may need to replace it."""

LEAST_COSINE = 0.9999
"""Between the vectors of one and those of fp32; of one that replaces bf16 or fp16, at least theirs."""

_LEAST_WORK = 150e6
"""Multiplications for an image below which nothing is timed: a batch takes milliseconds. Lite0 has 384e6."""

_WORK = 4e9
"""Multiplications of the batch that is timed on a CPU; an image at least."""

_ROUNDS = range(2, 5)
"""How often two are timed against each other: as often as the budget allows, but at least the first of these."""

_BUDGET_S = 1.5
"""Seconds of that, after which no further round begins."""


def pick_arithmetic(
    config: ClipConfig,
    device: torch.device,
    tower: nn.Module,
    weights: str,
    size: int,
    normalised: Callable[[Tensor], Tensor],
) -> Arithmetic:
    """Decide what `auto` means for the precision and the memory format of a tower.

    Args:
        config: the settings; what they name is not tried otherwise.
        device: the device to compute on.
        tower: the network, in fp32 on the CPU; it is left as it is.
        weights: hash of its architecture and tensors.
        size: of its images, in pixels a side.
        normalised: from images, uint8 (N, 3, size, size), to its input, fp32, on the device.

    Returns:
        The fastest of those whose vectors agree with fp32; `pick_precision` and contiguous unless another is clearly
        faster.
    """
    usual = Arithmetic(
        pick_precision(config.precision, device),
        "channels_last" if config.memory_format == "channels_last" else "contiguous",
    )
    others = _others(config, device, usual)
    if not others or device.type == "mps":  # of Apple's GPUs nothing was measured
        return usual
    work = _multiplications(tower, size)
    if work < _LEAST_WORK:
        return usual
    key = _key(config, device, weights)
    known = {"/".join(each): each for each in (usual, *others)}
    if (remembered := str(_remembered().get(key))) in known:
        return known[remembered]
    count = config.batch_size if device.type != "cpu" else int(max(1, min(config.batch_size, _WORK // work)))
    try:
        trial = _Trial(tower, normalised(_made_up_images(count, size)))
        best, least_cosine = usual, min(LEAST_COSINE, trial.cosine(usual))
        for other in others:
            if trial.computes(other) and trial.cosine(other) >= least_cosine and trial.is_faster(other, best):
                best = other
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return usual  # it may fit yet; where it does not, the error is that of loading
    finally:
        release_cache()
    _remember(key, "/".join(best))
    return best


_INSTRUCTIONS = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")


def _key(config: ClipConfig, device: torch.device, weights: str) -> str:
    """What a decision is remembered for."""
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    else:  # virtual machines of several kinds share a name
        of_cpu = torch.cpu.get_capabilities()
        where = " ".join([str(of_cpu.get("cpu_name")), *(name for name in _INSTRUCTIONS if of_cpu.get(name))])
    asked = f"{config.precision}/{config.memory_format} in batches of {config.batch_size}"
    return f"{weights} as {asked} on {where}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vimoclip" / "towers.json"


def _remembered() -> dict[str, Any]:
    """What was decided on this machine, by what it was decided for."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # RuntimeError: there is no home
        found = json.loads(_cache().read_text())
        return found if isinstance(found, dict) else {}
    return {}


def _remember(key: str, decided: str) -> None:
    with contextlib.suppress(RunError, OSError, RuntimeError), atomic_write(_cache()) as path:
        path.write_text(json.dumps(_remembered() | {key: decided}, indent=1))


def _others(config: ClipConfig, device: torch.device, usual: Arithmetic) -> list[Arithmetic]:
    """What else may be chosen, in the order in which it is tried."""
    formats: tuple[Format, ...] = (usual.memory_format,)
    if config.memory_format == "auto":
        formats = ("channels_last", "contiguous")
    precisions: tuple[Resolved, ...] = (usual.precision,)
    if config.precision == "auto" and device.type == "cpu" and usual.precision != "fp32":
        precisions = (usual.precision, "fp32")
    found = [Arithmetic(precision, layout) for precision in precisions for layout in formats]
    return [each for each in found if each != usual]


def _multiplications(tower: nn.Module, size: int) -> int:
    """Those of the convolutions and linear layers for an image; 0 without convolutions beyond that of patches."""
    convolutions = [module for module in tower.modules() if isinstance(module, nn.Conv2d)]
    if len(convolutions) < 2:
        return 0
    found = [0]

    def count(module: nn.Module, _: Any, made: Any) -> None:
        inputs = module.weight[0].numel()  # type: ignore[index]
        found[0] += made.numel() * inputs

    linear = [module for module in tower.modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_hook(count) for module in (*convolutions, *linear)]
    try:  # shapes alone: nothing is computed
        tensors = dict(tower.named_parameters()) | dict(tower.named_buffers())
        shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
        with torch.inference_mode():
            torch.func.functional_call(tower, shapes, (torch.empty(1, 3, size, size, device="meta"),))
    except (RuntimeError, NotImplementedError):  # a network that keeps tensors of its own; no less work than timed
        return int(_WORK)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0]


def _made_up_images(count: int, size: int) -> Tensor:
    """Always the same images, uint8 (N, 3, S, S): blotches of all sizes, as photographs have."""
    random = np.random.default_rng(0)
    found = torch.zeros(count, 3, size, size)
    for cells in (3, 9, 27, 81):
        noise = torch.from_numpy(random.standard_normal((count, 3, cells, cells), np.float32))
        found += nn.functional.interpolate(noise, (size, size), mode="bilinear")
    return (found * 32 + 128).clamp(0, 255).to(torch.uint8)


class _Trial:
    """Computes one batch in several ways, and times them against each other."""

    def __init__(self, tower: nn.Module, pixels: Tensor) -> None:
        self._tower, self._pixels = tower, pixels
        self._made: dict[Arithmetic, tuple[nn.Module, Tensor]] = {}
        self._vectors: dict[Arithmetic, Tensor] = {}
        self._reference = self._forward(Arithmetic("fp32", "contiguous"))

    def computes(self, way: Arithmetic) -> bool:
        """Whether the network can be computed in this way: some take their channels to be contiguous."""
        try:
            self._forward(way)
        except RuntimeError as error:
            if is_out_of_memory(error):
                release_cache()
            self._made.pop(way, None)
            return False
        return True

    def cosine(self, way: Arithmetic) -> float:
        """The least between its vectors and those of fp32."""
        return float(nn.functional.cosine_similarity(self._forward(way), self._reference).min())

    def is_faster(self, way: Arithmetic, than: Arithmetic) -> bool:
        """Whether one is clearly faster than the other; of the two only the faster one stays in memory."""
        least = {way: float("inf"), than: float("inf")}
        spent = 0.0
        for done in range(1, _ROUNDS.stop):
            for each in (than, way):  # in turns: what slows the machine slows both
                taken = self._seconds(each)
                least[each], spent = min(least[each], taken), spent + taken
            if done in _ROUNDS and (spent > _BUDGET_S or least[way] > 1.5 * least[than]):
                break
        faster = least[way] <= CLEARLY_FASTER * least[than]
        del self._made[than if faster else way]
        return faster

    def _forward(self, way: Arithmetic) -> Tensor:
        """The vectors, fp32 (N, D)."""
        if way not in self._vectors:
            self._vectors[way] = self._compute(way).float()
        return self._vectors[way]

    def _seconds(self, way: Arithmetic) -> float:
        """Processor seconds of a batch; on a GPU those that pass."""
        on_gpu = self._pixels.device.type == "cuda"
        clock = time.perf_counter if on_gpu else time.process_time
        if on_gpu:
            torch.cuda.synchronize(self._pixels.device)
        began = clock()
        self._compute(way)
        if on_gpu:
            torch.cuda.synchronize(self._pixels.device)
        return clock() - began

    @torch.inference_mode()
    def _compute(self, way: Arithmetic) -> Tensor:
        if way not in self._made:
            where, dtype, layout = self._pixels.device, DTYPES[way.precision], FORMATS[way.memory_format]
            tower = copy.deepcopy(self._tower).to(where, dtype, memory_format=layout)  # type: ignore[call-overload]
            self._made[way] = tower, self._pixels.to(dtype).contiguous(memory_format=layout)
        tower, pixels = self._made[way]
        z = tower(pixels)
        found: Tensor = z[0] if isinstance(z, tuple) else z
        return found
