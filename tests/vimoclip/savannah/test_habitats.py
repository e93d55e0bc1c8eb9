"""Backgrounds follow from their seeds, and look like what they are."""

import itertools

import numpy as np
import pytest

from vimoclip.savannah.habitats import HABITATS, LIGHTS, WEATHERS, Habitat, Light, Weather, background, over

SIZE = (96, 80)


def paint(habitat: Habitat, light: Light = "noon", weather: Weather = "clear", seed: int = 1) -> np.ndarray:
    scene = background(habitat, light, weather, SIZE, (20, 3), 34.0, 66.0, np.random.default_rng(seed))
    assert scene.picture.shape == (86, 136, 3) and scene.picture.dtype == np.uint8
    assert scene.front.shape == (86, 136, 4) and (scene.front[..., :3] <= scene.front[..., 3:]).all()
    assert scene.origin == (20, 3)
    return scene.picture


def test_over_is_exact_at_both_ends() -> None:
    picture = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2)
    front = np.zeros((256, 1, 4), np.uint8)
    assert np.array_equal(over(picture, front), picture)
    front[..., 3], front[..., 0] = 255, 77
    assert (over(picture, front) == (77, 0, 0)).all()
    front[..., 3], front[..., 0] = 128, 0
    assert np.array_equal(over(picture, front)[:, 0, 1], np.floor(np.arange(256) * 127 / 255 + 0.5))


@pytest.mark.parametrize("habitat", HABITATS)
def test_a_background_follows_from_its_seed(habitat: Habitat) -> None:
    assert np.array_equal(paint(habitat), paint(habitat))
    assert not np.array_equal(paint(habitat), paint(habitat, seed=2))
    assert paint(habitat).std() > 20


def test_habitats_lights_and_weathers_look_different() -> None:
    means = [paint(habitat)[40:].mean((0, 1)) for habitat in HABITATS]
    assert all(np.abs(a - b).max() > 6 for a, b in itertools.combinations(means, 2))
    means = [paint("grassland", light=light).mean((0, 1)) for light in LIGHTS]
    assert all(np.abs(a - b).max() > 6 for a, b in itertools.combinations(means, 2))
    assert min(means, key=np.sum) is means[LIGHTS.index("night")]
    contrasts = {weather: paint("grassland", weather=weather)[20:50].std() for weather in WEATHERS}
    assert contrasts["fog"] < 0.75 * contrasts["clear"]
