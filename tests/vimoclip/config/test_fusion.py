"""Settings of fusion: the paper's table of variants, presets, bounds."""

from dataclasses import replace

import pytest

from vimoclip.config.fusion import (
    PRESETS,
    Attention,
    Concat,
    Fusion,
    FusionConfig,
    Inputs,
    LossConfig,
    Preset,
    SequenceConfig,
    TfamConfig,
    TrainingConfig,
    fusion_of,
    fusion_settings,
)
from vimoclip.config.motion import MotionConfig, motion_settings
from vimoclip.errors import ConfigError, RemovedSettingError, UsageError


@pytest.mark.parametrize(
    ("attention", "concat", "inputs", "fusion"),
    [
        (None, None, "both", "cross"),
        ("cross", None, "both", "cross"),
        ("self", None, "both", "temporal"),
        ("self", "temporal", "both", "temporal"),
        ("self", "embedding", "both", "embedding"),
        (None, "embedding", "both", "embedding"),
        (None, None, "image", "image"),
        ("self", None, "motion", "motion"),
    ],
)
def test_rows_of_table_2(attention: Attention | None, concat: Concat | None, inputs: Inputs, fusion: Fusion) -> None:
    assert fusion_of(attention, concat, inputs) == fusion


@pytest.mark.parametrize(
    ("attention", "concat", "inputs"),
    [("cross", "temporal", "both"), ("cross", None, "image"), ("self", "embedding", "motion")],
)
def test_contradictions_are_wrong_usage(attention: Attention, concat: Concat | None, inputs: Inputs) -> None:
    with pytest.raises(UsageError, match=r"Received: inputs|concatenates nothing"):
        fusion_of(attention, concat, inputs)


def test_the_paper_preset_is_what_the_paper_says() -> None:
    paper = PRESETS["paper"]
    training = paper.training
    assert (training.lr, training.lr_end, training.weight_decay) == (1e-4, 1e-6, 0.1)
    assert (training.epochs, training.batch_size, training.seed, training.decay) == (30, 8, 49, "all")
    assert (training.ema, training.clip_gradient, training.warmup, paper.mixup) == (None, None, 0, None)
    assert (paper.tfam.dropout, paper.tfam.positions, paper.tfam.pooling) == (0.1, None, "mean")
    assert (paper.loss.name, paper.sequences.lengths, paper.sequences.most_frames) == ("bce", "raw", None)


@pytest.mark.parametrize("config", PRESETS.values())
def test_round_trip(config: FusionConfig) -> None:
    assert FusionConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("preset", ["paper", "default"])
@pytest.mark.parametrize("head", ["linear", "prototype"])
def test_a_head_of_closed_form_has_no_settings_of_epochs(preset: Preset, head: str) -> None:
    config = fusion_settings(preset, {"training": {"seed": 3}, "closed_form": {"thirds": False}}, {"head": head})
    assert (config.head_name, config.training.epochs, config.training.seed, config.mixup) == (head, 1, 3, None)
    assert not config.closed_form.thirds and config.sequences == PRESETS[preset].sequences
    assert FusionConfig.from_dict(config.to_dict()) == config
    fitted = replace(config, loss=config.loss.fitting(one_each=True))
    assert FusionConfig.from_dict(fitted.to_dict()) == fitted
    narrow = fusion_settings(preset, {"tfam": {"width": 128}, "training": {"epochs": 5, "lr": 1.0}, "mixup": 0.4})
    assert narrow.with_head(head) == fusion_settings(preset, {"head": head})  # a row of an ablation
    for change in ({"training": {"epochs": 5}}, {"training": {"lr": 1e-3}}, {"tfam": {"width": 128}}, {"mixup": 0.2}):
        with pytest.raises(ConfigError, match=rf"head {head} is fitted in one step.*Received: .*{next(iter(change))}"):
            fusion_settings(preset, {"head": head}, change)
    with pytest.raises(ConfigError, match=r"loss.name bce"):
        fusion_settings(preset, {"head": head, "loss": {"name": "bce"}})


