"""Settings of a store, and of a run into it.

A store has one `StoreConfig`, kept in the store: everything that decides the value of a vector is in it. What may
differ from run to run without changing a vector (device, decoders, what to do with a corrupt file) is a `RunConfig`.
ESTIMATORS lists the flow estimators.
"""

from dataclasses import dataclass, field
from typing import Literal

from vimoclip.config.base import BEFORE, Config, positive
from vimoclip.errors import ConfigError, UsageError

Geometry = Literal["squash", "crop", "letterbox"]
Resize = Literal[Geometry, "own"]
Precision = Literal["auto", "bf16", "fp16", "fp32"]
MemoryFormat = Literal["auto", "contiguous", "channels_last"]
FlowImage = Literal["uvm", "wheel"]
StartingMotion = Literal["mbh", "tower"]
OnCorrupt = Literal["fail", "keep"]


@dataclass(frozen=True)
class Estimator:
    """A flow estimator: a row of ESTIMATORS.

    Attributes:
        module: where its class is; imported when it is used.
        name: its class, a `vimoclip.flow.estimator.FlowEstimator`.
        is_network: whether it is built on a device, from the whole FlowConfig, whose open settings its `resolve`
            decides. Otherwise it does not have a network's settings, and is built from `max_width` alone.
    """

    module: str
    name: str
    is_network: bool = False


ESTIMATORS: dict[str, Estimator] = {
    "dis": Estimator("vimoclip.flow.dis", "Dis"),
    "frame-difference": Estimator("vimoclip.flow.frame_difference", "FrameDifference"),
    "raft-large": Estimator("vimoclip.flow.raft", "Raft", is_network=True),
    "raft-small": Estimator("vimoclip.flow.raft", "Raft", is_network=True),
}
"""Every flow estimator by its name. A new one is a module in vimoclip/flow/ and a row here."""

LONGEST_TIMEOUT_S = 1e6  # poll(2) takes milliseconds as a C int, which ends at twice that


@dataclass(frozen=True)
class Sampling(Config):
    """Which decoded frames are stored. With neither setting, all of them; both at once is an error.

    Attributes:
        fps: a frame is stored when floor((time + 0.5 ms) · fps) is larger than for every frame stored before. So frame
            0 always is, and a video slower than `fps` is stored whole, whatever the clock of its container.
        every: frame n is stored when n is a multiple of `every`.
    """

    fps: float | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps is not None and self.every is not None:
            raise UsageError("Give fps or every, not both.", received=f"fps={self.fps}, every={self.every}")
        positive("fps", self.fps)
        positive("every", self.every)


@dataclass(frozen=True)
class ClipConfig(Config):
    """The frozen teacher, Φ_teacher. A store keeps weights, precision, memory format and batch_size as resolved.

    Attributes:
        model: any open_clip name, `hf-hub:org/name`, `local-dir:/folder`, `timm:NAME` or `timm:NAME.TAG`, or
            `vimoclip-tiny`, which comes with the package.
        weights: a tag of open_clip or timm, a path (of an open_clip checkpoint, of OpenAI's own in either of its forms,
            or of a timm model), or `none` for seeded random ones. `default` is the tag `openai`, the one that timm
            names first, or what the hub or the folder holds.
        preprocess: a tag of this model, or a JSON object. Only weights by path that do not carry their own
            preprocessing need it.
        precision: `auto` is bf16 or fp16 where the hardware has it, else fp32; and fp32 where that is clearly faster.
        memory_format: how images lie in memory, which changes the last bits of vectors. `auto` is `contiguous` unless
            a tower of convolutions is clearly faster in `channels_last`; both are timed when it is loaded
            (vimoclip/models/tower_timing.py).
        resize: how a frame becomes the model's square input. `squash` keeps the whole frame, `crop` its central square,
            `letterbox` pads; `own` is the one that the model was made with. For most models that is the crop, which
            loses 44% of the width of a 16:9 frame and any animal there, so it is not the default.
        batch_size: frames per forward pass, always exactly this many (the last batch is padded), so that a vector never
            depends on what else was in its batch. 0 leaves the choice to the device.
    """

    model: str = "ViT-B-16"
    weights: str = "default"
    preprocess: str | None = None
    precision: Precision = "auto"
    memory_format: MemoryFormat = field(default="auto", metadata={BEFORE: "contiguous"})
    resize: Resize = "squash"
    batch_size: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model or not self.weights:
            raise ConfigError("A model and its weights need names.", received=repr((self.model, self.weights)))
        if self.batch_size < 0:
            raise ConfigError("batch_size cannot be negative.", received=self.batch_size, expected="0 or more")


