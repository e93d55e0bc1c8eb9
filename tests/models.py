"""A CLIP model small enough for tests, written to disk as a real open_clip folder: real loading, made-up weights."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

MODEL: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "interpolation": "bilinear", "resize_mode": "squash"}


def write_tiny_clip(folder: Path, seed: int = 1) -> str:
    """Write config and seeded weights into `folder`; returns the model's name for `--clip-model`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}))
    save_file(tiny_clip(seed).state_dict(), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def tiny_clip(seed: int = 1) -> Any:
    """The model itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_clip.CLIP(**MODEL)
