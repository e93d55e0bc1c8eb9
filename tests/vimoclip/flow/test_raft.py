"""RAFT in runs of frames: torchvision's last flow, whatever the batch and the company; sizes; precision."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import RAFT, Raft_Large_Weights, raft_large, raft_small

from tests.vimoclip.flow.textures import shifted, texture
from vimoclip.config.store import FlowConfig
from vimoclip.device import Resolved
from vimoclip.errors import UsageError
from vimoclip.flow import make_estimator, resolve
from vimoclip.flow.raft import Raft, RaftFrame
from vimoclip.flow.raft_weights import RaftName

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SIZE = (128, 136)
TOLERANCE = 1e-4  # pixels
NAMES: tuple[RaftName, ...] = ("raft-large", "raft-small")


def raft(name: RaftName = "raft-small", batch: int = 1, precision: Resolved = "fp32", updates: int = 3) -> Raft:
    config = resolve(FlowConfig(name, weights="none", updates=updates, batch_size=batch), CPU)
    estimator = make_estimator(config, CPU, precision)
    assert isinstance(estimator, Raft)
    return estimator


def torchvisions(name: RaftName) -> RAFT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {"raft-large": raft_large, "raft-small": raft_small}[name]().eval()


def run_of(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Frames of a texture that moves 3 px right and 1 down a step."""
    whole = texture(size[0] + count, size[1] + 3 * count, 4)
    ends = [(count - n, 3 * (count - n)) for n in range(count)]
    return [np.ascontiguousarray(whole[y : y + size[0], x : x + size[1]]) for y, x in ends]


def steps(frames: list[RaftFrame]) -> list[tuple[RaftFrame, RaftFrame]]:
    return list(itertools.pairwise(frames))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 2])
