"""What the name of a CLIP model means: where the model lies, and which weights of it are meant.

ViT-B-16               open_clip's own list; weights by tag, by path, or none
hf-hub:org/name        a hub repository       ┐ these bring weights and
local-dir:/a/folder    a folder               │ preprocessing of their own
vimoclip-tiny          the folder that comes  ┘
                       with this package
"""

import difflib
from pathlib import Path

import open_clip

from vimoclip.config.store import ClipConfig
from vimoclip.errors import ModelError

TINY = "vimoclip-tiny"
"""The small model of the rendered demo world, for trying things out without a download. Never a default."""

TINY_FOLDER = Path(__file__).with_name("tiny")
"""Where it lies: config, weights, model card."""

TINY_WEIGHTS = "savannah"
"""What its weights are called in the features table: as open_clip's tags do, they name what they were trained on."""


def absolute(model: str) -> str:
    """A model's name that means the same from any folder."""
    schema, _, place = model.partition(":")
    return f"{schema}:{Path(place).absolute()}" if schema == "local-dir" else model


def brings_its_own(model: str) -> bool:
    """Whether it is a place where a model lies, with its weights, rather than a name that open_clip knows."""
    return model == TINY or model.partition(":")[0] in ("local-dir", "hf-hub")


def for_open_clip(model: str) -> str:
    """The name by which open_clip finds it."""
    if model == TINY:
        return f"local-dir:{TINY_FOLDER}"
    return model if brings_its_own(model) else model.replace("/", "-")


def resolve_weights(config: ClipConfig) -> str:
    """Which weights are meant: `none`, an open_clip tag, an absolute path, `own` (a folder's or the hub's), or
    `TINY_WEIGHTS`.

    Raises:
        ModelError: an unknown model; weights that it has not; preprocessing for weights that bring theirs.
    """
    if brings_its_own(config.model):
        own = TINY_WEIGHTS if config.model == TINY else "own"
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
        close = difflib.get_close_matches(name, [TINY, *open_clip.list_models()], n=5, cutoff=0.3)
        raise ModelError(
            "open_clip knows no such model.",
            received=config.model,
            expected="a name such as " + ", ".join(close or ["ViT-B-16"]),
            hint="A folder of your own is local-dir:/path/to/it, a hub repository hf-hub:org/name.",
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
