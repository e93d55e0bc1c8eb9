"""The tiny model's sentences name what they are about, and nothing else."""

import random

import pytest

from benchmarks.quality.sentences import ALONE, ASKED, about, alone, articled


@pytest.mark.parametrize("attribute", ALONE)
def test_alone_names_the_value(attribute: str) -> None:
    (name,) = [name for name in ALONE if name == attribute]
    sentences = {alone(name, "xyz", random.Random(seed)) for seed in range(300)}
    assert all("xyz" in sentence and "{" not in sentence for sentence in sentences)
    assert len(sentences) > 20


def test_about_names_all_and_only_what_it_is_given() -> None:
    for seed in range(50):
        said = about({"species": ("lion", "zebra"), "habitat": ("desert",), "light": ("dusk",)}, random.Random(seed))
        assert "a lion and a zebra" in said and "desert" in said and "dusk" in said
        assert "weather" not in said
        assert "an animal" in about({"weather": ("rain",)}, random.Random(seed))


def test_articles() -> None:
    assert articled("a elephant in a desert and a eagle") == "an elephant in a desert and an eagle"
    assert articled("a lion at a oasis") == "a lion at an oasis"


def test_what_is_asked_in_new_words_is_new() -> None:
    words = {word for templates in ALONE.values() for template in templates for word in template.split()}
    for _, new in ASKED.values():
        assert len(set(new.split()) - words) >= 3
