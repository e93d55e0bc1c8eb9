"""Settings of a run that trains the motion student, and the presets.

`paper` is what the paper did, and `default` is what we recommend. Each difference between them is one setting, which
can be given by itself.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from vimoclip.config.base import Config, at_least_one, not_negative, only_choice, positive
from vimoclip.config.fusion import Preset, TrainingConfig, check_share
from vimoclip.config.store import FlowImage
from vimoclip.errors import ConfigError

Checkpointing = Literal["auto", "on", "off"]

DEFAULT_TRAINING = TrainingConfig(
    epochs=10, batch_size=32, lr=1e-4, warmup=0.1, weight_decay=0.05, decay="matrices", clip_gradient=1.0, ema=0.999
)


@dataclass(frozen=True)
class MotionConfig(Config):
    """A run of train-motion.

    Attributes:
        encoding: the image of the flow that the student sees: `uvm`, or the colour `wheel`.
        image: the feature whose vectors the student is to come near; it must be from the store's own teacher.
        alpha: α of ẑ = z + α h(z).
        hidden: the width of h.
        head_hidden: the width of the accessory head's hidden layer; None is a linear head.
        segment: the most consecutive frames of a video in one segment. A batch has training.batch_size segments.
        loss: of the accessory head: only `bce` (vimoclip/training/losses.py).
        positive_weight: the weight of that loss's positives.
        layer_decay: factor of the learning rate from block to block, from the last to the first; 1 trains all alike.
        flip: the share of segments that are mirrored, their motion too; drawn anew in every epoch.
        checkpointing: compute a part of the tower twice instead of keeping what its gradient needs. `auto` does so
            where memory would not suffice; the numbers are the same.
        training: the optimizer's settings.
        select_on: as in train-fusion.
    """

    encoding: FlowImage = "uvm"
    image: str = "clip"
    alpha: float = 0.1
    hidden: int = 512
    head_hidden: int | None = None
    segment: int = 30
    loss: str = "bce"
    positive_weight: float = 10.0
    layer_decay: float = 0.75
    flip: float = 0.5
    checkpointing: Checkpointing = "auto"
    training: TrainingConfig = field(default_factory=lambda: DEFAULT_TRAINING)
    select_on: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        only_choice("loss", self.loss, "bce", removed="positives-only")
        for name in ("hidden", "segment"):
            at_least_one(name, getattr(self, name))
        if self.head_hidden is not None:
            at_least_one("head_hidden", self.head_hidden)
        not_negative("alpha", self.alpha)
        positive("positive_weight", self.positive_weight)
        for name in ("layer_decay", "flip"):
            value = getattr(self, name)
            least = 0 if name == "flip" else 1e-6
            if not least <= value <= 1:
                raise ConfigError(f"{name} is a share.", received=value, expected=f"{least:g} to 1")
        check_share("select_on", self.select_on)

    def to_dict(self) -> dict[str, Any]:
        """See `Config.to_dict`. `head_hidden` is left out where it is None: there are run files that are older."""
        values = super().to_dict()
        if self.head_hidden is None:
            del values["head_hidden"]
        return values


PRESETS: dict[Preset, MotionConfig] = {
    "paper": MotionConfig(
        encoding="wheel",
        head_hidden=256,
        layer_decay=1.0,
        flip=0.0,
        # AdamW without decay is Adam
        training=TrainingConfig(
            epochs=10,
            batch_size=32,
            lr=1e-3,
            lr_end=1e-3,
            warmup=0.0,
            weight_decay=0.0,
            decay="all",
            clip_gradient=None,
            ema=None,
        ),
    ),
    "default": MotionConfig(),
}


def motion_settings(preset: Preset, *changes: dict[str, Any]) -> MotionConfig:
    """The settings of a preset with changes, for which see `Config.changed`.

    Raises:
        ConfigError: an unknown setting, or a value that it cannot have.
    """
    return PRESETS[preset].changed(*changes)
