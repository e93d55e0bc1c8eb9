"""Settings of a run that trains a fusion head, the table of heads, and the presets.

`paper` is what the paper did, and `default` is what we recommend. Each difference between them is one setting, which
can be given by itself.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from vimoclip.config.base import Config, at_least_one, check_window, fraction, not_negative, only_choice, positive
from vimoclip.errors import ConfigError, UsageError

Fusion = Literal["cross", "temporal", "embedding", "image", "motion"]
Attention = Literal["cross", "self"]
Concat = Literal["temporal", "embedding"]
Inputs = Literal["image", "motion", "both"]
Lengths = Literal["unit", "raw"]
Loss = Literal["bce", "asymmetric", "cross-entropy"]
Decay = Literal["all", "matrices"]
TrainingPrecision = Literal["auto", "bf16", "fp32"]
Modality = Literal["image", "motion"]
Preset = Literal["paper", "default"]


@dataclass(frozen=True)
class Head:
    """A fusion head: a row of HEADS.

    Attributes:
        title: its name for people, as the paper's Table 2 prints it.
        roles: the sequences that it reads.
        module: where it is. The module's `build(config, dims, classes)` makes it (see vimoclip/models/heads); it is
            imported when it is used.
        paper: its micro mAP on Animal Kingdom in percent, from the paper's Table 2; None for a head that is not in it.
            It is printed beside ours to compare the order of heads, not the height, which depends on the data set.
        closed_form: whether it is fitted in one step rather than trained: a vimoclip.models.heads.closed_form head.
    """

    title: str
    roles: tuple[Modality, ...]
    module: str
    paper: float | None = None
    closed_form: bool = False


_TFAM = "vimoclip.models.tfam"
_CLOSED_FORM = "vimoclip.models.heads.closed_form"

HEADS: dict[str, Head] = {
    "image": Head("image only", ("image",), _TFAM, 75.83),
    "motion": Head("motion only", ("motion",), _TFAM, 51.05),
    "embedding": Head("self-attention, embedding concat", ("image", "motion"), _TFAM, 74.56),
    "temporal": Head("self-attention, temporal concat", ("image", "motion"), _TFAM, 76.99),
    "cross": Head("cross-attention", ("image", "motion"), _TFAM, 77.09),
    "linear": Head("linear, closed form", ("image", "motion"), _CLOSED_FORM, closed_form=True),
    "prototype": Head("prototypes, closed form", ("image", "motion"), _CLOSED_FORM, closed_form=True),
}
"""Every fusion head by its name. TFAM's five come first, and have the names of its fusions. A new head is a module of
vimoclip/models/heads/ and a row here."""


def fusion_of(attention: Attention | None, concat: Concat | None, inputs: Inputs) -> Fusion:
    """The fusion that the three columns of the paper's Table 2 name.

    Args:
        attention: None follows from the other two.
        concat: None follows from the other two.
        inputs: what the model reads.

    Raises:
        UsageError: the three contradict each other.
    """
    if inputs != "both":
        if attention == "cross" or concat is not None:
            raise UsageError(
                "One input has nothing to be fused with.",
                received=f"inputs {inputs}, attention {attention or 'not given'}, concat {concat or 'not given'}",
                expected="inputs both, or attention self without concat",
            )
        return inputs
    if attention != "self":
        if attention is None and concat is not None:
            return concat
        if concat is not None:
            raise UsageError(
                "Cross-attention concatenates nothing.",
                received=f"attention cross, concat {concat}",
                expected="attention self with concat, or attention cross without",
            )
        return "cross"
    return concat or "temporal"


@dataclass(frozen=True)
class SequenceConfig(Config):
    """What the model reads from a store.

    Attributes:
        image: name of the image feature.
        motion: name of the motion feature.
        lengths: `unit` vectors, as they are stored; or `raw` ones, as the model made them: each times its norm.
        most_frames: a longer video is thinned evenly to this many frames, because attention costs the square of their
            number; None keeps all.
        window_s: a longer video is cut into training clips of at most this many seconds, each with its own labels
            (vimoclip/sequences/reader.py); None reads whole videos, each with all its labels.
    """

    image: str = "clip"
    motion: str = "moclip"
    lengths: Lengths = "unit"
    most_frames: int | None = 1024
    window_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_frames is not None and self.most_frames < 1:
            raise ConfigError("most_frames must be positive.", received=self.most_frames, expected="1 or more")
        if self.window_s is not None:
            check_window(self.window_s, self.window_s)

    @property
    def examples(self) -> Literal["videos", "stretches"]:
        """What a model is trained on: whole videos, or training clips of them, which run files call stretches."""
        return "videos" if self.window_s is None else "stretches"


@dataclass(frozen=True)
class TfamConfig(Config):
    """The temporal fusion attention module, as in vimoclip/models/tfam.py; the sizes are the paper's.

    Attributes:
        fusion: `cross`, Q from image and K, V from motion; `temporal` or `embedding`, self-attention over both,
            concatenated in time or in width; `image` or `motion`, self-attention over one.
        layers: the number of layers.
        width: d, the width of a step; a multiple of twice the heads.
        heads: attention heads per layer.
        feed_forward: width of the feed-forward's hidden layer.
        hidden: width of the classifier's hidden layer.
        dropout: share of values that dropout sets to 0 in training, in the layers.
        head_dropout: likewise in the classifier, after its hidden layer.
        positions: `sinusoidal` gives the model the order of frames, which attention alone does not see; None does not.
        pooling: over time; only `mean`, over the steps that are present.
    """

    fusion: Fusion = "cross"
    layers: int = 4
    width: int = 512
    heads: int = 8
    feed_forward: int = 2048
    hidden: int = 256
    dropout: float = 0.1
    head_dropout: float = 0.0
    positions: Literal["sinusoidal"] | None = "sinusoidal"
    pooling: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        only_choice("pooling", self.pooling, "mean", removed="attention")
        for name in ("layers", "width", "heads", "feed_forward", "hidden"):
            at_least_one(name, getattr(self, name))
        if self.width % (2 * self.heads):
            raise ConfigError(
                "width must be a multiple of twice the heads.", received=f"width {self.width}, heads {self.heads}"
            )
        for name in ("dropout", "head_dropout"):
            fraction(name, getattr(self, name))


@dataclass(frozen=True)
class ClosedFormConfig(Config):
    """The heads for few clips, as in vimoclip/models/heads/closed_form.py.

    Attributes:
        thirds: whether the mean vectors of the video's thirds are read, one beside the other; else its mean alone.
    """

    thirds: bool = True


@dataclass(frozen=True)
class LossConfig(Config):
    """The loss, as in vimoclip/training/losses.py.

    `bce` and `asymmetric` are for videos that show any number of behaviours, `cross-entropy` for videos that show
    exactly one. The same holds for training clips of videos.

    Attributes:
        name: the loss where videos show any number of behaviours.
        of_one: the loss where, by the labels, every video shows exactly one.
        gamma_positive: of the asymmetric loss.
        gamma_negative: of the asymmetric loss.
        margin: of the asymmetric loss.
    """

    name: Loss = "asymmetric"
    of_one: Loss = "cross-entropy"
    gamma_positive: float = 0.0
    gamma_negative: float = 4.0
    margin: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gamma_positive", "gamma_negative"):
            not_negative(name, getattr(self, name))
        fraction("margin", self.margin)

    def fitting(self, one_each: bool) -> "LossConfig":
        """The same settings for these labels.

        Args:
            one_each: whether every video shows exactly one behaviour.
        """
        return replace(self, name=self.of_one) if one_each else self


@dataclass(frozen=True)
class TrainingConfig(Config):
    """One run of AdamW, whatever is trained: see vimoclip/training/loop.py.

    Attributes:
        epochs: the number of epochs.
        batch_size: examples per step.
        lr: the peak learning rate. It rises linearly over the first `warmup` of all steps, then falls to `lr_end` along
            a cosine, step by step.
        lr_end: the last learning rate.
        warmup: a share of all steps.
        weight_decay: AdamW's.
        decay: what decays: `all` parameters, or `matrices` only, without biases and the gains of norms.
        clip_gradient: gradients are scaled down to this norm; None leaves them.
        ema: decay of an exponential moving average of the weights, which is kept and evaluated; None keeps the weights
            themselves.
        seed: of everything random in the run.
        precision: of the arithmetic; weights are always fp32. `auto` is bf16 where the hardware multiplies it, else
            fp32.
    """

    epochs: int = 30
    batch_size: int = 8
    lr: float = 1e-4
    lr_end: float = 1e-6
    warmup: float = 0.0
    weight_decay: float = 0.1
    decay: Decay = "all"
    clip_gradient: float | None = None
    ema: float | None = None
    seed: int = 49
    precision: TrainingPrecision = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "batch_size"):
            at_least_one(name, getattr(self, name))
        for name in ("lr", "clip_gradient"):
            positive(name, getattr(self, name))
        for name in ("lr_end", "weight_decay", "seed"):
            not_negative(name, getattr(self, name))
        for name in ("warmup", "ema"):
            if getattr(self, name) is not None:
                fraction(name, getattr(self, name))


def check_share(name: str, value: float | None) -> None:
    """Check that a setting is in (0, 1), or None; raises ConfigError."""
    if value is not None and not 0 < value < 1:
        raise ConfigError(f"{name} is a share.", received=value, expected="more than 0, and less than 1")


@dataclass(frozen=True)
class FusionConfig(Config):
    """A run of train-fusion.

    Attributes:
        sequences: what the model reads.
        tfam: TFAM's settings.
        loss: the loss.
        training: the optimizer's settings.
        mixup: α of the Beta distribution by which pairs of videos are mixed; None does not mix.
        select_on: the share of the training videos that is set aside at random, to choose the best epoch; its model is
            kept beside the last one. None does not choose.
        head: a name of HEADS that is not one of TFAM's; None is TFAM, with the fusion that `tfam` names.
        closed_form: settings of the heads that are fitted in one step. Of `training` they use `seed` and `batch_size`,
            and of `tfam`, `loss` and `mixup` nothing: a value there is an error.
    """

    sequences: SequenceConfig = field(default_factory=SequenceConfig)
    tfam: TfamConfig = field(default_factory=TfamConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    mixup: float | None = 0.2
    select_on: float | None = None
    head: str | None = None
    closed_form: ClosedFormConfig = field(default_factory=ClosedFormConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        others = [name for name in HEADS if name not in get_args(Fusion)]
        if self.head is not None and self.head not in others:
            raise ConfigError(
                "head has a value it cannot have.",
                received=repr(self.head),
                expected=" or ".join(("none", *others)),
                hint="TFAM's own are named by tfam.fusion.",
            )
        check_share("select_on", self.select_on)
        positive("mixup", self.mixup)
        if HEADS[self.head_name].closed_form and (idle := self._idle()):
            raise ConfigError(
                f"The head {self.head} is fitted in one step, without epochs or a loss.",
                received=", ".join(idle),
                expected="of training.…, only seed and batch_size; nothing of tfam.…, loss.… and mixup",
                hint="Leave these settings out; or train TFAM, without --head.",
            )

    def _idle(self) -> list[str]:
        """The settings that a head which is fitted in one step does not have, where they are not those it is given."""
        bare = self._bare()
        found = [] if self.mixup is None else [f"mixup {self.mixup}"]
        for part in ("tfam", "training") + (("loss",) if self.loss != bare["loss"].fitting(one_each=True) else ()):
            theirs = vars(bare[part])
            found += [
                f"{part}.{name} {value}" for name, value in vars(getattr(self, part)).items() if value != theirs[name]
            ]
        return found

    def _bare(self) -> dict[str, Any]:
        """What a head which is fitted in one step is given."""
        training = TrainingConfig(epochs=1, batch_size=self.training.batch_size, seed=self.training.seed)
        return {"tfam": TfamConfig(), "loss": LossConfig(), "training": training, "mixup": None}

    @property
    def head_name(self) -> str:
        """The name of the head that is trained, a row of HEADS."""
        return self.tfam.fusion if self.head is None else self.head

    def with_head(self, name: str) -> "FusionConfig":
        """The same settings for another head; one that is fitted in one step leaves those of training behind.

        Args:
            name: a name of HEADS.

        Raises:
            ConfigError: there is no such head.
        """
        if name not in get_args(Fusion):
            return replace(self, head=name, **(self._bare() if name in HEADS and HEADS[name].closed_form else {}))
        return replace(self, head=None, tfam=replace(self.tfam, fusion=name))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """See `Config.to_dict`.

        `head`, `closed_form` and `tfam.head_dropout` are left out where they are the defaults: there are run files that
        are older.
        """
        values = super().to_dict()
        if self.head is None:
            del values["head"]
        if self.closed_form == ClosedFormConfig() and not HEADS[self.head_name].closed_form:
            del values["closed_form"]
        if self.tfam.head_dropout == TfamConfig.head_dropout:
            del values["tfam"]["head_dropout"]
        return values


PRESETS: dict[Preset, FusionConfig] = {
    "paper": FusionConfig(
        sequences=SequenceConfig(lengths="raw", most_frames=None),
        tfam=TfamConfig(positions=None, head_dropout=0.1),
        loss=LossConfig(name="bce"),
        mixup=None,
    ),
    "default": FusionConfig(),
}


def fusion_settings(preset: Preset, *changes: dict[str, Any]) -> FusionConfig:
    """The settings of a preset with changes, for which see `Config.changed`.

    A loss that a change names is used whatever the labels are. A head that is fitted in one step takes of the preset
    what it reads, and refuses changes of the rest.

    Raises:
        ConfigError: an unknown setting, or a value that it cannot have.
    """
    base, head = PRESETS[preset], None
    for change in changes:
        head = change.get("head", head)
    if isinstance(head, str) and head in HEADS and HEADS[head].closed_form:
        base = base.with_head(head)
    return base.changed(*map(_named_loss, changes))


def _named_loss(change: dict[str, Any]) -> dict[str, Any]:
    loss = change.get("loss")
    if not (isinstance(loss, dict) and "name" in loss):
        return change
    return change | {"loss": {"of_one": loss["name"]} | loss}
