"""What `auto` means, on this machine and on others."""

from collections.abc import Iterator

import cv2
import pytest
import torch

from vimoclip.config.store import Precision, RunConfig
from vimoclip.device import DTYPES, cpu_has_bf16, pick_batch_size, pick_device, pick_precision, set_threads
from vimoclip.errors import ConfigError

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
