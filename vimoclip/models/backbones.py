"""BACKBONES: which models a name of `--clip-model` or `--model` can mean, which weights, and what loads them.

A new kind of image backbone is a module of this package and a row of BACKBONES. Today they are the towers of open_clip,
which vimoclip/models/clip.py loads, and those of timm, which vimoclip/models/timm_tower.py loads.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch

from vimoclip.config.store import ClipConfig
from vimoclip.errors import ModelError, nearest

TINY = "vimoclip-tiny"
"""The small model of the rendered demo world, for trying things out without a download. Never a default."""


TINY_FOLDER = Path(__file__).with_name("tiny")
"""Its folder: config, weights, model card."""


TINY_WEIGHTS = "savannah"
"""The name of its weights in the features table. Like open_clip's tags, it names what they were trained on."""


@dataclass(frozen=True)
class Backbone:
    """A kind of model: how its names are read, and what loads it. A row of BACKBONES.

    Attributes:
        own_weights: the name of its weights in a store, if it brings them and its preprocessing with it; None if the
            weights are chosen: by tag, by path, or `none`.
        absolute: makes a name mean the same from any folder.
        open_clip_name: makes the name by which open_clip finds the model.
        module: where the class is that loads it; imported when it is used.
        name: that class, which takes a ClipConfig and a device.
        has_text: whether a text tower may belong to its models.
    """

    own_weights: str | None
    absolute: Callable[[str], str] = str
    open_clip_name: Callable[[str], str] = str
    module: str = "vimoclip.models.clip"
    name: str = "ClipTeacher"
    has_text: bool = True


def _absolute_folder(model: str) -> str:
    schema, _, place = model.partition(":")
    return f"{schema}:{Path(place).absolute()}"


BACKBONES: dict[str, Backbone] = {
    TINY: Backbone(TINY_WEIGHTS, open_clip_name=lambda model: f"local-dir:{TINY_FOLDER}"),  # comes with this package
    "local-dir:": Backbone("own", absolute=_absolute_folder),  # local-dir:/a/folder
    "hf-hub:": Backbone("own"),  # hf-hub:org/name, a hub repository
    "timm:": Backbone(
        None, module="vimoclip.models.timm_tower", name="TimmTower", has_text=False
    ),  # timm:convnext_base
    "": Backbone(None, open_clip_name=lambda model: model.replace("/", "-")),  # ViT-B-16: open_clip's own list
}
"""Every kind of model by its whole name, or by the scheme that its names begin with; any other name is open_clip's. A
new kind is a module of vimoclip/models/ and a row here."""


def backbone_of(model: str) -> Backbone:
    """The row of BACKBONES for a model's name."""
    return BACKBONES.get(model) or BACKBONES.get(f"{model.partition(':')[0]}:") or BACKBONES[""]


def load_backbone(config: ClipConfig, device: torch.device) -> Any:
    """Load the model that a config names, on a device.

    Returns:
        An object with the interface of `vimoclip.models.clip.ClipTeacher`.

    Raises:
        ModelError: see `ClipTeacher`.
    """
    row = backbone_of(config.model)
    return getattr(importlib.import_module(row.module), row.name)(config, device)


def for_open_clip(model: str) -> str:
    """The name by which open_clip finds a model."""
    return backbone_of(model).open_clip_name(model)


def resolve_weights(config: ClipConfig) -> str:
    """Decide which weights of a model of open_clip are meant.

    Returns:
        `none`, an open_clip tag, an absolute path, `own` (a folder's or the hub's), or `TINY_WEIGHTS`.

    Raises:
        ModelError: an unknown model; weights that the model does not have; preprocessing for weights that bring theirs.
    """
    own = backbone_of(config.model).own_weights
    if own is not None:
        if config.preprocess is not None:
            raise ModelError(
                f"{config.model} brings its own preprocessing.", received="--preprocess", expected="no --preprocess"
            )
        if config.weights not in ("default", own, "none"):
            raise ModelError(
                f"{config.model} brings its own weights.", received=config.weights, expected="default or none"
            )
        return "none" if config.weights == "none" else own
    if config.preprocess is not None and not Path(config.weights).is_file():
        raise ModelError(
            "--preprocess is for weights given by path; others bring their own preprocessing.",
            received=f"weights {config.weights}",
            expected="the path of a weights file, or no --preprocess",
        )
    name = for_open_clip(config.model)
    if name not in open_clip.list_models():
        close = nearest(name, [TINY, *open_clip.list_models()], n=5, cutoff=0.3)
        raise ModelError(
            "open_clip knows no such model.",
            received=config.model,
            expected=f"a name such as {close or 'ViT-B-16'}",
            hint="A folder of your own is local-dir:/path/to/it, a hub repository hf-hub:org/name, a model of timm "
            "timm:NAME.",
        )
    weights = "openai" if config.weights == "default" else config.weights
    tags = open_clip.list_pretrained_tags_by_model(name)
    if weights == "none" or weights in tags:
        return weights
    if Path(weights).is_file():
        return str(Path(weights).absolute())
    raise ModelError(
        f"There are no such weights for {config.model}.",
        received=weights,
        expected="the path of a weights file, none, or " + (", ".join(tags) if tags else "nothing else for this model"),
        hint="Name others, or another model.",
    )
