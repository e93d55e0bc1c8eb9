"""The text tower that belongs to an image tower: texts as vectors in the space of its frames."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from schemas.features import Feature
from vimoclip.config.store import ClipConfig
from vimoclip.device import on_device, sha256
from vimoclip.errors import ModelError, SettingsError
from vimoclip.models.backbones import backbone_of, for_open_clip
from vimoclip.models.clip import load_model, quiet

TEMPLATES = ("{}", "a photo of {}.", "a video of {}.")
"""A text stands for the mean of the vectors of these sentences, as classes do in CLIP's paper."""

BASELINE_PROMPTS = (
    "a kitchen", "an office", "a street with cars", "a mountain", "a plate of food", "a person", "a crowd of people",
    "a house", "a bicycle", "a computer screen", "a page of text", "a guitar", "the moon", "a ship at sea", "a desert",
    "a swimming pool", "a train", "a wedding", "a football match", "a bookshelf", "a snowy road", "a city at night",
    "a flower", "an empty room",
)  # fmt: skip
"""The texts that a text's percentile is compared with: most stores do not show anything like them."""


class TextTower:
    """From sentences to unit vectors.

    Attributes:
        dim: the width D of the vectors.
        device: where the tower is.
        weights_sha256: hash of the image tower that it belongs to.
    """

    def __init__(self, config: ClipConfig, device: torch.device) -> None:
        """Load the whole model in fp32, whatever its precision: texts are few.

        Args:
            config: a store's, with everything resolved.
            device: where to.

        Raises:
            ModelError: the weights or the tokenizer cannot be had, or the model does not have a text tower.
        """
        self.device, self._name = device, config.model
        if not backbone_of(config.model).has_text:
            raise ModelError(
                f"{config.model} has no text tower: a model of timm knows images alone.",
                expected="a feature of a CLIP model",
                hint="Search by example instead: a span, --clip or --image. Or add such a feature, `vimoclip embed "
                "--as FEATURE --model ViT-B-16`, and search it: `vimoclip index --appearance FEATURE`.",
            )
        model, architecture = load_model(dataclasses.replace(config, precision="fp32"))
        self.weights_sha256 = sha256(architecture, model.visual)
        if not callable(getattr(model, "encode_text", None)):
            raise ModelError(
                f"{config.model} has no text tower.", hint="Search by example instead: a span, --clip or --image."
            )
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._tokens: Any = open_clip.get_tokenizer(for_open_clip(config.model))
        except Exception as error:  # a dozen kinds of error, as for weights
            raise _no_tokenizer(config.model, error) from error
        model.visual = torch.nn.Identity()  # frees the image tower's memory
        with on_device(config.model, device):
            self._model = model.requires_grad_(False).eval().to(device)
        self._places: Any = getattr(model, "positional_embedding", None)
        self._mask: Any = getattr(model, "attn_mask", None)
        self.dim = self.encode(["a"]).shape[1]

    def check(self, feature: Feature) -> None:
        """Refuse a feature whose frames were embedded by other weights.

        Raises:
            SettingsError: the weights differ.
        """
        if feature.weights_sha256 != self.weights_sha256:
            raise SettingsError(
                f"The texts would not belong to the store's feature {feature.name}.",
                received=f"weights {self.weights_sha256[:16]} of {self._name}",
                expected=f"weights {feature.weights_sha256[:16]}",
                hint="They have changed since the store was made; put the old ones back.",
            )

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of texts, each the mean direction of the text in all of TEMPLATES.

        Returns:
            Unit vectors, fp32 (N, D).

        Raises:
            ModelError: the tower cannot read a text.
        """
        sentences = [template.format(text) for text in texts for template in TEMPLATES]
        z = self.encode(sentences).reshape(len(texts), len(TEMPLATES), -1).mean(dim=1)
        vectors: NDArray[np.float32] = F.normalize(z, dim=-1).cpu().numpy()
        return vectors

    @torch.inference_mode()
    def encode(self, sentences: list[str]) -> torch.Tensor:
        """The vectors of sentences, without TEMPLATES.

        Returns:
            Unit vectors, fp32 (N, D), on the device.

        Raises:
            ModelError: the tower cannot read a sentence.
        """
        try:
            z: torch.Tensor = self._model.encode_text(self._short(self._tokens(sentences)).to(self.device))
        except (RuntimeError, IndexError, AttributeError, TypeError) as error:
            raise ModelError(
                f"The text tower of {self._name} cannot read this text.",
                received=str(error).splitlines()[0][:160],
                expected="a tokenizer that fits the model",
            ) from error
        return F.normalize(z.float(), dim=-1)

    def _short(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (N, L) without the columns of padding alone, and the tower cut to that length.

        A tower of CLIP's kind looks back only, and reads a sentence at its end token: what comes after that changes
        nothing, and is most of its 77 tokens.
        """
        model = self._model
        if not isinstance(model, open_clip.CLIP) or self._mask is None or model.text_pool_type not in ("argmax", "eos"):
            return tokens
        length = int((tokens != 0).any(dim=0).nonzero().max()) + 1
        model.positional_embedding = torch.nn.Parameter(self._places[:length], requires_grad=False)
        model.attn_mask = self._mask[:length, :length]
        return tokens[:, :length]


def _no_tokenizer(model: str, error: Exception) -> ModelError:
    return ModelError(
        f"The tokenizer of {model} cannot be had.",
        received=(str(error).splitlines() or [type(error).__name__])[0][:200],
        expected="a connection to the model hub, or its files in the cache",
        hint="Search by example instead: a span, --clip or --image.",
    )
