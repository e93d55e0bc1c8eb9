"""The frozen teacher Φ_teacher: an image tower of open_clip, with the preprocessing that belongs to its weights.

`ClipTeacher` gives z_image = Φ_teacher(frame), raw; what stores it normalises it. Weights are loaded by open_clip tag,
by path, or from a hub or local folder, and random ones are used only if `none` asks for them. What a model's name
means: vimoclip/models/backbones.py.
"""

import contextlib
import copy
import dataclasses
import json
import logging
import os
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import huggingface_hub.constants
import numpy as np
import open_clip
import torch
import torch.nn.functional as F

from schemas.features import Training
from vimoclip.config.store import ClipConfig, Geometry
from vimoclip.device import DTYPES, SEED, on_device, pick_batch_size, sha256
from vimoclip.errors import ModelError
from vimoclip.models import openai_weights
from vimoclip.models.backbones import backbone_of, for_open_clip, resolve_weights
from vimoclip.models.tower_timing import FORMATS, pick_arithmetic
from vimoclip.video.resize import resize_frames


@dataclass(frozen=True)
class Preprocessing:
    """How frames become the tower's input.

    Attributes:
        size: pixels a side.
        mean: of RGB in 0..1.
        std: of RGB in 0..1.
        interpolation: of the resampling.
        resize: the geometry, as resolved: the model's own where the settings say `own`.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"]
    resize: Geometry


Input = tuple[int, str, str]
"""What decides how frames are resized for a tower: size, interpolation, resize."""


class ClipTeacher:
    """A frozen image tower on a device.

    Attributes:
        config: the settings, with weights, precision, memory format and batch size resolved.
        device: where the tower is.
        tower: the network.
        architecture: what decides its arithmetic but is not seen in its tensors.
        preprocessing: how frames become its input.
        dim: the width D of its vectors.
        weights_sha256: hash of the tower's architecture and tensors.
        training: `pretrained`, `random` or `trained`.
    """

    def __init__(self, config: ClipConfig, device: torch.device) -> None:
        """Load the tower.

        Raises:
            ModelError: an unknown model; weights that cannot be had or do not fit; not enough memory for them on the
                device.
        """
        config = dataclasses.replace(
            config,
            model=backbone_of(config.model).absolute(config.model),
            weights=self._resolve_weights(config),
            batch_size=pick_batch_size(config.batch_size, device),
        )
        self.device = device
        tower, architecture, described = self._load(config)
        tower.requires_grad_(False).eval()
        self.architecture = architecture
        self.preprocessing = _preprocessing(described, config)
        self.weights_sha256 = sha256(architecture, tower)
        self.training: Training = "random" if config.weights == "none" else "pretrained"
        with on_device(config.model, device):
            self._mean = torch.tensor(self.preprocessing.mean, device=device).view(1, 3, 1, 1) * 255
            self._std = torch.tensor(self.preprocessing.std, device=device).view(1, 3, 1, 1) * 255
            size = self.preprocessing.size
            precision, memory_format = pick_arithmetic(
                config, device, tower, self.weights_sha256, size, self._normalised
            )
            self.config = dataclasses.replace(config, precision=precision, memory_format=memory_format)
            self._dtype, self._format = DTYPES[precision], FORMATS[memory_format]
            self.tower = self._placed(tower)
            z = self(torch.zeros(1, 3, size, size, dtype=torch.uint8))
        if z.dim() != 2:
            raise ModelError(
                f"{config.model} does not give one vector for an image.",
                received=f"the shape {tuple(z.shape[1:])}",
                expected="a model that pools what it sees",
            )
        self.dim = z.shape[1]

    def _resolve_weights(self, config: ClipConfig) -> str:
        """Decide which weights are meant; raises ModelError."""
        return resolve_weights(config)

    def _load(self, config: ClipConfig) -> tuple[torch.nn.Module, dict[str, Any], dict[str, Any]]:
        """The image tower in fp32 on the CPU, its architecture, and its preprocessing by open_clip's names."""
        model, architecture = load_model(config)
        return model.visual, architecture, model.visual.preprocess_cfg

    def _placed(self, tower: torch.nn.Module) -> torch.nn.Module:
        return tower.to(self.device, self._dtype, memory_format=self._format)  # type: ignore[call-overload,no-any-return]

    @property
    def input(self) -> Input:
        """What frames must be resized to: towers with the same value can be given the same images."""
        return self.preprocessing.size, self.preprocessing.interpolation, self.preprocessing.resize

    def resize(self, frames: np.ndarray, pixel_aspect: float) -> torch.Tensor:
        """Resize frames to the tower's square, on the device.

        Args:
            frames: uint8 (N, H, W, 3), RGB.
            pixel_aspect: width / height of one pixel.

        Returns:
            Images, uint8 (N, 3, S, S).
        """
        how = self.preprocessing
        source = torch.from_numpy(frames) if self._resamples_on_host else torch.from_numpy(frames).to(self.device)
        found = resize_frames(source, how.size, how.resize, how.interpolation, pixel_aspect)
        return found.to(self.device) if self._resamples_on_host else found

    @property
    def _resamples_on_host(self) -> bool:
        return self.device.type == "mps"  # Apple's GPUs lack antialiased resampling

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """From images, uint8 (N, 3, S, S), to raw z, fp32 (N, D), on the device."""
        return pooled(self.tower(self.pixels(images).to(self._dtype)))

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """From images, uint8 (N, 3, S, S) of any size S, to the tower's normalised input, fp32, on the device.

        It lies in memory as the tower wants it, so that the student in training sees what the one that serves sees.
        """
        return self._normalised(images).contiguous(memory_format=self._format)

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        found = (images.cpu() if self._resamples_on_host else images.to(self.device)).float()
        if found.shape[-1] != self.preprocessing.size:
            size = (self.preprocessing.size, self.preprocessing.size)
            found = F.interpolate(found, size, mode="bilinear", align_corners=False, antialias=True)
        if self._resamples_on_host:
            found = found.to(self.device)
        return (found - self._mean) / self._std

    def with_weights(self, state: Mapping[str, torch.Tensor]) -> "ClipTeacher":
        """The same teacher with trained weights in its tower.

        Args:
            state: the tower's tensors by name.

        Raises:
            ModelError: they are not of this tower, or the device does not have enough memory for them.
        """
        tower = copy.deepcopy(self.tower).to("cpu", torch.float32)
        try:
            tower.load_state_dict(dict(state))
        except RuntimeError as error:
            raise ModelError(
                f"The student's weights are not of {self.config.model}.",
                received=str(error).splitlines()[-1].strip()[:200],
                expected="those of a student of this very model",
            ) from error
        other = copy.copy(self)
        other.weights_sha256, other.training = sha256(self.architecture, tower), "trained"
        with on_device(self.config.model, self.device):
            other.tower = self._placed(tower.eval())
        return other


