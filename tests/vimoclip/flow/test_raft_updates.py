"""The update against torchvision's in fp64, where the same sums in another order agree to twelve digits."""

import pytest
import torch

from vimoclip.flow.raft import Updates
from vimoclip.flow.raft_weights import RaftName, load


@pytest.mark.parametrize("pairs", [1, 2])
@pytest.mark.parametrize("name", ["raft-large", "raft-small"])
def test_it_steps_as_torchvision_does(name: RaftName, pairs: int) -> None:
    network = load(name, "none").double()
    encoded = network.context_encoder.conv.out_channels
    generator = torch.Generator().manual_seed(0)

    def made(channels: int) -> torch.Tensor:
        return torch.randn(pairs, channels, 16, 17, generator=generator, dtype=torch.float64)

    updates = Updates(load(name, "none").double().update_block, encoded)
    hidden, context = torch.tanh(made(updates.hidden)), torch.relu(made(encoded - updates.hidden))
    kept, fixed = hidden, updates.fixed(context)
    for _ in range(2):
        found, flow = made(network.corr_block.out_channels), made(2)
        expected = network.update_block(hidden, context, found, flow)
        kept, step = updates.step(kept, fixed, found, flow)
        assert torch.allclose(kept, expected[0], rtol=1e-9, atol=1e-12)
        assert torch.allclose(step, expected[1], rtol=1e-9, atol=1e-12)
        assert step.abs().max() > 1e-3
        hidden = expected[0]
