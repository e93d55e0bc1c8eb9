"""Losses against their equations, written out in float64."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from vimoclip.config.fusion import LossConfig
from vimoclip.config.motion import PRESETS
from vimoclip.training.losses import (
    asymmetric,
    binary_cross_entropy,
    cross_entropy,
    distillation,
    make_loss,
    weighted,
)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 9, generator=generator) * 4, (torch.rand(6, 9, generator=generator) < 0.3).float()


def by_hand(logits: Tensor, targets: Tensor, positive: float, negative: float, margin: float) -> float:
    total = 0.0
    for x, y in zip(logits.double().flatten().tolist(), targets.double().flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        p_m = max(p - margin, 0.0)
        total -= y * (1 - p) ** positive * math.log(p) + (1 - y) * p_m**negative * math.log(1 - p_m)
    return total / logits.numel()


@pytest.mark.parametrize(
    ("positive", "negative", "margin"), list(itertools.product((0.0, 1.0), (0.0, 4.0), (0.0, 0.05)))
)
def test_asymmetric(batch: tuple[Tensor, Tensor], positive: float, negative: float, margin: float) -> None:
    found = asymmetric(*batch, positive, negative, margin)
    assert found.item() == pytest.approx(by_hand(*batch, positive, negative, margin), rel=1e-5)


def test_without_asymmetry_it_is_binary_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    logits, targets = batch
    mixed = targets * 0.7 + targets.roll(1, 0) * 0.3
    assert asymmetric(logits, mixed, 0, 0, 0).item() == pytest.approx(binary_cross_entropy(logits, mixed).item())
    assert binary_cross_entropy(*batch).item() == pytest.approx(by_hand(*batch, 0, 0, 0), rel=1e-5)


def test_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    logits, _ = batch
    classes = torch.tensor([0, 3, 8, 8, 1, 2])
    rows = zip(logits.double().tolist(), classes.tolist(), strict=True)
    expected = [-math.log(math.exp(x[c]) / sum(map(math.exp, x))) for x, c in rows]
    targets = torch.nn.functional.one_hot(classes, 9).to(torch.uint8)
    assert cross_entropy(logits, targets).item() == pytest.approx(sum(expected) / 6, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_extreme_logits_have_finite_losses_and_gradients(gamma: float, margin: float) -> None:
    logits = torch.tensor([[-1e4, -200.0, -50.0, 0.0, 50.0, 200.0, 1e4]], requires_grad=True)
    for targets in (torch.zeros(1, 7), torch.ones(1, 7)):
        loss = asymmetric(logits, targets, gamma, gamma, margin)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert math.isfinite(loss.item()) and torch.isfinite(gradient).all()


def test_easy_negatives_weigh_nothing() -> None:
    logits = torch.tensor([[-3.0, 1.0]], requires_grad=True)  # σ(−3) = 0.047
    (gradient,) = torch.autograd.grad(asymmetric(logits, torch.zeros(1, 2), 0, 4, 0.05), logits)
    assert gradient[0, 0] == 0 and gradient[0, 1] > 0


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LossConfig(name="bce"), binary_cross_entropy),
        (LossConfig(name="cross-entropy"), cross_entropy),
        (LossConfig(gamma_positive=1, gamma_negative=3, margin=0.1), lambda x, y: asymmetric(x, y, 1, 3, 0.1)),
    ],
)
def test_a_config_names_its_loss(batch: tuple[Tensor, Tensor], config: LossConfig, expected) -> None:  # type: ignore[no-untyped-def]
    assert torch.equal(make_loss(config)(*batch), expected(*batch))


def test_losses_of_bf16_logits_are_fp32(batch: tuple[Tensor, Tensor]) -> None:
    logits, targets = batch
    for loss in (binary_cross_entropy, cross_entropy, make_loss(LossConfig())):
        found = loss(logits.bfloat16(), targets.to(torch.uint8))
        assert found.dtype == torch.float32 and torch.equal(found, loss(logits.bfloat16().float(), targets))


def test_the_student_s_classification_is_equation_5_with_its_negatives(batch: tuple[Tensor, Tensor]) -> None:
    logits, targets = batch
    positives, negatives = [], []
    for x, y in zip(logits.double().flatten().tolist(), targets.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        positives.append(-10 * y * math.log(p))
        negatives.append(-(1 - y) * math.log(1 - p))
    count = targets.numel()
    expected = (math.fsum(positives) + math.fsum(negatives)) / count
    assert weighted(logits, targets, 10).item() == pytest.approx(expected, rel=1e-5)
    assert weighted(logits, targets, 1).item() == pytest.approx(binary_cross_entropy(logits, targets).item(), rel=1e-6)


def test_the_published_weight_is_ours_of_10(batch: tuple[Tensor, Tensor]) -> None:
    """The published losses.py weighs each pair by 9 y + 1, so that a positive weighs 10."""
    logits, targets = batch
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    public = ((9 * targets + 1) * each).mean()
    torch.testing.assert_close(weighted(logits, targets, PRESETS["paper"].positive_weight), public)
    assert abs(weighted(logits, targets, 9.0) - public) > 1e-3


def test_negatives_count(batch: tuple[Tensor, Tensor]) -> None:
    logits, targets = batch
    assert weighted(torch.full_like(logits, 1e3), targets, 10) > 100


def test_distillation_is_equation_4() -> None:
    generator = torch.Generator().manual_seed(2)
    z, image = torch.randn(5, 7, generator=generator) * 9, torch.randn(5, 7, generator=generator)
    cosines = []
    for a, b in zip(z.double().tolist(), image.double().tolist(), strict=True):
        dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
        cosines.append(dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b)))
    assert distillation(z, image).item() == pytest.approx(1 - math.fsum(cosines) / 5, rel=1e-5)
    assert distillation(z, 3 * z).item() == pytest.approx(0, abs=1e-6)
