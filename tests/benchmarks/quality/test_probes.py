"""The probes find what is there, and nothing where there is nothing."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quality.probes import GRID, probe, stretches, wilson
from vimoclip.savannah import FPS, plan

PAIR = ("walking", "stalking")


def test_wilsons_interval_against_published_values() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=2e-4)  # Newcombe (1998), method 3
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=2e-4)


def test_a_probe_separates_what_can_be_and_only_that() -> None:
    rng = np.random.default_rng(0)
    second = np.arange(120) % 2 == 1
    noise = rng.standard_normal((120, 16)).astype(np.float32)
    nothing = probe(PAIR, "noise", noise, second)
    assert nothing.low < 0.5 < nothing.high and nothing.clips == 120
    noise[:, 3] += 8 * second
    assert probe(PAIR, "shifted", noise, second).accuracy == 1


def test_the_two_of_a_reversed_pair_are_seen_by_the_very_same_pictures() -> None:
    scene = next(scene for scene in plan(30, 3, ("lying down",)) if (scene.camera, scene.weather) == ("still", "clear"))
    down = next(clip for clip in stretches(scene, 32) if clip.label == "lying down")
    other = stretches(replace(scene, behaviour="getting up"), 32)
    up = next(clip for clip in other if clip.label == "getting up")
    np.testing.assert_array_equal(down.images[::-1], up.images)


def test_a_stretch_has_its_spans_pictures_and_motion() -> None:
    scene = next(scene for scene in plan(30, 3, ("lying down",)) if scene.camera == "panning")
    found = stretches(scene, 32)
    assert [clip.label for clip in found] == [span.label for span in scene.spans]
    flows = np.stack(list(scene.flows()))
    flows -= flows[:, :1, :1]  # the sky's is the camera's
    for clip, span in zip(found, scene.spans, strict=True):
        first, end = round(span.start_s * FPS), round(span.end_s * FPS)
        assert clip.images.shape == (end - first, 3, 32, 32)
        cells = clip.motion.reshape(GRID, GRID, 3)
        inside = flows[first : end - 1]  # flow to the span's first frame is from another span's last
        assert cells[..., :2].mean((0, 1)) == pytest.approx(inside.mean((0, 1, 2)), abs=1e-4)
        assert cells[..., 2].mean() == pytest.approx(np.linalg.norm(inside, axis=-1).mean(), abs=1e-4)