@dataclass(frozen=True)
class FlowConfig(Config):
    """Optical flow. A store keeps all settings as they were resolved. RAFT's precision is CLIP's.

    Attributes:
        estimator: a name of ESTIMATORS. `auto` depends only on the device that makes the store: `raft-large` on CUDA,
            else `dis`, because RAFT takes a good part of a second per pair there. If RAFT's weights cannot be had, that
            is an error that names `dis`: were `dis` chosen silently, a moment without a network would decide for good
            what kind of motion the store holds.
        max_width: pixels; wider frames are scaled down to it first.
        image: how (u, v) becomes the three channels that the student sees: `uvm` is (u, v, |f|), `wheel` the colour
            wheel.
        motion: what makes `moclip` until a student is trained: `mbh`, motion boundaries (vimoclip/flow/descriptor.py),
            which cost next to nothing; or `tower`, the teacher's tower on the flow image, which doubles the towers'
            work and tells behaviours apart less well (benchmarks/quality/flow_descriptors.py).
        weights: networks only, else None: a torchvision tag, a path, or `none` for seeded random ones; `default` or
            None is torchvision's own.
        updates: networks only, else None: updates of the flow, each by one pass of the recurrent unit; None is 12.
        batch_size: networks only, else None: pairs at once, always exactly this many (the last batch is padded). 0 or
            None leaves the choice to the device.
    """

    estimator: str = "auto"
    max_width: int = 640
    image: FlowImage = "uvm"
    motion: StartingMotion = field(default="mbh", metadata={BEFORE: "tower"})
    weights: str | None = None
    updates: int | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimator != "auto" and self.estimator not in ESTIMATORS:
            raise ConfigError(
                "estimator has a value it cannot have.",
                received=repr(self.estimator),
                expected=" or ".join(("auto", *ESTIMATORS)),
            )
        if self.max_width < 64:
            raise ConfigError("max_width is too small for flow.", received=self.max_width, expected="64 or more")
        if self.weights == "":
            raise ConfigError("The weights of flow need a name.", received=repr(self.weights))
        if self.updates is not None and self.updates < 1:
            raise ConfigError("The updates of flow must be positive.", received=self.updates, expected="1 or more")
        if self.batch_size is not None and self.batch_size < 0:
            raise ConfigError("batch_size cannot be negative.", received=self.batch_size, expected="0 or more")
        given = {name: getattr(self, name) for name in ("weights", "updates", "batch_size")}
        without = self.estimator != "auto" and not ESTIMATORS[self.estimator].is_network
        if without and any(value is not None for value in given.values()):
            networks = [name for name, estimator in ESTIMATORS.items() if estimator.is_network]
            raise UsageError(
                f"The flow of {self.estimator} is not computed by a network.",
                received=", ".join(f"flow {name} {value}" for name, value in given.items() if value is not None),
                expected=f"{' or '.join(networks)} with them",
                hint=f"Give --flow {networks[0]}, or leave them out.",
            )


@dataclass(frozen=True)
class StoreConfig(Config):
    """A store's one set of settings.

    Attributes:
        sampling: which frames are stored.
        clip: the teacher.
        flow: the optical flow.
        keep_flow: whether the store keeps the encoded flow, for training students.
    """

    sampling: Sampling = field(default_factory=Sampling)
    clip: ClipConfig = field(default_factory=ClipConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    keep_flow: bool = True


@dataclass(frozen=True)
class RunConfig(Config):
    """What may differ between runs into one store.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: for torch and OpenCV; 0 is one per core.
        on_corrupt: whether a file that decodes N frames and then breaks fails, or its N frames are kept.
        timeout_s: a video is given up after this many seconds without a decoded frame.
    """

    device: str = "auto"
    threads: int = 0
    on_corrupt: OnCorrupt = "fail"
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threads < 0:
            raise ConfigError("threads cannot be negative.", received=self.threads, expected="0 or more")
        positive("timeout_s", self.timeout_s)
        if self.timeout_s > LONGEST_TIMEOUT_S:
            raise ConfigError(
                "timeout_s is too long.", received=self.timeout_s, expected=f"up to {LONGEST_TIMEOUT_S:g}"
            )
