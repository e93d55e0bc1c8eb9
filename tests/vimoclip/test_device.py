"""What `auto` means, on this machine and on others."""

import logging
import os
from collections.abc import Iterator
from typing import Any

import cv2
import pytest
import torch

from vimoclip import device as module
from vimoclip.config.store import Precision, RunConfig
from vimoclip.device import (
    DTYPES,
    cpu_has_bf16,
    free_bytes,
    is_out_of_memory,
    on_device,
    pick_batch_size,
    pick_device,
    pick_precision,
    set_threads,
    share_host_memory,
    why_not,
)
from vimoclip.errors import ConfigError, ModelError

CPU = torch.device("cpu")


@pytest.fixture
def threads() -> Iterator[None]:
    """Leaves torch and OpenCV with the threads they had."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def test_auto_is_the_first_gpu_or_the_cpu() -> None:
    device = pick_device("auto")
    assert torch.ones(2, device=device).sum().item() == 2
    assert (device == torch.device("cuda", 0)) == torch.cuda.is_available()


def test_the_cpu_by_name() -> None:
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "CPU", "cpu:x"])
def test_what_is_no_device_here_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no such device here") as caught:
        pick_device(name)
    assert caught.value.received == name
    assert "cuda:1" in str(caught.value.expected) and caught.value.hint


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_a_precision_that_was_asked_for_is_kept(precision: Precision) -> None:
    assert pick_precision(precision, CPU) == precision
    assert pick_precision(precision, torch.device("mps")) == precision


def test_auto_precision_by_hardware() -> None:
    assert pick_precision("auto", CPU) == ("bf16" if cpu_has_bf16() else "fp32")
    assert pick_precision("auto", torch.device("mps")) == "fp16"
    assert pick_precision("auto", torch.device("meta")) == "fp32"
    assert set(DTYPES) == {"bf16", "fp16", "fp32"}
    assert [DTYPES[name].itemsize for name in ("bf16", "fp16", "fp32")] == [2, 2, 4]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_auto_precision_on_a_gpu() -> None:
    modern = torch.cuda.get_device_capability(0) >= (8, 0)
    assert pick_precision("auto", torch.device("cuda", 0)) == ("bf16" if modern else "fp16")


def test_batch_size() -> None:
    assert pick_batch_size(0, CPU) == 8
    assert pick_batch_size(0, torch.device("cuda")) == pick_batch_size(0, torch.device("mps")) == 64
    assert pick_batch_size(3, CPU) == pick_batch_size(3, torch.device("cuda")) == 3


@pytest.mark.usefixtures("threads")
def test_threads_reach_torch_and_opencv() -> None:
    assert set_threads(RunConfig(threads=1)) == 1
    assert torch.get_num_threads() == cv2.getNumThreads() == 1
    assert set_threads(RunConfig(threads=3)) == 3
    assert torch.get_num_threads() == cv2.getNumThreads() == 3
    assert set_threads(RunConfig()) == torch.get_num_threads() >= 1


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Torch sees two GPUs. The first is too old for it; what is made on the second lies on the CPU. The kernels run."""
    made, real = list[str](), torch.ones

    def ones(*shape: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        made.append(str(device))
        if str(device) == "cuda:0":
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel …")
        return real(*shape, dtype=dtype)

    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    for cached in (module._first_that_works, why_not):
        cached.cache_clear()
    yield made
    for cached in (module._first_that_works, why_not):
        cached.cache_clear()


def test_auto_is_the_first_gpu_that_works_and_the_others_are_told_of_once(
    two_gpus: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert pick_device("auto") == torch.device("cuda", 1)
    (message,) = caplog.messages
    assert "cuda:0 is not used" in message and "no kernel image is available" in message and "\n" not in message
    tried = len(two_gpus)
    assert pick_device("auto") == torch.device("cuda", 1)
    assert len(two_gpus) == tried and len(caplog.messages) == 1


def test_without_one_that_works_auto_is_the_cpu(
    two_gpus: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("auto") == CPU
    assert len(caplog.messages) == 1


def test_a_gpu_that_gives_wrong_numbers_does_not_work(two_gpus: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *given: real(*given) + 1)
    why = why_not(torch.device("cuda", 1))
    assert why is not None and "wrong numbers" in why


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_by_name_that_does_not_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    with pytest.raises(ConfigError, match="cuda:0 does not work") as caught:
        pick_device("cuda:0")
    assert "no kernel image" in str(caught.value.received)
    assert pick_device("cuda:1") == torch.device("cuda", 1)


def test_what_torch_keeps_of_a_gpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 500)
    assert free_bytes(torch.device("cuda", 0)) == 3500


def test_memory_of_the_host_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_machine_bytes", lambda: 8000)
    share_host_memory(8)
    try:
        assert free_bytes(CPU) == 1000
    finally:
        share_host_memory(1)
    assert free_bytes(CPU) == 8000


APPLE = RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB). Tried to allocate …")


def test_want_of_memory_is_known_on_every_device() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory")) and is_out_of_memory(APPLE)
    assert not is_out_of_memory(RuntimeError("The size of tensor a must match")) and not is_out_of_memory(KeyError(1))
    with pytest.raises(ModelError, match="no memory for ViT-B-16"), on_device("ViT-B-16", torch.device("mps")):
        raise APPLE
    with pytest.raises(RuntimeError, match="must match"), on_device("ViT-B-16", CPU):
        raise RuntimeError("The size of tensor a must match")


def test_cublas_is_set_up_for_deterministic_training_from_the_start() -> None:
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


def test_apples_gpus_get_what_they_lack_from_the_cpu(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Antialiased resampling: what is resized, in either way, is then still on the CPU."""
    import numpy as np

    from vimoclip.config.store import ClipConfig
    from vimoclip.models import clip

    teacher: Any = clip.ClipTeacher(ClipConfig(tiny_model, precision="fp32"), CPU)
    expected = teacher.pixels(torch.full((1, 3, 64, 64), 7, dtype=torch.uint8))
    moved = list[str]()
    real = torch.Tensor.to

    def to(self: torch.Tensor, *where: Any, **how: Any) -> torch.Tensor:
        moved.extend(str(each) for each in where if "mps" in str(each))
        here: Any = [CPU if "mps" in str(each) else each for each in where]
        return real(self, *here, **how)

    def resized(frames: torch.Tensor, *_: Any) -> torch.Tensor:
        moved.append("resized")
        return frames

    def interpolated(*given: Any, **how: Any) -> torch.Tensor:
        moved.append("resized")
        return real_resize(*given, **how)

    monkeypatch.setattr(torch.Tensor, "to", to)
    teacher.device = torch.device("mps")
    monkeypatch.setattr(clip, "resize_frames", resized)
    teacher.resize(np.zeros((1, 8, 8, 3), np.uint8), 1.0)
    assert moved == ["resized", "mps"]
    real_resize = torch.nn.functional.interpolate
    monkeypatch.setattr(torch.nn.functional, "interpolate", interpolated)
    moved.clear()
    assert torch.equal(teacher.pixels(torch.full((1, 3, 64, 64), 7, dtype=torch.uint8)), expected)
    assert moved == ["resized", "mps"]
