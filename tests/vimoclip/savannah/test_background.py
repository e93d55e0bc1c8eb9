"""Backgrounds, cameras and light."""

import itertools

import numpy as np
import pytest

from vimoclip.savannah import camera
from vimoclip.savannah.camera import CAMERAS
from vimoclip.savannah.canvas import cover, ellipse, lay
from vimoclip.savannah.habitats import HABITATS, Habitat, background, over
from vimoclip.savannah.light import LIGHTS, WEATHERS, Light, Weather, hazy, lit, rain

SIZE = (96, 80)


def paint(habitat: Habitat, light: Light = "noon", weather: Weather = "clear", seed: int = 1) -> np.ndarray:
    scene = background(habitat, light, weather, SIZE, (20, 3), 34.0, 66.0, np.random.default_rng(seed))
    assert scene.picture.shape == (86, 136, 3) and scene.picture.dtype == np.uint8
    assert scene.front.shape == (86, 136, 4) and (scene.front[..., :3] <= scene.front[..., 3:]).all()
    assert scene.origin == (20, 3)
    return scene.picture


def test_covering_by_area() -> None:
    square = cover([[(1.5, 1.5), (4.5, 1.5), (4.5, 3.5), (1.5, 3.5)]], (8, 6))
    assert (square > 0).sum() in range(6, 13) and (square[2:4, 2:5] == 255).all()
    disc = cover([ellipse(20.0, 20.0, 12.0, 7.0)], (41, 41))
    assert disc.sum() / 255 == pytest.approx(np.pi * 12 * 7, rel=0.06)
    assert set(np.unique(disc)) <= {round(255 * n / 9) for n in range(10)}
    assert not cover([], (5, 4)).any()


def test_laying_a_colour() -> None:
    picture = np.full((4, 4, 3), 100.0)
    mask = np.zeros((4, 4), np.uint8)
    mask[1, 2], mask[2, 2] = 255, 51
    lay(picture, mask, (200, 0, 100))
    assert picture[1, 2].tolist() == [200, 0, 100]
    assert picture[2, 2].tolist() == pytest.approx([120, 80, 100])
    assert (picture[0] == 100).all()


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


def test_haze_hides_what_is_far() -> None:
    black = np.zeros((1, 1, 3))
    assert not hazy(black, "noon", "fog", 0.0).any()
    assert hazy(black, "noon", "fog", 1.0).min() > 150
    assert (lit(np.full((1, 1, 3), 200.0), "night") < 160).all()


def test_rain_is_sparse_and_of_streaks() -> None:
    drops = rain((96, 80), np.random.default_rng(3))
    assert drops.shape == (80, 96, 3) and 0.005 < (drops > 0).mean() < 0.1
    wet = drops[..., 0] > 0
    assert (wet[:-1] & wet[1:]).sum() > 0.6 * wet.sum()


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("heading", [1, -1])
def test_cameras_stay_on_the_picture(name: camera.Camera, heading: int) -> None:
    for frames in (1, 2, 48, 49):
        corners = np.array(camera.path(name, frames, heading, np.random.default_rng(5)))
        assert corners.shape == (frames, 2)
        assert np.abs(corners[:, 0]).max() <= camera.margin(frames) and np.abs(corners[:, 1]).max() <= camera.SHAKE
    if name == "panning":
        assert set(np.diff(corners[:, 0])) == {heading * camera.PAN} and not corners[:, 1].any()
        assert corners[24].tolist() == [0, 0]
    else:
        assert corners.any() == (name == "shaking")
        assert np.abs(np.diff(corners, axis=0)).max(initial=0) <= 1
