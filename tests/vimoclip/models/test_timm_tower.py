"""Towers of timm: names, tags, files of weights, preprocessing; vectors against timm's own; errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from vimoclip.config.store import ClipConfig
from vimoclip.device import SEED
from vimoclip.errors import ModelError
from vimoclip.flow.encoding import flow_image
from vimoclip.models.backbones import load_backbone
from vimoclip.models.clip import ClipTeacher, Preprocessing
from vimoclip.models.clip_text import TextTower
from vimoclip.models.motion_student import MoClip, MotionStudent
from vimoclip.models.timm_tower import TimmTower

CPU = torch.device("cpu")


def load(model: str = "timm:test_vit", weights: str = "none", preprocess: str | None = None) -> ClipTeacher:
    found: ClipTeacher = load_backbone(ClipConfig(model, weights, preprocess, precision="fp32"), CPU)
    return found


def made(architecture: str, seed: int = 3, classes: int = 1000) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(architecture, num_classes=classes).eval()


def images(size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, size, size), np.uint8))


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "wrapped"])
@pytest.mark.parametrize("architecture", ["test_vit", "test_efficientnet"])
def test_the_vectors_are_timms_without_its_classifier(tmp_path: Path, architecture: str, suffix: str) -> None:
    model, path = made(architecture), tmp_path / f"w.{suffix}"
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if suffix == "safetensors":
        save_file(state, path)
    else:
        torch.save(state if suffix == "pth" else {"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    teacher = load(f"timm:{architecture}", str(path))
    assert isinstance(teacher, TimmTower)
    mean, std = (
        ((0.5,) * 3, (0.5,) * 3) if architecture == "test_vit" else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    assert teacher.preprocessing == Preprocessing(160, mean, std, "bicubic", "squash")
    batch = images(160)
    pixels = (batch.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(pixels), pre_logits=True)
    torch.testing.assert_close(teacher(batch), expected, rtol=1e-4, atol=1e-4)
    assert (teacher.dim, teacher.training, teacher.config.weights) == (expected.shape[1], "pretrained", str(path))


def test_random_weights_are_seeded_and_say_so() -> None:
    one, other = load(), load()
    assert one.training == "random" and one.weights_sha256 == other.weights_sha256
    expected = made("test_vit", SEED, 0)
    assert all(torch.equal(one.tower.state_dict()[name], value) for name, value in expected.state_dict().items())


def test_where_the_file_lies_does_not_matter_and_what_it_is_does(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.save(made("test_vit", seed).state_dict(), tmp_path / f"{name}.pth")
    a, b, c = (load(weights=str(tmp_path / f"{name}.pth")).weights_sha256 for name in "abc")
    assert a == b != c


def test_a_tag_in_the_name_is_a_choice_of_weights() -> None:
    assert load("timm:test_vit.r160_in1k").config.weights == "none"
    for config in (
        ClipConfig("timm:test_vit"),
        ClipConfig("timm:test_vit.r160_in1k"),
        ClipConfig("timm:test_vit", "r160_in1k"),
    ):
        assert TimmTower._resolve_weights(None, config) == "r160_in1k"  # type: ignore[arg-type]


def test_the_size_of_the_images_is_that_of_the_tag() -> None:
    sizes = {tag: load(f"timm:deit3_small_patch16_{tag}").preprocessing.size for tag in ("224", "384")}
    assert sizes == {"224": 224, "384": 384}


def test_own_is_the_geometry_that_timm_names() -> None:
    tower = load_backbone(ClipConfig("timm:test_vit", "none", resize="own"), CPU)
    assert tower.preprocessing.resize == "crop"


# Preprocessing of weights by path.

HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def test_what_a_file_is_preprocessed_like(tmp_path: Path) -> None:
    torch.save(made("test_efficientnet").state_dict(), path := tmp_path / "w.pth")

    def how(preprocess: str | None = None) -> Preprocessing:
        return load("timm:test_efficientnet", str(path), preprocess).preprocessing

    assert how().std == how("r160_in1k").std == (0.229, 0.224, 0.225)
    assert how(json.dumps(HALF)).std == (0.25, 0.25, 0.25)
    beside = {
        "pretrained_cfg": HALF | {"interpolation": "bilinear", "crop_mode": "border", "input_size": [3, 160, 160]}
    }
    (tmp_path / "config.json").write_text(json.dumps(beside))
    assert how() == Preprocessing(160, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear", "squash")
    (tmp_path / "config.json").write_text('{"pretrained_cfg": {}}')
    with pytest.raises(ModelError, match="description beside the weights"):
        how()
    assert how(json.dumps(HALF)).std == (0.25, 0.25, 0.25)
    for wrong, says in (("no", "neither a tag"), (json.dumps(HALF | {"quick_gelu": True}), "own activations")):
        with pytest.raises(ModelError, match=says):
            how(wrong)


def test_where_tags_differ_one_has_to_be_named(tmp_path: Path) -> None:
    torch.save(made("tf_efficientnet_b0").state_dict(), path := tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"how frames are to be normalised.*ns_jft_in1k"):
        load("timm:tf_efficientnet_b0", str(path))
    assert load("timm:tf_efficientnet_b0.ap_in1k", str(path)).preprocessing.mean == (0.5, 0.5, 0.5)
    assert load("timm:tf_efficientnet_b0", str(path), "in1k").preprocessing.mean == (0.485, 0.456, 0.406)


# What cannot be had.


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (ClipConfig("timm:test_vitt"), "timm knows no such model.*test_vit"),
        (ClipConfig("timm:"), "timm knows no such model"),
        (ClipConfig("timm:test_vit.no"), "no such weights of test_vit.*r160_in1k"),
        (ClipConfig("timm:test_vit", "no"), "no such weights.*r160_in1k, none, the path"),
        (ClipConfig("timm:test_vit", "none", json.dumps(HALF)), "--preprocess is for weights given by path"),
    ],
)
def test_what_there_is_not(config: ClipConfig, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        load_backbone(config, CPU)


def test_weights_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
    with pytest.raises(ModelError, match=r"r160_in1k of timm:test_vit cannot be had.*--clip-weights PATH"):
        load(weights="default")


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    torch.save(made("test_vit2").state_dict(), tmp_path / "other.pth")
    torch.save(made("test_efficientnet").state_dict(), tmp_path / "cnn.pth")
    state = made("test_vit").state_dict()
    torch.save({name: each for name, each in state.items() if name != "norm.weight"}, tmp_path / "part.pth")
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"model": made("test_vit")}, tmp_path / "pickle.pth")  # a program: it is not run
    for name in ("other", "cnn", "part", "text", "pickle"):
        with pytest.raises(ModelError, match=r"weights of timm:test_vit cannot be loaded.*is the architecture"):
            load(weights=str(tmp_path / f"{name}.pth"))
    with pytest.raises(ModelError, match=r"lacks norm\.weight"):
        load(weights=str(tmp_path / "part.pth"))


def test_there_is_no_text_tower() -> None:
    with pytest.raises(ModelError, match=r"no text tower.*knows images alone.*--appearance") as error:
        TextTower(load().config, CPU)
    assert "--image" in error.value.hint


# The student.


@pytest.mark.parametrize("architecture", ["test_vit", "test_efficientnet"])
def test_its_student(architecture: str) -> None:
    teacher = load(f"timm:{architecture}")
    planes = np.random.default_rng(0).integers(1, 256, (2, 2, 224, 224), np.uint8)
    seen = torch.from_numpy(flow_image(planes, "uvm"))
    z = MotionStudent(teacher, "uvm")(planes)
    model = MoClip.of(teacher, 3, alpha=0.1, hidden=6)
    torch.testing.assert_close(model(teacher.pixels(seen)), z, rtol=1e-4, atol=1e-4)
    model(teacher.pixels(seen)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.tower.parameters())
    served = teacher.with_weights(model.tower.state_dict())
    torch.testing.assert_close(served(seen), z)
    with pytest.raises(ModelError, match=f"not of timm:{architecture}"):
        teacher.with_weights({})
