"""CUDA tensors without a card: networks run for their devices, dtypes and shapes alone, as under torch's FakeTensorMode.

    with fake_cuda(monkeypatch):
        teacher = ClipTeacher(config, CUDA)      # parameters are made on the device; loading was done before
        with step():                             # no tensor may go to the host in here
            teacher(images)

Operations on tensors of different devices raise, as on a card. `plants(run)` runs a path again and again, each time
with another one of its moves to the device left out, and says which were noticed.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)


class HostCopyError(AssertionError):
    """Something was copied from the device to the host, for which a card would be waited for."""


def _to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """`nn.Module.to` that makes fake tensors on the device. Nothing happens where no device, or the CPU, is named."""
    device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    del layout
    for module in self.modules():
        for tensors in (module._parameters, module._buffers):
            for name, own in tensors.items():
                if own is None:
                    continue
                as_dtype = dtype if dtype is not None and own.is_floating_point() else own.dtype
                made = torch.empty(own.shape, dtype=as_dtype, device=device or own.device)
                tensors[name] = nn.Parameter(made, own.requires_grad) if isinstance(own, nn.Parameter) else made
    return self


@contextlib.contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything in the block is fake, and there is a CUDA device with room for all of it."""
    monkeypatch.setattr(nn.Module, "to", _to)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (1 << 40, 1 << 40))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device=None: 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*CUDA is not available.*")  # autocast, which is then off
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield


class _NoHostCopies(TorchDispatchMode):
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
    with _NoHostCopies():
        yield


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
        if moves or makes:
            self.count += 1
            if self.count == self.number:
                self.left_out = f"{getattr(func, '__name__', func)} of {_caller()}"
                if moves:
                    args = tuple(torch.device("cpu") if _is_cuda(each) else each for each in args)
                kwargs = {name: torch.device("cpu") if _is_cuda(each) else each for name, each in kwargs.items()}
        return func(*args, **kwargs)


def _is_cuda(value: Any) -> bool:
    return isinstance(value, torch.device | str) and str(value).startswith("cuda")


def _caller() -> str:
    """The line of ours that a call stands on."""
    import traceback

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
        except (RuntimeError, AssertionError, ValueError, TypeError):
            noticed.append(planted.left_out)
            continue
        if not planted.left_out:
            return noticed, passed
        passed.append(planted.left_out)
    raise AssertionError("a path with a thousand moves")
