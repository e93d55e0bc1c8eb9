"""Image towers of timm: `timm:NAME` or `timm:NAME.TAG`, for any image model of timm that pools what it sees.

ImageNet's networks, DINOv3, the image tower of SigLIP and the like. They are what `ClipTeacher` is in every respect but
one: there is no text tower beside them. The vectors are what the model gives without a classifier, and its frames are
normalised as timm's data config of these weights says.

Weights are one of timm's tags, a file of tensors by timm's names (`.safetensors`, or what `torch.save` wrote, read as
tensors alone), or seeded random ones. Of the classifier in a file nothing is used.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_arch_pretrained_cfgs, is_model, load_state_dict

from vimoclip.config.store import ClipConfig
from vimoclip.errors import ModelError, nearest
from vimoclip.models.clip import ClipTeacher, checked_preprocessing, making, parse_preprocess

_RESIZE_MODES = {"center": "shortest", "squash": "squash", "border": "longest"}
"""open_clip's names of the geometries by timm's."""


class TimmTower(ClipTeacher):
    """A frozen image tower of timm on a device; attributes and errors as those of `ClipTeacher`."""

    def _resolve_weights(self, config: ClipConfig) -> str:
        """`none`, one of timm's tags, or an absolute path."""
        architecture, own_tag = _split(config.model)
        tags = _tags(architecture)
        weights = config.weights
        if weights == "default":
            weights = own_tag or next(iter(tags), "")
        is_file = weights not in tags and Path(weights).is_file()
        if config.preprocess is not None and not is_file:
            raise ModelError(
                "--preprocess is for weights given by path; others bring their own preprocessing.",
                received=f"weights {config.weights}",
                expected="the path of a weights file, or no --preprocess",
            )
        if weights == "none" or weights in tags:
            return weights
        if is_file:
            return str(Path(weights).absolute())
        raise ModelError(
            f"There are no such weights for {config.model}.",
            received=config.weights,
            expected=", ".join((*tags, "none", "the path of a weights file")),
            hint="timm has a file of weights for each of these tags.",
        )

    def _load(self, config: ClipConfig) -> tuple[torch.nn.Module, dict[str, Any], dict[str, Any]]:
        architecture, own_tag = _split(config.model)
        tags = _tags(architecture)
        by_tag = config.weights in tags
        tag = config.weights if by_tag else own_tag or next(iter(tags), "")
        described = _described(config, tags) if config.weights not in ("none", *tags) else {}
        name = f"{architecture}.{tag}" if tag else architecture  # the tag decides the size of the images, too
        try:
            with making():
                model: Any = timm.create_model(name, pretrained=by_tag, num_classes=0)
                if config.weights != "none" and not by_tag:
                    _fill(model, load_state_dict(config.weights))
        except Exception as error:  # timm and the hub raise a dozen kinds; all mean the same to the user
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            if not by_tag:
                raise ModelError(
                    f"The weights of {config.model} cannot be loaded.",
                    received=f"{config.weights}: {reason}",
                    expected="the tensors of this very model by timm's names",
                    hint="Check that the model is the architecture that the file was saved from.",
                ) from error
            raise ModelError(
                f"The weights {config.weights} of {config.model} cannot be had.",
                received=reason,
                expected="a connection to the model hub, or the file",
                hint="Copy the file here: --clip-weights PATH (`vimoclip embed`: --weights). To try things out:"
                " --clip-weights none, which are random.",
            ) from error
        return model, {"timm": architecture}, _preprocessing_of(model.pretrained_cfg) | described


def _split(model: str) -> tuple[str, str]:
    """The architecture and the tag, if any, that a name means; raises ModelError for one that timm does not know."""
    architecture, _, tag = model.partition(":")[2].partition(".")
    if not is_model(architecture):
        close = nearest(architecture, timm.list_models(), n=5, cutoff=0.3)
        raise ModelError(
            "timm knows no such model.",
            received=model,
            expected=f"timm: and a name such as {close or 'convnext_base'}",
            hint="`python -c 'import timm; print(timm.list_models())'` lists them.",
        )
    if tag and tag not in _tags(architecture):
        raise ModelError(
            f"timm has no such weights of {architecture}.",
            received=tag,
            expected=", ".join(_tags(architecture)) or "no tag",
            hint="Weights of your own are named by --clip-weights PATH (`vimoclip embed`: --weights).",
        )
    return architecture, tag


def _tags(architecture: str) -> dict[str, Mapping[str, Any]]:
    """The tags of an architecture, the one that is meant without any first, and timm's description of each."""
    found = get_arch_pretrained_cfgs(architecture)
    return {name.partition(".")[2]: vars(each) for name, each in found.items() if each.has_weights}


def _described(config: ClipConfig, tags: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The preprocessing of weights given by path: as asked for, as stored beside them, or as of the tag."""
    if config.preprocess is not None:
        if config.preprocess in tags:
            return _without_size(tags[config.preprocess])
        found = parse_preprocess(config.preprocess, list(tags))
        if found.pop("quick_gelu", False):
            raise ModelError("A model of timm has its own activations.", received="quick_gelu in --preprocess")
        return found
    beside = Path(config.weights).with_name("config.json")  # as timm writes it to the hub
    if beside.is_file():
        try:
            stored = json.loads(beside.read_text())
            return checked_preprocessing(_without_size(stored.get("pretrained_cfg", stored)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                "The description beside the weights cannot be read.",
                received=f"{beside}: {error!r}"[:300],
                expected="timm's config.json with a pretrained_cfg",
                hint="--preprocess TAG or JSON is used in its place.",
            ) from error
    own_tag = config.model.partition(".")[2]
    if not own_tag and len({json.dumps(_without_size(each)) for each in tags.values()}) != 1:
        raise ModelError(
            "Weights by path do not say how frames are to be normalised for them.",
            received=f"{config.weights}; weights of {config.model} are preprocessed in several ways",
            expected=f"a tag they are like, in the model's name or with --preprocess: {', '.join(tags) or 'JSON'}",
            hint='JSON is {"mean": [r, g, b], "std": [r, g, b]}; timm\'s config.json beside the file is read, too.',
        )
    return {}


def _preprocessing_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """timm's description by open_clip's names. timm's crop leaves some hundredths more at the edges than ours."""
    return _without_size(described) | {"size": tuple(described["input_size"][1:])}


def _without_size(described: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: described[name] for name in ("mean", "std", "interpolation")}
    return found | {"resize_mode": _RESIZE_MODES.get(described.get("crop_mode", "center"), "shortest")}


def _fill(model: Any, state: Mapping[str, torch.Tensor]) -> None:
    """Put tensors into a model. Raises RuntimeError unless all are there, and others are of the classifier alone."""
    names = model.pretrained_cfg.get("classifier") or ()
    classifier = tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
    own = {name: value for name, value in state.items() if not name.startswith(classifier)}
    lacks, unknown = model.load_state_dict(own, strict=False)
    lacks = [name for name in lacks if not name.endswith("num_batches_tracked")]  # of training alone
    if lacks or unknown:
        what = f"lacks {', '.join(lacks[:3])}" if lacks else f"has {', '.join(unknown[:3])} besides"
        raise RuntimeError(f"the file {what}")