def test_in_fp32_it_is_torchvisions_last_flow_of_every_pair(name: RaftName, batch: int) -> None:
    frames = run_of(5)
    estimator, network = raft(name, batch), torchvisions(name)
    prepared = [estimator.prepare(frame) for frame in frames]
    pairs = steps(prepared)
    flows = [flow for n in range(0, 4, batch) for flow in estimator.flows(pairs[n : n + batch])]
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    preset = Raft_Large_Weights.DEFAULT.transforms()
    assert len(flows) == 4
    for n in range(0, 4, batch):
        first, second = preset(images[n : n + batch], images[n + 1 : n + 1 + batch])
        with torch.inference_mode():
            whole = network(first, second, num_flow_updates=3)[-1].permute(0, 2, 3, 1).numpy()
        for flow, expected in zip(flows[n : n + batch], whole, strict=True):
            assert flow.dtype == np.float32 and flow.shape == (*SIZE, 2)
            # Sums in another order; tests of the parts, in fp64, show that they are the same sums.
            assert np.abs(flow - expected).max() < TOLERANCE
            assert np.abs(flow).max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_each_frame_is_encoded_once_and_the_flow_upsampled_once(name: RaftName) -> None:
    estimator = raft(name, 2)
    counts = {"feature_encoder": 0, "context_encoder": 0, "mask_predictor": 0}
    for part, module in estimator._network.named_children():

        def count(_: object, given: tuple[torch.Tensor], part: str = part) -> None:
            counts[part] += len(given[0])

        if part in counts:
            module.register_forward_pre_hook(count)
    pairs = steps([estimator.prepare(frame) for frame in run_of(7)])
    for n in range(0, 6, 2):
        estimator.flows(pairs[n : n + 2])
    assert counts["feature_encoder"] == 7 + 1  # and one that fills the first batch
    assert counts["context_encoder"] == 6
    assert counts["mask_predictor"] == (6 if name == "raft-large" else 0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_pair_has_the_same_bits_in_any_company(name: RaftName, precision: Resolved) -> None:
    frames = run_of(6)
    estimator = raft(name, 3, precision)

    def flows(numbers: list[int]) -> list[np.ndarray]:
        ready = {n: estimator.prepare(frames[n]) for n in sorted({n for m in numbers for n in (m, m + 1)})}
        return estimator.flows([(ready[n], ready[n + 1]) for n in numbers])

    run, reversed_run, padded, apart = flows([1, 2, 3]), flows([3, 2, 1]), flows([2, 2, 2]), flows([4, 2, 0])
    assert np.array_equal(run[1], reversed_run[1])
    assert np.array_equal(run[1], padded[0]) and np.array_equal(run[1], padded[2])
    assert np.array_equal(run[1], apart[1])
    assert np.array_equal(run[0], reversed_run[2])
    assert not np.array_equal(run[0], run[1])
    resumed = [estimator.prepare(frames[n]) for n in range(6)]
    estimator.flows(steps(resumed)[:3])
    assert np.array_equal(estimator.flows([steps(resumed)[n] for n in (3, 2, 4)])[1], run[1])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_lower_precision_is_close(name: RaftName, precision: Resolved) -> None:
    frames = run_of(2)
    full, half = (
        estimator.flow(*[estimator.prepare(frame) for frame in frames])
        for estimator in (raft(name), raft(name, precision=precision))
    )
    apart = np.linalg.norm(half - full, axis=-1).mean()
    assert 0 < apart < 0.05 * np.linalg.norm(full, axis=-1).mean()


@pytest.mark.parametrize(
    ("shape", "grid"),
    [
        ((128, 128), (128, 128)),
        ((134, 141), (134, 141)),
        ((60, 106), (128, 226)),
        ((8, 8), (128, 128)),
        ((8, 40), (102, 512)),
        ((8, 700), (8, 640)),
        ((360, 1280), (180, 640)),
    ],
)
def test_frames_of_every_size(shape: tuple[int, int], grid: tuple[int, int]) -> None:
    estimator = raft(updates=1)
    first, second = (estimator.prepare(frame) for frame in shifted(*shape, 1, 1, blur=2))
    assert all(side % 8 == 0 and side >= 128 for side in first.pixels.shape[:2])
    assert np.array_equal(first.pixels[first.inside].shape[:2], grid)
    flow = estimator.flow(first, second)
    assert flow.shape == (*grid, 2)
    assert np.isfinite(flow).all()


def test_padding_repeats_the_edges_on_both_sides() -> None:
    frame = texture(134, 141, 3)
    prepared = raft().prepare(frame)
    assert prepared.pixels.shape == (136, 144, 3)
    assert np.array_equal(prepared.pixels, np.pad(frame, ((1, 1), (1, 2), (0, 0)), mode="edge"))


def test_more_updates_are_another_flow() -> None:
    frames = run_of(2)
    one, two = (
        estimator.flow(*[estimator.prepare(frame) for frame in frames])
        for estimator in (raft(updates=1), raft(updates=2))
    )
    assert not np.array_equal(one, two)


def test_what_cannot_be_used_is_refused() -> None:
    estimator = raft()
    with pytest.raises(ValueError, match="a frame is uint8"):
        estimator.prepare(np.zeros((20, 20), np.uint8))
    with pytest.raises(ValueError, match="flow needs 8 px"):
        estimator.prepare(np.zeros((7, 200, 3), np.uint8))
    with pytest.raises(ValueError, match="two frames of one size"):
        estimator.flow(estimator.prepare(texture(128, 128, 3)), estimator.prepare(texture(128, 144, 3)))
    with pytest.raises(ValueError, match="two frames of one size"):  # the same, once they are padded
        estimator.flow(estimator.prepare(texture(128, 141, 3)), estimator.prepare(texture(128, 142, 3)))


def test_settings_are_resolved_for_the_device() -> None:
    asked = FlowConfig("raft-large")
    cpu = resolve(asked, CPU)
    assert cpu == dataclasses.replace(asked, weights="C_T_SKHT_V2", updates=12, batch_size=2)
    assert resolve(asked, torch.device("cuda")).batch_size == 8
    assert resolve(cpu, torch.device("cuda")) == cpu
    assert resolve(FlowConfig("dis"), CPU) == FlowConfig("dis")


def test_auto_is_decided_by_the_device_and_by_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # which has no weights
    assert FlowConfig().estimator == "auto"
    for device in ("cpu", "mps"):
        assert resolve(FlowConfig(max_width=320), torch.device(device)) == FlowConfig("dis", max_width=320)
    large = resolve(FlowConfig(max_width=320), torch.device("cuda"))
    assert large == FlowConfig("raft-large", max_width=320, weights="C_T_SKHT_V2", updates=12, batch_size=8)
    with pytest.raises(UsageError, match=r"flow of dis is not computed by a network.*--flow raft-large"):
        resolve(FlowConfig(weights="none"), CPU)
    assert resolve(FlowConfig(weights="none"), torch.device("cuda")).estimator == "raft-large"