def pooled(z: Any) -> torch.Tensor:
    """The vectors, fp32 (N, D), in what a tower returns: CoCa's returns its tokens too."""
    found: torch.Tensor = z[0] if isinstance(z, tuple) else z
    return found.float()


def load_model(config: ClipConfig) -> tuple[Any, dict[str, Any]]:
    """Load a whole CLIP model on the CPU, text tower included.

    Args:
        config: with its weights resolved.

    Returns:
        The model, and its image tower's architecture: what decides its arithmetic but is not seen in its tensors.

    Raises:
        ModelError: the weights cannot be had, or do not fit.
    """
    by_path = os.path.isabs(config.weights)  # not a file that has the name of a tag
    own = config.weights != "none" and backbone_of(config.model).own_weights is not None
    arguments: dict[str, Any] = {"force_preprocess_cfg": None, "force_quick_gelu": False}
    if config.weights == "none":
        arguments["load_weights"] = False
    elif own:
        arguments["require_pretrained"] = True
    else:
        arguments["pretrained"] = config.weights
        arguments["require_pretrained"] = True
        described = _described(config) if by_path else _tag(config.model, config.weights)
        # The original OpenAI weights need QuickGELU; the wrong activation silently gives wrong vectors.
        arguments["force_quick_gelu"] = bool(described.pop("quick_gelu", False))
        if by_path:
            arguments["force_preprocess_cfg"] = described
    name = for_open_clip(config.model)
    try:
        with making():
            known = open_clip.get_model_config(name)
            gelu = arguments["force_quick_gelu"] or known.get("quick_gelu", False)
            architecture = {"embed_dim": known["embed_dim"], "vision": known["vision_cfg"], "quick_gelu": gelu}
            state = openai_weights.read_openai_weights(Path(config.weights)) if by_path else None
            if state is None:
                return open_clip.create_model(name, **arguments), architecture
            # open_clip reads neither form of OpenAI's by path.
            arguments |= {"pretrained": None, "require_pretrained": False}
            model = open_clip.create_model(name, **arguments)
            model.load_state_dict(state)
            return model, architecture
    except Exception as error:  # open_clip and the hub raise a dozen kinds; all mean the same to the user
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if by_path or own:
            raise ModelError(
                f"The weights of {config.model} cannot be loaded.",
                received=f"{config.weights}: {reason}",
                expected="open_clip weights for this very model",
                hint="Check that the model is the architecture that the file was saved from.",
            ) from error
        raise ModelError(
            f"The weights {config.weights} of {config.model} cannot be had.",
            received=reason,
            expected="a connection to the model hub, or the file",
            hint="Copy the file here: --clip-weights PATH --preprocess TAG (`vimoclip embed`: --weights). To try things"
            " out: --clip-model vimoclip-tiny, which knows the demo's world alone, or --clip-weights none: random.",
        ) from error


