"""vimoclip-tiny: found by its name, small, honest about itself, and at home in the rendered world."""

import json
from collections.abc import Callable

import numpy as np
import open_clip
import pytest
import torch

from benchmarks.quality.zero_shot import answers, image_vectors
from benchmarks.worlds.rendered import Shots, render
from vimoclip.config.store import ClipConfig
from vimoclip.errors import ModelError
from vimoclip.models.backbones import TINY, TINY_FOLDER, TINY_WEIGHTS, for_open_clip
from vimoclip.models.clip import ClipTeacher, Preprocessing
from vimoclip.models.clip_text import TextTower
from vimoclip.savannah import SPECIES, plan

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher() -> ClipTeacher:
    return ClipTeacher(ClipConfig(TINY, precision="fp32"), CPU)


@pytest.fixture(scope="module")
def encode(teacher: ClipTeacher) -> Callable[[list[str]], torch.Tensor]:
    return TextTower(teacher.config, CPU).encode


def test_found_by_its_name_with_its_own_preprocessing(teacher: ClipTeacher) -> None:
    assert (teacher.config.model, teacher.config.weights, teacher.training) == (TINY, TINY_WEIGHTS, "pretrained")
    said = json.loads((TINY_FOLDER / "open_clip_config.json").read_text())
    own = said["preprocess_cfg"]
    size = said["model_cfg"]["vision_cfg"]["image_size"]
    assert teacher.preprocessing == Preprocessing(size, tuple(own["mean"]), tuple(own["std"]), "bilinear", "squash")
    assert teacher.dim == said["model_cfg"]["embed_dim"]


def test_a_store_names_it_and_finds_it_again(teacher: ClipTeacher) -> None:
    again = ClipTeacher(ClipConfig.from_dict(teacher.config.to_dict()), CPU)
    assert again.config == teacher.config and again.weights_sha256 == teacher.weights_sha256
    random = ClipTeacher(ClipConfig(TINY, "none"), CPU)
    assert (random.training, random.config.weights) == ("random", "none")
    assert random.weights_sha256 != teacher.weights_sha256


def test_never_a_default_and_never_with_other_weights() -> None:
    assert ClipConfig().model != TINY
    for config in (ClipConfig(TINY, "openai"), ClipConfig(TINY, preprocess="openai")):
        with pytest.raises(ModelError, match="vimoclip-tiny brings its own"):
            ClipTeacher(config, CPU)
    with pytest.raises(ModelError, match="vimoclip-tiny"):
        ClipTeacher(ClipConfig("vimoclip-tin"), CPU)
    with pytest.raises(ModelError, match="no such weights"):
        ClipTeacher(ClipConfig("ViT-B-32", TINY_WEIGHTS), CPU)


def test_a_plain_open_clip_model_of_at_most_12_mb() -> None:
    assert sum(path.stat().st_size for path in TINY_FOLDER.iterdir()) <= 12_000_000
    assert type(open_clip.create_model(for_open_clip(TINY), require_pretrained=True)) is open_clip.CLIP


@pytest.fixture(scope="module")
def shots(teacher: ClipTeacher) -> Shots:
    """Two frames of each of twelve clips, from worlds that neither training nor its record saw."""
    return render(plan(12, 55), teacher.preprocessing.size, 2)


def test_it_knows_species_and_habitats_by_text(
    teacher: ClipTeacher, shots: Shots, encode: Callable[[list[str]], torch.Tensor]
) -> None:
    vectors = image_vectors(teacher, shots.images)
    assert vectors.shape == (24, 128) and bool(vectors.isfinite().all())
    for answer in answers(vectors, shots, encode):
        assert answer.top1 >= 0.75 > answer.chance + 0.2, answer


def test_frames_of_a_clip_are_alike_and_of_others_less_so(teacher: ClipTeacher, shots: Shots) -> None:
    vectors = image_vectors(teacher, shots.images)
    cosines = (vectors @ vectors.T).numpy()
    same = np.equal.outer(shots.clip, shots.clip)
    assert cosines[same].mean() > cosines[~same].mean() + 0.3


def test_the_text_tower_names_each_species(encode: Callable[[list[str]], torch.Tensor]) -> None:
    questions = encode([f"footage of a {name}" for name in SPECIES])
    sentences = encode([f"a wild {name} in the desert at night" for name in SPECIES])
    assert (questions @ sentences.T).argmax(1).tolist() == list(range(len(SPECIES)))
    assert torch.allclose(questions.norm(dim=1), torch.ones(len(SPECIES)), atol=1e-5)


def test_its_record_is_of_these_weights() -> None:
    record = json.loads((TINY_FOLDER / "training.json").read_text())
    assert {answer["attribute"] for answer in record["zero_shot"]} == {"species", "habitat"}
    assert all(answer["top1"] > answer["chance"] for answer in record["zero_shot"])
    assert record["weights_sha256"] == ClipTeacher(ClipConfig(TINY), CPU).weights_sha256


def test_unknown_words_are_nothing(encode: Callable[[list[str]], torch.Tensor]) -> None:
    lion, piano, teapot = encode(["a photo of a lion", "a photo of a piano", "a photo of a teapot"])
    assert torch.allclose(piano, teapot, atol=1e-5)
    assert not torch.allclose(lion, piano, atol=1e-2)
