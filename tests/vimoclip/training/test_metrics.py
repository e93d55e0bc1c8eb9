"""Metrics against scikit-learn's on the same scores, and against sums written out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score
from torch import Tensor

from vimoclip.training.metrics import Metrics, by_count, leads, multiclass_metrics, multilabel_metrics, over_classes

GROUPS = ["head", "head", "middle", "middle", "tail", "tail", "tail"]


@pytest.fixture(params=[0, 1, 2])
def scored(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """Logits with ties, and targets of seven classes; no video shows the last."""
    generator = torch.Generator().manual_seed(request.param)
    targets = torch.rand(90, 7, generator=generator) < torch.tensor([0.6, 0.4, 0.2, 0.1, 0.05, 0.05, 0.0])
    targets[0, :6] = True
    logits = (torch.randn(90, 7, generator=generator) * 3 + targets).round(decimals=1)
    return logits, targets


def ap(scores: Tensor, targets: Tensor) -> float:
    return float(average_precision_score(targets.numpy().ravel(), scores.numpy().ravel()))


def several(logits: Tensor, targets: Tensor, batch_size: int = 16) -> Metrics:
    return multilabel_metrics(logits, targets, GROUPS, batch_size)


def test_micro_is_scikit_learns(scored: tuple[Tensor, Tensor]) -> None:
    logits, targets = scored
    assert several(*scored).micro == pytest.approx(ap(logits, targets), abs=1e-6)


def test_classes_and_macro_are_scikit_learns(scored: tuple[Tensor, Tensor]) -> None:
    logits, targets = scored
    found = several(*scored)
    expected = [ap(logits[:, c], targets[:, c]) for c in range(6)]
    assert found.classes == [*(pytest.approx(value, abs=1e-6) for value in expected), None]
    assert found.macro == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.macro == pytest.approx(average_precision_score(targets[:, :6].numpy(), logits[:, :6].numpy()))


def test_micro_of_batches(scored: tuple[Tensor, Tensor]) -> None:
    logits, targets = scored
    logits, targets = torch.cat([logits, logits[:5]]), torch.cat([targets, torch.zeros(5, 7, dtype=torch.bool)])
    cuts = [(0, 30), (30, 60), (60, 90)]  # and five videos that show nothing, which count for nothing
    expected = np.mean([ap(logits[a:b], targets[a:b]) for a, b in cuts])
    assert several(logits, targets, 30).micro_batches == pytest.approx(expected, abs=1e-6)
    assert several(logits, targets, 95).micro_batches == several(logits, targets).micro


def test_class_groups(scored: tuple[Tensor, Tensor]) -> None:
    logits, targets = scored
    each = [ap(logits[:, c], targets[:, c]) for c in range(6)]
    expected = {"head": np.mean(each[:2]), "middle": np.mean(each[2:4]), "tail": np.mean(each[4:])}
    assert several(*scored).class_groups == pytest.approx(expected, abs=1e-6)


def test_class_groups_by_the_counts_of_the_train_split() -> None:
    assert by_count([500, 499, 100, 99, 0]) == ["head", "middle", "middle", "tail", "tail"]


def test_scores_of_stretches_are_counted_beside_their_videos(scored: tuple[Tensor, Tensor]) -> None:
    logits, targets = scored
    for measure in (multilabel_metrics, multiclass_metrics):
        plain = measure(logits, targets, GROUPS, 16)
        assert (plain.videos, plain.stretches) == (len(logits), None)
        assert measure(logits, targets, GROUPS, 16, len(logits)) == plain
        assert measure(logits, targets, GROUPS, 16, 7) == replace(plain, videos=7, stretches=len(logits))


def test_scores_too_high_for_fp32_keep_their_order() -> None:
    """σ of all of them is 1 in fp32, where they would tie."""
    logits = torch.tensor([[30.0], [25.0], [28.0], [20.0]])
    assert multilabel_metrics(logits, torch.tensor([[1], [0], [1], [0]]), ["tail"], 8).micro == 1


def test_logits_whose_sigmoids_are_all_1_keep_their_order() -> None:
    """σ(36.8) is 1 in fp64, and so is σ(60)."""
    random = np.random.default_rng(0)
    logits = random.permutation(np.linspace(20, 60, 400, dtype=np.float32)).reshape(100, 4)
    shown = random.random((100, 4)) < (logits - 20) / 60
    found = multilabel_metrics(torch.from_numpy(logits), torch.from_numpy(shown), ["tail"] * 4, 8)
    assert found.micro == pytest.approx(average_precision_score(shown.flatten(), logits.flatten()), abs=1e-6)


def test_nothing_shown_and_nothing_scored() -> None:
    nothing = Metrics(3, None, None, None, {"tail": None}, [None, None], 0.5)
    assert multilabel_metrics(torch.zeros(3, 2), torch.zeros(3, 2), ["tail", "tail"], 8) == nothing
    empty = Metrics(0, None, None, None, {"tail": None}, [None, None], None)
    for metrics in (multilabel_metrics, multiclass_metrics):
        assert metrics(torch.zeros(0, 2), torch.zeros(0, 2), ["tail", "tail"], 8) == empty


def test_calibration_of_several(scored: tuple[Tensor, Tensor]) -> None:
    logits, targets = scored
    p, y = torch.sigmoid(logits.double()).flatten().numpy(), targets.flatten().numpy()
    error = 0.0
    for bin in range(15):
        held = (p > bin / 15) & (p <= (bin + 1) / 15)
        if held.any():
            error += held.mean() * abs(p[held].mean() - y[held].mean())
    assert several(*scored).calibration == pytest.approx(error, abs=1e-6)


def test_one_behaviour_a_video() -> None:
    generator = torch.Generator().manual_seed(3)
    chosen = torch.randint(7, (80,), generator=generator)
    targets = torch.nn.functional.one_hot(chosen, 7)
    logits = torch.randn(80, 7, generator=generator) + 2 * targets
    found = multiclass_metrics(logits, targets, GROUPS, 16)
    p = torch.softmax(logits.double(), dim=1)
    assert found.accuracy == pytest.approx(accuracy_score(chosen, logits.argmax(dim=1)))
    others = torch.stack([torch.cat([logits[:, :c], logits[:, c + 1 :]], dim=1).amax(dim=1) for c in range(7)], dim=1)
    assert found.micro == pytest.approx(ap(logits - others, targets), abs=1e-6)  # of leads, which scale with the logits
    assert found.classes == [pytest.approx(ap((logits - others)[:, c], targets[:, c]), abs=1e-6) for c in range(7)]
    sure, right = p.max(dim=1).values.numpy(), (p.argmax(dim=1) == chosen).numpy()
    error = 0.0
    for bin in range(15):
        held = (sure > bin / 15) & (sure <= (bin + 1) / 15)
        if held.any():
            error += held.mean() * abs(sure[held].mean() - right[held].mean())
    assert found.calibration == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 0.01])
def test_calibration_moves_no_map(temperature: float) -> None:
    """Softmax does: the order of two videos in one class changes with the temperature (56.7 became 45.7 so)."""
    generator = torch.Generator().manual_seed(4)
    targets = torch.nn.functional.one_hot(torch.randint(7, (80,), generator=generator), 7)
    logits = torch.randn(80, 7, generator=generator, dtype=torch.float64) + targets
    plain, scaled = (multiclass_metrics(each, targets, GROUPS, 16) for each in (logits, logits / temperature))
    for name in ("micro", "micro_batches", "macro", "classes", "class_groups", "accuracy"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name), abs=1e-9)
    assert temperature == 1 or scaled.calibration != plain.calibration
    several_plain = multilabel_metrics(logits, targets, GROUPS, 16)
    several_scaled = multilabel_metrics(logits / temperature + 5, targets, GROUPS, 16)
    assert several_scaled.macro == pytest.approx(several_plain.macro, abs=1e-9)
    assert several_scaled.micro == pytest.approx(several_plain.micro, abs=1e-9)


def test_leads_with_ties() -> None:
    found = leads(torch.tensor([[3.0, 1.0, 2.0], [2.0, 2.0, 1.0], [0.0, 0.0, 0.0]]))
    assert found.tolist() == [[1, -2, -1], [0, 0, -1], [0, 0, 0]]


def test_macro_says_over_how_many_classes() -> None:
    assert over_classes([0.5, None, 0.25]) == "over 2 of 3 classes"
    assert over_classes([0.5, 1.0]) == "over 2 classes"
    assert over_classes([None]) == "over 0 of 1 class"


def test_a_perfect_and_a_hopeless_ranking() -> None:
    targets = torch.tensor([[1, 0], [0, 1], [0, 0]])
    assert multilabel_metrics(targets.float(), targets, ["tail", "tail"], 8).macro == 1
    assert multilabel_metrics(-targets.float(), targets, ["tail", "tail"], 8).macro == pytest.approx(1 / 3)


def test_files_and_json_call_class_groups_segments(scored: tuple[Tensor, Tensor]) -> None:
    found = several(*scored)
    assert found.to_dict() == {
        "videos": 90,
        "micro": found.micro,
        "micro_batches": found.micro_batches,
        "macro": found.macro,
        "segments": found.class_groups,
        "classes": found.classes,
        "calibration": found.calibration,
        "accuracy": None,
        "stretches": None,
        "macro_classes": 6,
    }
    assert list(found.to_dict())[4] == "segments"
