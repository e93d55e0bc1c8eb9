"""The lookup against torchvision's in fp64, where rounding hides nothing; places far outside, or none at all."""

import pytest
import torch
from torchvision.models.optical_flow.raft import CorrBlock

from vimoclip.flow.raft import Correlation

LEVELS = 4


def features(pairs: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    # 64 channels: torchvision divides by the square root in fp32, which of these is exact.
    before, after = torch.randn(2, pairs, 64, height, width, generator=generator, dtype=torch.float64)
    return before, after


def places(pairs: int, height: int, width: int, far: float) -> torch.Tensor:
    """Each pixel's own, moved by about so many pixels."""
    x, y = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    moved = far * torch.randn(pairs, 2, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.stack([x, y]) + moved


@pytest.mark.parametrize("far", [0.0, 0.7, 9.0, 1e4])
@pytest.mark.parametrize("radius", [3, 4])
@pytest.mark.parametrize("shape", [(1, 16, 17), (2, 23, 16), (1, 16, 40)])
def test_it_finds_what_torchvision_finds(shape: tuple[int, int, int], radius: int, far: float) -> None:
    before, after = features(*shape)
    theirs = CorrBlock(num_levels=LEVELS, radius=radius)
    theirs.build_pyramid(before, after)
    expected = theirs.index_pyramid(places(*shape, far))
    found = Correlation(before, after, LEVELS, radius).around(places(*shape, far))
    assert found.shape == expected.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(found, expected, rtol=0, atol=1e-11)
    assert (expected.abs().amax() > 1) == (far < 100)


def test_a_place_that_is_not_a_number_spoils_its_own_pixel_alone() -> None:
    before, after = features(2, 16, 17)
    correlation = Correlation(before, after, LEVELS, 3)
    whole = places(2, 16, 17, 2.0)
    broken = whole.clone()
    broken[0, 0, 3, 4], broken[1, 1, 5, 6], broken[1, :, 7, 8] = torch.nan, torch.inf, -torch.inf
    found = correlation.around(broken)
    spoilt = torch.zeros(2, 16, 17, dtype=torch.bool)
    spoilt[0, 3, 4] = spoilt[1, 5, 6] = spoilt[1, 7, 8] = True
    assert torch.equal(~found.isfinite().all(1), spoilt)
    kept = ~spoilt[:, None].expand_as(found)
    assert torch.equal(found[kept], correlation.around(whole)[kept])
