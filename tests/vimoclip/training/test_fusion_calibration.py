"""Probabilities that are fitted to labels: known answers, and what stays as it was."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.vimoclip.made_up_sequences import SMALL, sequences
from vimoclip.models.tfam import Tfam
from vimoclip.training.fusion import Calibration, apply_calibration, calibrate, fit_calibration, scores
from vimoclip.training.metrics import multilabel_metrics


def drawn(count: int, scale: float, bias: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels that are shown with the probability σ(scale · x + bias)."""
    random = torch.Generator().manual_seed(3)
    x = 2 * torch.randn(count, 4, generator=random) + 1
    return x, (torch.rand(count, 4, generator=random) < torch.sigmoid(scale * x + bias)).float()


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (4.0, -3.0), (0.25, 1.0)])
def test_the_scale_and_bias_that_labels_were_drawn_with_are_found(scale: float, bias: float) -> None:
    x, y = drawn(20_000, scale, bias)
    found = fit_calibration(x, y, one_each=False)
    assert (found.scale, found.bias) == pytest.approx((scale, bias), rel=0.05, abs=0.05)


def test_it_is_logistic_regression() -> None:
    x, y = drawn(5000, 3.0, -1.0)
    found = fit_calibration(x, y, one_each=False)
    theirs = LogisticRegression(C=np.inf).fit(x.reshape(-1, 1), y.flatten())
    assert found.scale == pytest.approx(float(theirs.coef_[0, 0]), rel=0.02)  # they have no targets of Platt's
    assert found.bias == pytest.approx(float(theirs.intercept_[0]), rel=0.02)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_the_temperature_of_one_behaviour_a_video(temperature: float) -> None:
    random = torch.Generator().manual_seed(5)
    x = 3 * torch.randn(20_000, 5, generator=random) * temperature
    chosen = torch.multinomial(torch.softmax(x / temperature, dim=1), 1, generator=random)[:, 0]
    found = fit_calibration(x, torch.nn.functional.one_hot(chosen, 5), one_each=True)
    assert found.bias == 0 and found.scale == pytest.approx(1 / temperature, rel=0.05)


@pytest.mark.parametrize("one_each", [False, True])
def test_scores_that_are_right_on_all_videos_give_no_infinite_scale(one_each: bool) -> None:
    y = torch.eye(3).repeat(7, 1)
    found = fit_calibration(2 * y - 1, y, one_each)
    assert 1 < found.scale < 10 and np.isfinite(found.bias)


@pytest.mark.parametrize("x", [torch.zeros(4, 3), torch.randn(4, 3, generator=torch.Generator().manual_seed(1))])
@pytest.mark.parametrize("y", [torch.zeros(4, 3), torch.ones(4, 3), torch.eye(4, 3)])
def test_where_there_is_nothing_to_fit_logits_stay(x: torch.Tensor, y: torch.Tensor) -> None:
    if x.any() and 0 < y.sum() < y.numel():
        return
    assert fit_calibration(x, y, one_each=False) == Calibration()


def test_scores_that_are_wrong_never_turn_the_ranking_round() -> None:
    x, y = drawn(200, 2.0, 0.0)
    assert 0 < fit_calibration(-x, y, one_each=False).scale < 0.01


def test_a_model_s_logits_are_scaled_and_its_ranking_stays() -> None:
    torch.manual_seed(0)
    train = sequences(60, 1)
    model = Tfam(SMALL, train.dims, 3).eval()
    before = scores(model, train)
    apply_calibration(model, Calibration(4.0, -2.0))
    torch.testing.assert_close(scores(model, train), 4 * before - 2)
    apply_calibration(model, Calibration(0.25, 3.0))
    calibrate(model, train, "bce")
    after = scores(model, train)
    measured = [multilabel_metrics(each, train.targets, ["tail"] * 3, 8) for each in (before, after)]
    assert measured[1].micro == pytest.approx(measured[0].micro)
    assert measured[1].calibration is not None and measured[0].calibration is not None
    assert measured[1].calibration < measured[0].calibration
    assert torch.sigmoid(after).mean() == pytest.approx(float(train.targets.double().mean()), abs=0.01)
