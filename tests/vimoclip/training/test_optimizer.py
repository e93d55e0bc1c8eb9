"""The optimizer: the cosine at its ends, what decays, and the moving average by hand."""

import pytest
import torch
from torch import nn

from vimoclip.config.fusion import Decay, TfamConfig, TrainingConfig
from vimoclip.models.tfam import Tfam
from vimoclip.training.optimizer import WeightAverage, adamw, layer_rates, learning_rate, training_precision


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


def test_the_rates_of_a_tower_grow_from_block_to_block() -> None:
    vit = ["class_embedding", "proj", "conv1.weight", "ln_pre.bias"]
    vit += [f"transformer.resblocks.{n}.ln_1.weight" for n in range(2)] + ["ln_post.weight"]
    assert list(layer_rates(vit, 0.5).values()) == [0.125, 1, 0.125, 0.125, 0.25, 0.5, 1]
    resnet = ["conv1.weight", "bn1.bias", "layer1.0.bn1.weight", "layer1.1.bn1.weight", "layer2.0.downsample.0.weight"]
    assert list(layer_rates([*resnet, "attnpool.q_proj.bias"], 0.5).values()) == [
        1 / 16,
        1 / 16,
        1 / 8,
        1 / 4,
        1 / 2,
        1,
    ]
    assert set(layer_rates(vit, 1).values()) == {1}


def test_a_step_goes_as_far_as_the_rate_says_and_what_is_frozen_stays() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[2].requires_grad_(False)
    config = TrainingConfig(weight_decay=0, lr=0.5)
    optimizer = adamw(model, config, {"0.weight": 0.25, "0.bias": 0.25})
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = config.lr * group["rate"]
    optimizer.step()
    moved = [float((old - new.detach()).abs().max()) for old, new in zip(before, model.parameters(), strict=True)]
    assert moved == pytest.approx([0.125, 0.125, 0.5, 0.5, 0, 0], abs=1e-5)  # Adam's first step is the rate itself


def test_without_decay_it_is_adam() -> None:
    models = [nn.Linear(3, 1) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    own = adamw(models[0], TrainingConfig(weight_decay=0, lr=1e-3))
    torchs = torch.optim.Adam(models[1].parameters(), lr=1e-3)
    for step in range(5):
        for model, optimizer in zip(models, (own, torchs), strict=True):
            (model(torch.full((2, 3), step + 1.0)) - 3).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(models[0].weight, models[1].weight)