def test_settings_that_older_runs_do_not_have_are_left_out_where_they_are_the_defaults() -> None:
    """So that a run keeps its folder and what it was begun with."""
    assert "closed_form" not in FusionConfig().to_dict()
    assert fusion_settings("default", {"closed_form": {"thirds": False}}).to_dict()["closed_form"] == {"thirds": False}
    assert "head_dropout" not in FusionConfig().to_dict()["tfam"] and "head_hidden" not in MotionConfig().to_dict()
    assert PRESETS["paper"].to_dict()["tfam"]["head_dropout"] == 0.1
    assert motion_settings("paper").to_dict()["head_hidden"] == 256
    assert fusion_settings("paper", {"tfam": {"head_dropout": 0.0}}).to_dict()["tfam"].get("head_dropout") is None
    assert MotionConfig.from_dict(motion_settings("paper").to_dict()) == motion_settings("paper")
    assert motion_settings("paper", {"head_hidden": "none"}).head_hidden is None


def test_later_changes_are_above_earlier_ones_and_above_the_preset() -> None:
    found = fusion_settings("paper", {"training": {"lr": 1.0, "epochs": 2}}, {"training": {"lr": 2.0}, "mixup": 0.4})
    paper = PRESETS["paper"]
    assert found == replace(paper, training=replace(paper.training, lr=2.0, epochs=2), mixup=0.4)
    assert fusion_settings("default") == FusionConfig()
    assert fusion_settings("default", {"mixup": "none", "tfam": {"positions": "none"}}) == replace(
        FusionConfig(), mixup=None, tfam=replace(TfamConfig(), positions=None)
    )
    for change in ({"training": {"speed": 1}}, {"training": 1}, {"speed": 1}):
        with pytest.raises(ConfigError):
            fusion_settings("paper", change)


def test_what_was_removed_is_said_to_be() -> None:
    with pytest.raises(RemovedSettingError, match=r"pooling attention was removed.*Leave it out; it is mean"):
        fusion_settings("default", {"tfam": {"pooling": "attention"}})
    with pytest.raises(RemovedSettingError, match=r"loss positives-only was removed.*Leave it out; it is bce"):
        motion_settings("default", {"loss": "positives-only"})
    assert fusion_settings("default", {"tfam": {"pooling": "mean"}}) == FusionConfig()
    for config, name, value in ((TfamConfig(), "pooling", "max"), (MotionConfig(), "loss", "asymmetric")):
        with pytest.raises(ConfigError, match=f"{name} has a value it cannot have"):
            config.changed({name: value})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TfamConfig, {"heads": 0}),
        (TfamConfig, {"width": 24, "heads": 8}),
        (TfamConfig, {"dropout": 1.0}),
        (TfamConfig, {"head_dropout": 1.0}),
        (MotionConfig, {"head_hidden": 0}),
        (TfamConfig, {"fusion": "late"}),
        (TfamConfig, {"positions": "learned"}),
        (LossConfig, {"margin": -0.1}),
        (LossConfig, {"gamma_negative": float("nan")}),
        (SequenceConfig, {"most_frames": 0}),
        (SequenceConfig, {"window_s": 0.0}),
        (SequenceConfig, {"window_s": float("inf")}),
        (TrainingConfig, {"lr": 0.0}),
        (TrainingConfig, {"epochs": 0}),
        (TrainingConfig, {"seed": -1}),
        (TrainingConfig, {"ema": 1.0}),
        (TrainingConfig, {"clip_gradient": 0.0}),
        (FusionConfig, {"mixup": 0.0}),
        (FusionConfig, {"dropuot": 0.1}),
    ],
)
def test_values_that_cannot_be(kind: type[FusionConfig], values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        kind.from_dict(values)
