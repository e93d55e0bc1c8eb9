"""SigLIP's and BioCLIP's kind, as open_clip writes them for the hub: what belongs to their weights stays theirs, and
`own` gives what open_clip itself makes of a picture."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import set_model_preprocess_cfg
from open_clip.push_to_hf_hub import save_config_for_hf
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

from schemas.features import Feature
from tests.models import MODEL
from vimoclip.config.store import ClipConfig, FlowConfig, Geometry, Resize, RunConfig, StartingMotion, StoreConfig
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.errors import ModelError
from vimoclip.frames import FrameBatch, VideoJob
from vimoclip.models.clip import ClipTeacher, Preprocessing

CPU = torch.device("cpu")
TEXT = MODEL["text_cfg"]
SIGLIP: dict[str, Any] = {
    "embed_dim": 96,
    "init_logit_bias": -10,
    "custom_text": True,
    # timm's own small transformer with SigLIP's pooling by attention
    "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit3", "timm_pool": "map", "timm_proj": "none"},
    "text_cfg": TEXT | {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}},
}
HALF = (0.5, 0.5, 0.5)
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
MODELS: dict[str, tuple[Any, dict[str, Any], Preprocessing]] = {
    "siglip": (
        SIGLIP,
        {"mean": HALF, "std": HALF, "interpolation": "bicubic", "resize_mode": "squash"},
        Preprocessing(160, HALF, HALF, "bicubic", "squash"),
    ),
    "bioclip": (
        MODEL,
        {"mean": OPENAI[0], "std": OPENAI[1], "interpolation": "bicubic", "resize_mode": "shortest"},
        Preprocessing(32, *OPENAI, "bicubic", "crop"),
    ),
    "padded": (
        MODEL,
        {"mean": HALF, "std": OPENAI[1], "interpolation": "bilinear", "resize_mode": "longest"},
        Preprocessing(32, HALF, OPENAI[1], "bilinear", "letterbox"),
    ),
}


def write(folder: Path, kind: str) -> tuple[str, Any]:
    """The name of a model in a folder as open_clip fills it for the hub, and the model."""
    config, own, _ = MODELS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        arguments = {name: value for name, value in config.items() if name != "custom_text"}
        model = (open_clip.CustomTextCLIP if "custom_text" in config else open_clip.CLIP)(**arguments).eval()
    set_model_preprocess_cfg(model, own)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    save_config_for_hf(model, folder / "open_clip_config.json", config)
    return f"local-dir:{folder}", model


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_theirs_is_kept_and_own_takes_their_resize_too(kind: str, tmp_path: Path) -> None:
    name, model = write(tmp_path, kind)
    _, stored, own = MODELS[kind]
    teacher = ClipTeacher(ClipConfig(name, resize="own", precision="fp32"), CPU)
    assert teacher.preprocessing == own
    assert teacher.config.resize == "own"  # so that the same command again does not contradict the store
    assert ClipTeacher(ClipConfig(name), CPU).preprocessing == dataclasses.replace(own, resize="squash")

    frame = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    theirs = image_transform_v2(PreprocessCfg(size=own.size, **stored), is_train=False)
    with torch.inference_mode():
        expected = model.encode_image(theirs(Image.fromarray(frame))[None])
    got = teacher(teacher.resize(frame[None], 1.0))
    assert torch.nn.functional.cosine_similarity(got, expected).item() > 0.9995  # PIL rounds between its two passes
    for resize in set(get_args(Geometry)) - {own.resize}:
        other = ClipTeacher(ClipConfig(name, resize=resize, precision="fp32"), CPU)
        assert torch.nn.functional.cosine_similarity(other(other.resize(frame[None], 1.0)), expected).item() < 0.999


def feature(model: str, resize: Resize, motion: StartingMotion) -> Feature:
    config = StoreConfig(clip=ClipConfig(model, resize=resize), flow=FlowConfig(motion=motion))
    return EmbedWorker(config, RunConfig(device="cpu")).features[1]


@pytest.mark.parametrize("motion", get_args(StartingMotion))
def test_the_feature_says_what_own_is_and_is_that_of_the_same_resize_by_name(
    motion: StartingMotion, tmp_path: Path
) -> None:
    name, _ = write(tmp_path, "bioclip")
    own, crop, squash = (feature(name, resize, motion) for resize in ("own", "crop", "squash"))
    assert json.loads(own.preprocessing)["resize"] == "crop"
    assert own.fingerprint == crop.fingerprint != squash.fingerprint
    keys = "batch_size flow full_scale interpolation jpeg mean plane resize size std"  # since the first stores
    if motion == "mbh":
        keys = "flow full_scale jpeg plane resize"  # the planes are of that geometry
    assert list(json.loads(squash.preprocessing)) == keys.split()


def test_a_resize_that_is_not_known_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    name, _ = write(tmp_path, "bioclip")
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = "tile"
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert ClipTeacher(ClipConfig(name), CPU).preprocessing.resize == "squash"
    with pytest.raises(ModelError, match=r"tile.*squash, shortest, longest.*--resize"):
        ClipTeacher(ClipConfig(name, resize="own"), CPU)


def test_frames_and_flow_are_resized_as_own_says(tmp_path: Path, clips: Path) -> None:
    name, _ = write(tmp_path, "bioclip")
    job = VideoJob("a", str(clips / "circling" / "000.mp4"))

    def rows(resize: Resize) -> list[FrameBatch]:
        clip = ClipConfig(name, resize=resize, precision="fp32")
        outcomes = EmbedWorker(StoreConfig(clip=clip), RunConfig(device="cpu")).embed([job])
        return [outcome for outcome in outcomes if isinstance(outcome, FrameBatch)]

    own, crop, squash = rows("own"), rows("crop"), rows("squash")
    for one, same, other in zip(own, crop, squash, strict=True):
        assert one.flow == same.flow != other.flow
        for feature in ("clip", "moclip"):
            assert np.array_equal(one.features[feature].values, same.features[feature].values)
            assert not np.array_equal(one.features[feature].values, other.features[feature].values)
