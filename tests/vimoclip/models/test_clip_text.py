"""The text tower: what it says is what open_clip says, whatever is left out of the arithmetic."""

import numpy as np
import pytest
import torch

from vimoclip.config.store import ClipConfig
from vimoclip.errors import ModelError
from vimoclip.models.clip_text import BASELINE_PROMPTS, TEMPLATES, TextTower

CPU = torch.device("cpu")


def test_as_open_clip_with_every_token(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tower, whole = (TextTower(ClipConfig(tiny_model, "own"), CPU) for _ in range(2))
    monkeypatch.setattr(whole, "_short", lambda tokens: tokens)
    whole._model.positional_embedding = torch.nn.Parameter(whole._places, requires_grad=False)
    whole._model.attn_mask = whole._mask
    texts = ["a", "a zebra that grazes beside a river at dusk, and another", *BASELINE_PROMPTS[:2]]
    short = tower(texts)
    assert np.allclose(short, whole(texts), atol=1e-5)
    assert np.allclose(tower(texts[:1]), short[:1], atol=1e-5)  # in whatever company
    assert np.allclose(np.linalg.norm(short, axis=1), 1, atol=1e-5)
    assert short.shape == (4, tower.dim)


def test_a_text_is_the_mean_of_its_sentences(tiny_model: str) -> None:
    tower = TextTower(ClipConfig(tiny_model, "own"), CPU)
    sentences = tower.encode([template.format("zebra") for template in TEMPLATES]).numpy()
    mean = sentences.mean(axis=0)
    assert np.allclose(tower(["zebra"])[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert len(set(BASELINE_PROMPTS)) == len(BASELINE_PROMPTS)


def test_a_model_that_cannot_be_had(tmp_path: object) -> None:
    with pytest.raises(ModelError):
        TextTower(ClipConfig(f"local-dir:{tmp_path}", "own"), CPU)
