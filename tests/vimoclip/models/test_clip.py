"""The teacher: weights by folder, path and none; preprocessing that belongs to them; precision; errors that say what
to do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from tests.models import MODEL, PREPROCESS, tiny_clip
from vimoclip.config.store import ClipConfig
from vimoclip.errors import ModelError
from vimoclip.models.clip import ClipTeacher, Preprocessing

CPU = torch.device("cpu")


def images(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), np.uint8))


def test_output_is_the_towers_on_normalised_pixels(tiny_model: str) -> None:
    teacher = ClipTeacher(ClipConfig(tiny_model, precision="fp32"), CPU)
    batch = images(3, 32)
    mean, std = (np.array(PREPROCESS[name], np.float32)[None, :, None, None] for name in ("mean", "std"))
    pixels = torch.from_numpy((batch.numpy().astype(np.float32) / 255 - mean) / std)
    with torch.inference_mode():
        expected = tiny_clip().eval().encode_image(pixels)
    torch.testing.assert_close(teacher(batch), expected, rtol=1e-4, atol=1e-5)


def test_preprocessing_comes_with_the_folder(tiny_model: str) -> None:
    teacher = ClipTeacher(ClipConfig(tiny_model), CPU)
    assert teacher.preprocessing == Preprocessing(32, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "bilinear", "squash")
    assert (teacher.dim, teacher.training, teacher.config.weights) == (16, "pretrained", "own")


def test_precision_is_resolved_and_close_to_fp32(tiny_model: str) -> None:
    batch = images(8, 32)
    full = ClipTeacher(ClipConfig(tiny_model, precision="fp32"), CPU)
    auto = ClipTeacher(ClipConfig(tiny_model), CPU)
    half = ClipTeacher(ClipConfig(tiny_model, precision="bf16"), CPU)
    assert auto.config.precision in ("bf16", "fp32")
    assert full.config.batch_size == 8
    cosine = torch.nn.functional.cosine_similarity(full(batch), half(batch))
    assert cosine.min() > 0.999
    assert half(batch).dtype == torch.float32
    assert full.weights_sha256 == half.weights_sha256  # of the weights as loaded, before rounding


def test_a_vector_depends_on_nothing_else_in_its_batch(tiny_model: str) -> None:
    teacher = ClipTeacher(ClipConfig(tiny_model), CPU)
    batch = images(8, 32)
    alone = torch.zeros_like(batch)
    alone[0] = batch[5]
    assert torch.equal(teacher(alone)[0], teacher(batch)[5])


def test_none_is_random_but_always_the_same(tiny_model: str) -> None:
    before = torch.random.get_rng_state()
    first, again = (ClipTeacher(ClipConfig(tiny_model, "none"), CPU) for _ in range(2))
    assert first.training == "random"
    assert first.weights_sha256 == again.weights_sha256
    assert first.weights_sha256 != ClipTeacher(ClipConfig(tiny_model), CPU).weights_sha256
    assert torch.equal(before, torch.random.get_rng_state())  # the caller's random numbers are its own


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole ViT-S-32-alt-sized checkpoint by path, without anything beside it."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = open_clip.create_model("ViT-S-32-alt", load_weights=False)
    save_file(model.state_dict(), path)
    return path


def test_weights_by_path_with_preprocessing_as_json(vit: Path) -> None:
    described = json.dumps({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "quick_gelu": True})
    teacher = ClipTeacher(ClipConfig("ViT-S-32-alt", str(vit), described), CPU)
    assert teacher.preprocessing.mean == (0.5, 0.5, 0.5)
    kinds = {type(module).__name__ for module in teacher.tower.modules()}
    assert "QuickGELU" in kinds
    plain = json.dumps({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]})
    other = ClipTeacher(ClipConfig("ViT-S-32-alt", str(vit), plain), CPU)
    assert "QuickGELU" not in {type(module).__name__ for module in other.tower.modules()}
    assert other.weights_sha256 != teacher.weights_sha256  # the same tensors, and other vectors


@pytest.mark.parametrize("change", [{"quick_gelu": True}, {"vision_cfg": MODEL["vision_cfg"] | {"head_width": 8}}])
def test_what_leaves_no_trace_in_the_tensors_is_another_feature(tmp_path: Path, change: dict[str, Any]) -> None:
    hashes = []
    for name, model in (("plain", MODEL), ("again", MODEL), ("changed", MODEL | change)):
        folder = tmp_path / name
        folder.mkdir()
        config = {"model_cfg": model, "preprocess_cfg": PREPROCESS}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        save_file(tiny_clip().state_dict(), folder / "open_clip_model.safetensors")
        hashes.append(ClipTeacher(ClipConfig(f"local-dir:{folder}"), CPU).weights_sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_weights_by_path_need_to_say_how_frames_are_normalised(vit: Path) -> None:
    with pytest.raises(ModelError, match=r"--preprocess"):
        ClipTeacher(ClipConfig("ViT-S-32-alt", str(vit)), CPU)


HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ("no JSON", "neither a tag of this model nor a JSON object"),
        ('{"average": 1}', "unknown: average"),
        ('["mean", "std"]', "unknown: mean, std|list"),
        ('{"mean": [0.5, 0.5, 0.5]}', "it has no std"),
        (json.dumps(HALF | {"std": [0.5, 0.5, 0]}), "a std is not 0"),
        (json.dumps(HALF | {"mean": [122, 116, 104]}), "mean is three numbers in 0..1"),
        (json.dumps(HALF | {"mean": [0.5, 0.5]}), "mean is three numbers"),
        (json.dumps(HALF | {"mean": [float("nan")] * 3}), "mean is three numbers"),
        (json.dumps(HALF | {"interpolation": "nearest"}), "bicubic or bilinear"),
        (json.dumps(HALF | {"resize_mode": "crop"}), "squash or shortest or longest"),
        (json.dumps(HALF | {"quick_gelu": "false"}), "true or false"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(vit: Path, described: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        ClipTeacher(ClipConfig("ViT-S-32-alt", str(vit), described), CPU)


def test_preprocess_is_not_for_weights_that_bring_their_own(tiny_model: str) -> None:
    for config in (ClipConfig(tiny_model, preprocess="openai"), ClipConfig("ViT-B-32", "none", json.dumps(HALF))):
        with pytest.raises(ModelError, match="--preprocess"):
            ClipTeacher(config, CPU)


def test_a_file_called_like_a_tag_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openai").write_bytes(b"")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
    with pytest.raises(ModelError, match="weights openai of ViT-B-32 cannot be had"):
        ClipTeacher(ClipConfig("ViT-B-32", "openai"), CPU)


def test_a_device_without_memory_is_named(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(ClipTeacher, "__call__", full)
    with pytest.raises(ModelError, match=r"cpu has no memory.*20.00 MiB.*--device"):
        ClipTeacher(ClipConfig(tiny_model), CPU)


def test_weights_by_path_with_a_config_beside_them(vit: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").symlink_to(vit)
    beside: dict[str, Any] = {
        "model_cfg": {"quick_gelu": True},
        "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(beside))
    teacher = ClipTeacher(ClipConfig("ViT-S-32-alt", str(tmp_path / "w.safetensors")), CPU)
    assert teacher.preprocessing.mean == (0.1, 0.2, 0.3)
    for broken in (beside | {"preprocess_cfg": {}}, {"preprocess_cfg": beside["preprocess_cfg"]}, ["no", "object"]):
        (tmp_path / "open_clip_config.json").write_text(json.dumps(broken))
        with pytest.raises(ModelError, match=r"--preprocess openai"):
            ClipTeacher(ClipConfig("ViT-S-32-alt", str(tmp_path / "w.safetensors")), CPU)
    # A size of its own would not fit the tower, whose own one holds.
    sized = beside | {"preprocess_cfg": beside["preprocess_cfg"] | {"size": 336}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(sized))
    assert ClipTeacher(ClipConfig("ViT-S-32-alt", str(tmp_path / "w.safetensors")), CPU).preprocessing.size != 336


def test_weights_of_another_architecture_are_refused(vit: Path) -> None:
    plain = '{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}'
    with pytest.raises(ModelError, match="is the architecture"):
        ClipTeacher(ClipConfig("ViT-M-32-alt", str(vit), plain), CPU)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (ClipConfig("ViT-B-99"), "ViT-B-32"),
        (ClipConfig("ViT-B-32", "no-such-tag"), "openai"),
        (ClipConfig("local-dir:/no/such/folder"), "cannot be loaded"),
        (ClipConfig("local-dir:/no/such/folder", "openai"), "brings its own weights"),
    ],
)
def test_what_cannot_be_had_is_an_error_that_says_what_can(config: ClipConfig, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        ClipTeacher(config, CPU)


def test_unreachable_weights_say_how_to_get_them_and_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
    with pytest.raises(ModelError, match="weights none"):
        ClipTeacher(ClipConfig("ViT-B-32", "laion2b_s34b_b79k"), CPU)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="cannot be loaded"):
        ClipTeacher(ClipConfig(f"local-dir:{tmp_path}"), CPU)
    assert ClipTeacher(ClipConfig(f"local-dir:{tmp_path}", "none"), CPU).training == "random"
