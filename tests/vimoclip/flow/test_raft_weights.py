"""RAFT's weights: by torchvision's name, from a file in either layout, seeded random; errors say what to do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights, raft_large, raft_small

from tests.vimoclip.flow.original_raft import OriginalRaft
from tests.vimoclip.flow.textures import shifted
from vimoclip.config.store import FlowConfig
from vimoclip.errors import ModelError
from vimoclip.flow import resolve
from vimoclip.flow.raft import Raft
from vimoclip.flow.raft_weights import RaftName, from_original, load, resolve_raft_weights

CPU = torch.device("cpu")
NAMES: tuple[RaftName, ...] = ("raft-large", "raft-small")
BUILD = {"raft-large": raft_large, "raft-small": raft_small}


def original(name: RaftName) -> OriginalRaft:
    """With random weights, and statistics in its batch norms that are not those they begin with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = OriginalRaft(small=name == "raft-small").requires_grad_(False).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5), module.bias.normal_(0, 0.1)
        return network


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_the_original_gives_the_originals_flow(tmp_path: Path, name: RaftName, prefix: str) -> None:
    network = original(name)
    state = {prefix + key: tensor for key, tensor in network.state_dict().items()}
    assert f"{prefix}fnet.layer2.0.downsample.0.weight" in state
    assert (f"{prefix}cnet.layer2.0.norm3.running_var" in state) == (name == "raft-large")
    torch.save(state, tmp_path / "raft.pth")
    config = resolve(FlowConfig(name, weights=str(tmp_path / "raft.pth"), updates=4), CPU)
    estimator = Raft(config, CPU, "fp32")
    first, second = shifted(128, 136, 2, 1)
    flow = estimator.flow(estimator.prepare(first), estimator.prepare(second))
    images = [torch.from_numpy(frame).permute(2, 0, 1)[None] / 127.5 - 1 for frame in (first, second)]
    expected = network(*images, updates=4)[0].permute(1, 2, 0).numpy()
    assert np.abs(expected).max() > 0.1
    assert np.allclose(flow, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_original_is_one_of_torchvisions(name: RaftName) -> None:
    assert set(from_original(original(name).state_dict())) == set(BUILD[name]().state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_torchvisions_layout_is_taken_as_it_is(tmp_path: Path, name: RaftName) -> None:
    state = BUILD[name]().state_dict()
    torch.save(state, tmp_path / "raft.pth")
    loaded = load(name, resolve_raft_weights(name, str(tmp_path / "raft.pth"))).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def test_none_is_random_but_always_the_same() -> None:
    before = torch.random.get_rng_state()
    config = resolve(FlowConfig("raft-small", weights="none"), CPU)
    first, again = Raft(config, CPU, "fp32"), Raft(config, CPU, "bf16")
    assert first.made_of == again.made_of  # of the weights as loaded, before rounding
    assert first.made_of["training"] == "random"
    assert torch.equal(before, torch.random.get_rng_state())
    large = Raft(resolve(FlowConfig("raft-large", weights="none"), CPU), CPU, "fp32")
    assert large.made_of["weights_sha256"] != first.made_of["weights_sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_what_torch_keeps_of_it(tmp_path: Path, name: RaftName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    tag = {"raft-large": Raft_Large_Weights, "raft-small": Raft_Small_Weights}[name].DEFAULT
    kept = tmp_path / "hub" / "checkpoints" / tag.url.rpartition("/")[2]
    kept.parent.mkdir(parents=True)
    torch.save(BUILD[name]().state_dict(), kept)
    by_name = Raft(resolve(FlowConfig(name), CPU), CPU, "fp32")
    by_path = Raft(resolve(FlowConfig(name, weights=str(kept)), CPU), CPU, "fp32")
    assert by_name.made_of == by_path.made_of
    assert by_name.made_of["training"] == "pretrained"


def test_a_name_without_its_weights_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    with pytest.raises(ModelError, match=r"C_T_SKHT_V2 of raft-large cannot be had.*--flow-weights PATH.*--flow dis"):
        load("raft-large", resolve_raft_weights("raft-large", None))


def test_names() -> None:
    assert resolve_raft_weights("raft-large", "default") == "C_T_SKHT_V2"
    assert resolve_raft_weights("raft-small", None) == "C_T_V2"
    assert resolve_raft_weights("raft-large", "C_T_V1") == "C_T_V1"
    with pytest.raises(ModelError, match=r"Received: C_T_SKHT_V2\. Expected: .*none, or C_T_V1, C_T_V2"):
        resolve_raft_weights("raft-small", "C_T_SKHT_V2")


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("text", "tensor", "nested", "unsafe", "empty")}
    files["text"].write_text("not weights")
    files["empty"].write_bytes(b"")
    torch.save(torch.zeros(3), files["tensor"])
    torch.save({"model": raft_small().state_dict()}, files["nested"])
    torch.save({"path": tmp_path}, files["unsafe"])
    for path in files.values():
        with pytest.raises(ModelError, match=r"weights of raft-small cannot be read.*state dict"):
            load("raft-small", str(path))


def test_another_networks_weights_are_refused(tmp_path: Path) -> None:
    torch.save(raft_large().state_dict(), tmp_path / "large.pth")
    torch.save(original("raft-large").state_dict(), tmp_path / "original.pth")
    for path in tmp_path.iterdir():
        with pytest.raises(ModelError, match=r"are not those of raft-small.*--flow names"):
            load("raft-small", str(path))
