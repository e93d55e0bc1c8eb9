"""CUDA tensors without a card: networks run for their devices, dtypes and shapes alone (torch's FakeTensorMode).

    with fake_cuda(monkeypatch):
        teacher = ClipTeacher(config, CUDA)      # parameters are made on the device; loading was done before
        with step():                             # no tensor may go to the host in here
            teacher(images)

Operations on tensors of different devices raise, as on a card. `plants(run)` runs a path again and again, each time
with another one of its moves to the device left out, and says which were noticed.
"""

import contextlib
import copy
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from vimoclip.errors import VimoclipError

CUDA = torch.device("cuda", 0)


class HostCopyError(AssertionError):
    """Something was copied from the device to the host, for which a card would be waited for."""


def _to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """`nn.Module.to` that makes fake tensors on the device."""
    parsed = torch._C._nn._parse_to(*args, **kwargs)
    device: torch.device | None = parsed[0]
    dtype: torch.dtype | None = parsed[1]
    if _is_cuda(device) and _planted and _planted[-1].leaves_out("Module.to"):
        device = None
    with torch._C.DisableTorchFunction():
        _move(self, device, dtype)
    return self


def _move(self: nn.Module, device: torch.device | None, dtype: torch.dtype | None) -> None:
    for module in self.modules():
        both: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for tensors in both:
            for name, own in tensors.items():
                if own is None:
                    continue
                as_dtype = dtype if dtype is not None and own.is_floating_point() else own.dtype
                made = torch.empty(own.shape, dtype=as_dtype, device=device or own.device)
                tensors[name] = nn.Parameter(made, own.requires_grad) if isinstance(own, nn.Parameter) else made


def _numpy(self: Tensor, **_: Any) -> Any:
    """The numbers of a fake tensor of the CPU, which are all 0."""
    if not isinstance(self, FakeTensor):
        return _real_numpy(self)
    if self.device.type != "cpu":
        raise TypeError(f"a tensor of {self.device} has no numpy array: use .cpu()")
    return np.zeros(tuple(self.shape), str(self.dtype).rpartition(".")[2])


def _float(self: Tensor) -> float:
    return 0.0 if isinstance(self, FakeTensor) and self.device.type == "cpu" else self.item()


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """`copy.deepcopy` of a fake tensor. Torch's own would copy from where it has no memory."""
    with torch._C.DisableTorchFunction():
        made = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        memo[id(self)] = nn.Parameter(made, self.requires_grad) if isinstance(self, nn.Parameter) else made
    return memo[id(self)]  # type: ignore[no-any-return]


_real_numpy = Tensor.numpy


@contextlib.contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything in the block is fake, and there is a CUDA device with room for all of it."""
    monkeypatch.setattr(nn.Module, "to", _to)
    monkeypatch.setattr(nn.Module, "float", lambda self: _to(self, torch.float32))
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(FakeTensor, "__deepcopy__", _deepcopy, raising=False)
    monkeypatch.setattr(Tensor, "numpy", _numpy)
    monkeypatch.setattr(Tensor, "tolist", lambda self: self.cpu().numpy().tolist())
    monkeypatch.setattr(Tensor, "__float__", _float, raising=False)
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self, shape: torch.ones(shape))
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (1 << 40, 1 << 40))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device=None: 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*CUDA is not available.*")  # autocast, which is then off
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        mode.cache_enabled = False  # it does not expect a call's device to be changed
        with mode:
            yield


class AtOnce:
    """In the place of a Prefetcher: draws each item when it is asked for, from outside of what is fake."""

    def __init__(self, items: Iterable[Any], size: int) -> None:
        self._items = iter(items)

    def get(self, timeout_s: float) -> Any:
        """The next item."""
        with unset_fake_temporarily():
            return next(self._items)

    def stop(self, timeout_s: float) -> bool:
        """Nothing is left to stop."""
        return True


class _NoHostCopies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [each for each in [*args, *kwargs.values()] if isinstance(each, Tensor)]
        if any(each.device.type == "cuda" for each in given):
            to = kwargs.get("device")
            name = func.overloadpacket.__name__
            copies = to is not None and torch.device(to).type == "cpu"
            copies |= name == "copy_" and given[0].device.type == "cpu"
            if copies or name in ("_local_scalar_dense", "nonzero", "is_nonzero", "equal"):
                raise HostCopyError(f"{func} takes {[tuple(each.shape) for each in given]} to the host")
        return func(*args, **kwargs)


@contextlib.contextmanager
def step() -> Iterator[None]:
    """Copies from the device to the host raise in the block: `.cpu()`, `.item()`, `.tolist()`, `.to("cpu")`, numpy."""
    with _NoHostCopies():  # type: ignore[no-untyped-call]
        yield


class _NoFp64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.device.type == "cuda" and made.dtype == torch.float64:
            raise TypeError(f"{func} makes float64 on the device, which not all of them have")
        return made


@contextlib.contextmanager
def without_fp64() -> Iterator[None]:
    """The device has no fp64 in the block, as Apple's GPUs have none."""
    with _NoFp64():  # type: ignore[no-untyped-call]
        yield