def _tag(model: str, tag: str) -> dict[str, Any]:
    return dict(open_clip.get_pretrained_cfg(for_open_clip(model), tag))


_GEOMETRIES: dict[str, Geometry] = {"squash": "squash", "shortest": "crop", "longest": "letterbox"}
"""Our geometries by open_clip's names."""
_DESCRIBES = ("mean", "std", "interpolation", "resize_mode", "quick_gelu")


def _described(config: ClipConfig) -> dict[str, Any]:
    """The preprocessing of weights given by path: as asked for, or stored beside them."""
    if config.preprocess is not None:
        found = _tag(config.model, config.preprocess)
        if found:
            return {name: found[name] for name in _DESCRIBES if name in found}
        tags = open_clip.list_pretrained_tags_by_model(for_open_clip(config.model))
        return parse_preprocess(config.preprocess, tags)
    beside = Path(config.weights).with_name("open_clip_config.json")
    try:
        stored = json.loads(beside.read_text())
        return checked_preprocessing(
            stored["preprocess_cfg"] | {"quick_gelu": stored["model_cfg"].get("quick_gelu", False)}
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            "Weights by path do not say how frames are to be normalised for them.",
            received=f"{config.weights}; {beside.name} beside it: {_why(error)}",
            expected="open_clip_config.json with preprocess_cfg and model_cfg beside them, or --preprocess",
            hint="For weights that were trained like a known tag, give that tag: --preprocess openai.",
        ) from error


def parse_preprocess(text: str, tags: Sequence[str]) -> dict[str, Any]:
    """Read a `--preprocess` that is not a tag.

    Args:
        text: as given.
        tags: those of the model, for the error.

    Raises:
        ModelError: it is not a JSON object that describes preprocessing.
    """
    try:
        found = json.loads(text)
        if unknown := sorted(set(found) - set(_DESCRIBES)):
            raise ValueError(f"unknown: {', '.join(unknown)}")
        return checked_preprocessing(found)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            "--preprocess is neither a tag of this model nor a JSON object that describes it.",
            received=f"{text} ({_why(error)})",
            expected=f'{", ".join(tags) or "a tag"}; or {{"mean": [r, g, b], "std": [r, g, b], "quick_gelu": false}}',
        ) from error


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def checked_preprocessing(found: dict[str, Any]) -> dict[str, Any]:
    """What of `found` describes preprocessing. Raises KeyError, TypeError or ValueError for what cannot be meant."""
    for name, least in (("mean", -1e-9), ("std", 0.0)):  # of RGB in 0..1; a std of 0 would be a division by 0
        if len(found[name]) != 3 or not all(least < float(value) <= 1 for value in found[name]):
            raise ValueError(f"{name} is three numbers in 0..1, and a std is not 0")
    if found.get("interpolation", "bicubic") not in ("bicubic", "bilinear"):
        raise ValueError("interpolation is bicubic or bilinear")
    if found.get("resize_mode", "squash") not in _GEOMETRIES:
        raise ValueError(f"resize_mode is {' or '.join(_GEOMETRIES)}")
    if not isinstance(found.get("quick_gelu", False), bool):
        raise ValueError("quick_gelu is true or false")
    return {name: found[name] for name in _DESCRIBES if name in found}


def _preprocessing(found: dict[str, Any], config: ClipConfig) -> Preprocessing:
    size = found["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise ModelError(f"{config.model} has no square input.", received=f"{height}x{width}", expected="a square")
    interpolation: Literal["bicubic", "bilinear"] = "bilinear" if found["interpolation"] == "bilinear" else "bicubic"
    mean, std = (tuple(float(value) for value in found[name]) for name in ("mean", "std"))
    resize = _GEOMETRIES.get(found["resize_mode"]) if config.resize == "own" else config.resize
    if resize is None:
        raise ModelError(
            f"{config.model} resizes its frames in a way that is not known here.",
            received=str(found["resize_mode"]),
            expected=", ".join(_GEOMETRIES),
            hint="Choose one with --resize.",
        )
    return Preprocessing(int(height), mean, std, interpolation, resize)  # type: ignore[arg-type]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence logging inside the block.

    open_clip and the hub log each retry, and that random weights are random, through the root logger.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def making() -> Iterator[None]:
    """Inside the block, open_clip or timm makes a network: in silence, and random weights are those of SEED."""
    with quiet(), _offline_when_unreachable(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(SEED)
        yield


@contextlib.contextmanager
def _offline_when_unreachable() -> Iterator[None]:
    """Without a network the hub is asked ten times over 46 s; cached weights are found at once when it is not asked."""
    constants = huggingface_hub.constants
    before = constants.HF_HUB_OFFLINE
    proxied = any(name.lower() in ("https_proxy", "all_proxy") for name in os.environ)
    try:
        if not proxied:
            socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
