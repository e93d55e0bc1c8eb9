"""Checkpoints are rebuilt from their own metadata, and refused where they are not what they say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vimoclip.stores import features
from vimoclip.config.fusion import Fusion, FusionConfig, TfamConfig
from vimoclip.errors import CheckpointError
from vimoclip.models.checkpoint import META, WEIGHTS, Meta, Source, read_checkpoint, write_checkpoint
from vimoclip.models.tfam import Tfam

SMALL = TfamConfig(layers=1, width=16, heads=2, feed_forward=8, hidden=4)
CLIP, MOCLIP = features({"clip": 8, "moclip": 16})


def meta(fusion: Fusion = "cross") -> Meta:
    sources = {"image": Source.of(CLIP), "motion": Source.of(MOCLIP)}
    if fusion in ("image", "motion"):
        sources = {fusion: sources[fusion]}
    config = FusionConfig(tfam=replace(SMALL, fusion=fusion), mixup=None)
    return Meta(config, ["läuft", "frißt"], [3, 1], sources, "/a/store", {"frames": 4}, {"micro": 0.5, "macro": None})  # type: ignore[arg-type]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "run", meta().model(), meta())
    return tmp_path / "run"


@pytest.mark.parametrize("fusion", ["cross", "embedding", "motion"])
def test_round_trip(tmp_path: Path, fusion: Fusion) -> None:
    torch.manual_seed(3)
    model = meta(fusion).model()
    write_checkpoint(tmp_path, model, meta(fusion))
    found, about = read_checkpoint(tmp_path)
    assert about == meta(fusion) and not found.training
    expected = model.state_dict()
    assert found.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.state_dict().items())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([META, WEIGHTS])


def test_anyone_can_read_the_files(written: Path) -> None:
    body = json.loads((written / META).read_text(encoding="utf-8"))
    assert (body["format"], body["version"], body["classes"]) == ("vimoclip-tfam", 1, ["läuft", "frißt"])
    assert body["features"]["motion"]["fingerprint"] == MOCLIP.fingerprint
    assert (body["config"]["tfam"]["fusion"], body["config"]["tfam"]["pooling"]) == ("cross", "mean")
    assert "head" not in body["config"]  # which is for heads that are not TFAM's
    assert "layers.0.multihead_attn.in_proj_weight" in load_file(written / WEIGHTS)


def change(folder: Path, **changes: object) -> None:
    body = json.loads((folder / META).read_text(encoding="utf-8"))
    (folder / META).write_text(
        json.dumps({name: value for name, value in (body | changes).items() if value is not None})
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "open-clip"}, "holds no TFAM. Received: format open-clip. Expected: vimoclip-tfam"),
        ({"format": None}, "Received: format none"),
        ({"version": 2}, "Received: version 2. Expected: 1"),
        ({"classes": None}, "'classes' is missing"),
        ({"classes": []}, "0 classes"),
        ({"config": {"tfam": {"heads": 0}}}, "heads must be positive"),
        ({"config": {"tfam": {"pooling": "attention"}}}, "attention was removed.*anew with `vimoclip train-fusion`"),
        ({"config": {"head": "nobody"}}, "head has a value it cannot have"),
        ({"features": {}}, "'image' is missing"),
        ({"features": {"image": {}, "motion": {}}}, "is damaged"),
        ({"weights_sha256": "0"}, "is not the file that meta.json was written for"),
        ({"classes": ["one"]}, "not those of its own meta.json"),
    ],
)
def test_what_is_not_as_it_says(written: Path, changes: dict[str, object], message: str) -> None:
    change(written, **changes)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(written)


def test_text_that_is_no_metadata(written: Path) -> None:
    for text, message in (("{", "is not JSON"), ("[]", "format list"), ("\xff", "is not JSON")):
        (written / META).write_bytes(text.encode("latin-1"))
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(written)


@pytest.mark.parametrize("name", [META, WEIGHTS])
def test_a_file_that_is_missing(written: Path, name: str) -> None:
    (written / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} cannot be read. Received: No such file"):
        read_checkpoint(written)


def test_the_weights_of_another_run(written: Path) -> None:
    """As a kill between the two files would leave them."""
    weights = load_file(written / WEIGHTS)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, written / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"is not the file that meta\.json was written for"):
        read_checkpoint(written)


def test_features_are_checked_by_their_fingerprints() -> None:
    same = {"clip": replace(CLIP, model="renamed"), "moclip": MOCLIP, "other": CLIP}
    meta().check(same)
    other = replace(MOCLIP, precision="bf16")
    with pytest.raises(
        CheckpointError, match=f"{other.fingerprint}. Expected: moclip of ViT-B-16, {MOCLIP.fingerprint}"
    ):
        meta().check(same | {"moclip": other})
    with pytest.raises(CheckpointError, match=r"other image vectors .* Received: no clip"):
        meta().check({"moclip": MOCLIP})
    meta("motion").check({"moclip": MOCLIP})


def test_a_model_is_as_large_as_its_classes() -> None:
    assert isinstance(meta().model(), Tfam) and meta().model().classes == 2