def real_copy(module: nn.Module) -> nn.Module:
    """A copy of a network that is not fake, also where everything else is."""
    with unset_fake_temporarily():
        return copy.deepcopy(module)


def on_cuda(*tensors: Tensor) -> bool:
    """Whether all of these are fake tensors on the device."""
    return all(isinstance(each, FakeTensor) and each.device.type == "cuda" for each in tensors)


class _LeaveOut(TorchFunctionMode):
    """Leaves out the n-th call that names the device, and counts them."""

    def __init__(self, number: int) -> None:
        self.number, self.count, self.left_out = number, 0, ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        moves = func is Tensor.to and any(_is_cuda(each) for each in [*args[1:], *kwargs.values()])
        makes = func is not Tensor.to and _is_cuda(kwargs.get("device"))
        if (moves or makes) and self.leaves_out(getattr(func, "__name__", str(func))):
            args = tuple(_CPU if _is_cuda(each) else each for each in args)
            kwargs = {name: _CPU if _is_cuda(each) else each for name, each in kwargs.items()}
        return func(*args, **kwargs)

    def leaves_out(self, what: str) -> bool:
        """Count a move; whether it is the one to be left out."""
        self.count += 1
        if self.count == self.number:
            self.left_out = f"{what} of {_caller()}"
        return self.count == self.number

    def __enter__(self) -> "_LeaveOut":
        _planted.append(self)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        _planted.pop()


_planted: list[_LeaveOut] = []
_CPU = torch.device("cpu")


def _is_cuda(value: Any) -> bool:
    return isinstance(value, torch.device | str) and str(value).startswith("cuda")


def _caller() -> str:
    """The line of ours that a call stands on."""
    frames = [each for each in traceback.extract_stack() if "/vimoclip/" in each.filename]
    last = frames[-1] if frames else traceback.extract_stack()[0]
    return f"{last.filename.rpartition('/')[2]}:{last.lineno} `{last.line}`"


def plants(run: Callable[[], object]) -> tuple[list[str], list[str]]:
    """Run a path once for each of its moves to the device, with that one left out.

    Args:
        run: the path; it asserts that its results are on the device.

    Returns:
        Which were noticed, because the path raised, and which were not.
    """
    noticed, passed = list[str](), list[str]()
    for number in range(1, 1000):
        planted = _LeaveOut(number)
        try:
            with planted:
                run()
        except (RuntimeError, AssertionError, ValueError, TypeError, UserWarning, VimoclipError):
            if not planted.left_out:
                raise
            noticed.append(planted.left_out)
            continue
        if not planted.left_out:
            return noticed, passed
        passed.append(planted.left_out)
    raise AssertionError("a path with a thousand moves")
