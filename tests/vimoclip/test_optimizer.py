"""The optimizer: the cosine at its ends, what decays, and the moving average by hand."""

import pytest
import torch
from torch import nn

from vimoclip.fusion_config import Decay, TfamConfig, TrainingConfig
from vimoclip.optimizer import WeightAverage, adamw, learning_rate, training_precision
from vimoclip.tfam import Tfam


def test_the_cosine_without_warm_up() -> None:
    config = TrainingConfig(warmup=0)
    assert learning_rate(config, 1e-9) == pytest.approx(1e-4)
    assert learning_rate(config, 0.5) == pytest.approx((1e-4 + 1e-6) / 2)
    assert learning_rate(config, 1) == pytest.approx(1e-6)


def test_the_cosine_is_torchs() -> None:
    config = TrainingConfig(warmup=0)
    own = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=config.lr)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(own, T_max=40, eta_min=config.lr_end)
    for step in range(1, 41):
        own.step()
        torchs.step()
        assert learning_rate(config, step / 40) == pytest.approx(torchs.get_last_lr()[0], rel=1e-6)


def test_the_warm_up_is_a_line_to_the_top() -> None:
    config = TrainingConfig(warmup=0.1)
    assert [learning_rate(config, p) for p in (0.01, 0.05, 0.1)] == pytest.approx([1e-5, 5e-5, 1e-4])
    assert learning_rate(config, 1) == pytest.approx(1e-6)


@pytest.mark.parametrize("decay", ["all", "matrices"])
def test_what_decays(decay: Decay) -> None:
    config = TrainingConfig(decay=decay, weight_decay=0.1, lr=0.5)
    model = Tfam(TfamConfig(layers=1, width=8, heads=2, feed_forward=8, hidden=4), {"image": 8, "motion": 8}, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1)
            parameter.grad = torch.zeros_like(parameter)
    adamw(model, config).step()  # without gradients, decay is all there is
    for name, parameter in model.named_parameters():
        decays = decay == "all" or not ("bias" in name or "norm" in name or name in ("pool.weight", "head.0.weight"))
        assert torch.allclose(parameter, torch.tensor(0.95 if decays else 1.0)), name


def test_the_average() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(2)
    average = WeightAverage(model, 0.25)
    expected = 2.0
    for step in range(1, 6):
        with torch.no_grad():
            model.weight.fill_(step)
        average.update()
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    average.swap()
    assert model.weight.item() == pytest.approx(expected)
    again = WeightAverage(nn.Linear(1, 1, bias=False), 0.25)
    average.swap()
    assert model.weight.item() == 5
    again.load(average.state())
    assert again.state()["averages"][0].item() == pytest.approx(expected) and again.state()["steps"] == 5


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert training_precision("fp32", cpu) == "fp32" and training_precision("bf16", cpu) == "bf16"
    assert training_precision("auto", torch.device("mps")) == "fp32"
