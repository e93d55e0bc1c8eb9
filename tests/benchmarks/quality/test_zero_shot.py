"""Zero-shot figures on made-up vectors, of which the right answers are known."""

import numpy as np
import torch

from benchmarks.quality.zero_shot import answers
from benchmarks.worlds.rendered import Shots

SPECIES, HABITATS = ("lion", "zebra", "eagle"), ("desert", "woodland")


def made_up() -> tuple[Shots, torch.Tensor]:
    """Four frames, and vectors whose first three numbers are a species and whose last two a habitat."""
    species = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0]], bool)  # the last shows two animals
    habitats = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], bool)
    shots = Shots(
        np.zeros((4, 3, 8, 8), np.uint8),
        np.arange(4),
        np.tile(np.array([0, 0, 1, 1], np.float32), (4, 1)),
        ["", "", "", ""],
        {"species": SPECIES, "habitat": HABITATS},
        {"species": species, "habitat": habitats},
    )
    images = torch.tensor([[1, 0, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 1, 1, 0], [1, 0, 0, 1, 0]]).float()
    return shots, images


def encode(sentences: list[str]) -> torch.Tensor:
    names = [*SPECIES, *HABITATS]
    return torch.tensor([[float(name in sentence) for name in names] for sentence in sentences])


def test_known_answers() -> None:
    shots, images = made_up()
    found = answers(images, shots, encode)
    assert [answer.attribute for answer in found] == ["species", "species", "habitat", "habitat"]
    species, _, habitat, _ = found
    assert (species.frames, species.top1, species.chance) == (3, 2 / 3, 2 / 3)  # one zebra is taken for an eagle
    assert species.per_class == {"lion": 1.0, "zebra": 0.5}
    assert (habitat.frames, habitat.top1, habitat.chance) == (4, 0.75, 0.75)
    assert habitat.per_class == {"desert": 1.0, "woodland": 0.0}
