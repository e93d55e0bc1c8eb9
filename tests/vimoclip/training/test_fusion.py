"""Training TFAM: each setting does something, what can be learned is learned, and scores belong to videos."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.vimoclip.made_up_sequences import CONFIG, SMALL, sequences
from vimoclip.config.fusion import PRESETS, FusionConfig, LossConfig, Modality
from vimoclip.errors import RunError
from vimoclip.sequences.sequences import PackedRows, Sequences
from vimoclip.training.fusion import FusionTask, scores
from vimoclip.training.loop import Training
from vimoclip.training.losses import make_loss, mixup
from vimoclip.training.metrics import by_count, multilabel_metrics

CPU = torch.device("cpu")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def trained(config: FusionConfig, train: Sequences, held_out: Sequences | None = None) -> tuple[FusionTask, list[Any]]:
    task = FusionTask(config, train, held_out, CPU)
    return task, Training(task, config.training, CPU).run()


def longer(config: FusionConfig, epochs: int) -> FusionConfig:
    return replace(config, training=replace(config.training, epochs=epochs))


def learned(config: FusionConfig, train: Sequences, held_out: Sequences) -> Any:
    """Metrics after as many steps as it takes."""
    training = replace(config.training, epochs=16, batch_size=8, lr=8e-3)
    return trained(replace(config, training=training), train, held_out)[1][-1]["held_out"]


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, loss=LossConfig()),
        replace(CONFIG, tfam=replace(SMALL, fusion="temporal")),
        replace(CONFIG, tfam=replace(SMALL, fusion="embedding")),
    ],
    ids=["bce", "asymmetric", "temporal", "embedding"],
)
def test_what_image_and_motion_say_is_learned(config: FusionConfig) -> None:
    assert learned(config, sequences(96, 1), sequences(60, 2))["micro"] > 0.9


def one_input(role: Modality, held_out: Sequences) -> Any:
    def only(made: Sequences) -> Sequences:
        number = list(made.dims).index(role)
        parts = made.rows.parts[number : number + 1]  # type: ignore[attr-defined]
        norms = made._norms.parts[0][:, number : number + 1]
        rows = PackedRows(parts, made.offsets)
        return Sequences(made.video_ids, made.offsets, rows, norms, {role: 8}, "unit", made.classes, made.targets)

    config = replace(CONFIG, tfam=replace(SMALL, fusion=role))
    return learned(config, only(sequences(96, 1)), only(held_out))["classes"]


def test_one_input_learns_what_it_can_know() -> None:
    held_out = sequences(60, 2)
    image, motion = one_input("image", held_out), one_input("motion", held_out)
    assert min(image[:2]) > 0.95 > image[2] and motion[2] > 0.95 > max(motion[:2])


@pytest.mark.parametrize(
    "change",
    [
        {"mixup": None},
        {"loss": {"name": "asymmetric"}},
        {"tfam": {"positions": None}},
        {"tfam": {"dropout": 0.0}},
        {"tfam": {"head_dropout": 0.5}},
        {"training": {"decay": "matrices"}},
        {"training": {"clip_gradient": 1e-3}},
        {"training": {"warmup": 0.5}},
        {"training": {"ema": 0.9}},
        {"training": {"weight_decay": 0.5}},
        {"training": {"precision": "bf16"}},
    ],
    ids=str,
)
def test_each_setting_changes_the_numbers(change: dict[str, Any]) -> None:
    train, held_out = sequences(20, 1), sequences(10, 2)
    changed = CONFIG.to_dict()
    for name, value in change.items():
        changed[name] = changed[name] | value if isinstance(value, dict) else value
    before, after = (
        scores(trained(longer(config, 2), train)[0].model, held_out)
        for config in (CONFIG, FusionConfig.from_dict(changed))
    )
    assert torch.isfinite(after).all() and not torch.equal(before, after)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_presets_train(preset: FusionConfig) -> None:
    config = longer(
        replace(preset, tfam=replace(SMALL, positions=preset.tfam.positions, pooling=preset.tfam.pooling)), 1
    )
    _, records = trained(config, sequences(20, 1), sequences(10, 2))
    assert 0 <= records[0]["held_out"]["micro"] <= 1


def test_metrics_are_of_the_scores_with_class_groups_by_the_train_split() -> None:
    train, held_out = sequences(30, 1), sequences(20, 2)
    task, records = trained(CONFIG, train, held_out)
    expected = multilabel_metrics(scores(task.model, held_out), held_out.targets, by_count(train.counts()), 4)
    assert records[-1]["held_out"]["micro"] == pytest.approx(expected.micro)
    assert records[-1]["held_out"]["micro_batches"] == pytest.approx(expected.micro_batches)
    assert list(records[-1]["held_out"]["segments"]) == ["tail"]
    own = FusionTask(CONFIG, train, held_out, CPU, class_groups=["colour", "colour", "rest"])
    assert list(own.evaluate()["held_out"]["segments"]) == ["colour", "rest"]
    assert trained(CONFIG, train)[1][0].keys() == {"epoch", "loss", "lr", "seconds"}


@pytest.mark.parametrize("videos", [9, 11, 41])
@pytest.mark.parametrize("labels", ["several", "one"])
def test_every_video_weighs_the_same_in_an_epoch(videos: int, labels: Any) -> None:
    """The mean over the steps is the mean over the videos, whatever their lengths and however many are in the last."""
    loss = LossConfig(name="bce" if labels == "several" else "cross-entropy")
    config = replace(CONFIG, loss=loss, mixup=None, tfam=replace(SMALL, dropout=0.0))
    task = FusionTask(config, sequences(videos, 1, labels), None, CPU)
    plan = task.plan(0)
    of_steps = torch.stack([task.loss(batch) for batch in plan]).mean()
    torch.testing.assert_close(of_steps, make_loss(loss)(scores(task.model, task.train), task.train.targets.float()))
    weights = list(task.model.parameters())
    of_epoch = torch.autograd.grad(of_steps, weights)
    rows = [task.train.batch(np.array([video])) for video in range(videos)]
    alone = torch.stack([task._loss(task.model(row.vectors, row.present), row.targets) for row in rows]).mean()
    torch.testing.assert_close(of_epoch, torch.autograd.grad(alone, weights), rtol=1e-3, atol=1e-6)


class Parts:
    """Keeps the steps and the targets of what a model is given."""

    def __init__(self, task: FusionTask) -> None:
        self.steps, self.targets, own = list[int](), list[torch.Tensor](), task._loss
        task.model.register_forward_pre_hook(lambda _, given: self.steps.append(given[1]["image"].shape[1]))

        def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            self.targets.append(targets)
            return own(logits, targets)

        task._loss = loss


def test_a_batch_of_mixed_lengths_is_mixed_as_one_and_computed_in_parts() -> None:
    made = sequences(60, 3)
    task = FusionTask(replace(CONFIG, mixup=0.5), made, None, CPU)
    longest = np.argsort(-made.steps, kind="stable")
    batch = longest[[0, 1, 30, 31, -2, -1]]
    parts = Parts(task)
    torch.manual_seed(7)
    task.loss(batch)
    assert parts.steps == sorted({int(n) for n in made.steps[batch]}, reverse=True) and len(parts.steps) > 2
    torch.manual_seed(7)
    expected = mixup(made.batch(batch), 0.5)
    torch.testing.assert_close(torch.cat(parts.targets), expected.targets)
    assert not torch.equal(expected.targets, made.batch(batch).targets)


def test_only_the_last_epoch_of_what_is_held_out_is_scored_in_fp32() -> None:
    held_out = sequences(300, 2)
    config = replace(CONFIG, training=replace(CONFIG.training, precision="bf16", epochs=2))
    task = FusionTask(config, sequences(30, 1), held_out, CPU, select=held_out)
    records = Training(task, config.training, CPU).run()
    expected = multilabel_metrics(scores(task.model, held_out), held_out.targets, by_count(task.train.counts()), 4)
    assert records[-1]["held_out"] == expected.to_dict() != records[-1]["select"]
    assert records[0]["held_out"] == records[0]["select"]


def test_scores_are_in_the_order_of_videos() -> None:
    made = sequences(70, 3)
    model = FusionTask(CONFIG, made, None, CPU).model.eval()
    found = scores(model, made)
    for video in (0, 33, 69):
        batch = made.batch(torch.tensor([video]).numpy())
        torch.testing.assert_close(found[video], model(batch.vectors, batch.present)[0], atol=1e-5, rtol=0)


def test_one_behaviour_a_video() -> None:
    config = replace(CONFIG, loss=LossConfig(name="cross-entropy"))
    assert learned(config, sequences(96, 1, "one"), sequences(60, 2, "one"))["accuracy"] > 0.9


@pytest.mark.parametrize("which", ["train", "held_out"])
def test_cross_entropy_refuses_several_behaviours(which: str) -> None:
    config = replace(CONFIG, loss=LossConfig(name="cross-entropy"))
    parts: dict[str, Sequences] = {"train": sequences(9, 1, "one"), "held_out": sequences(9, 2, "one")}
    parts[which] = sequences(9, 3)
    with pytest.raises(RunError, match=r"of 9 videos with none or several, such as 3/"):
        FusionTask(config, parts["train"], parts["held_out"], CPU)
