"""Frames with what they show: the right ones, truly labelled, kept and read back."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.worlds.rendered import ATTRIBUTES, Shots, moving_box, render
from vimoclip.savannah import FPS, plan
from vimoclip.video.resize import resize_frames

SCENES = plan(3, 5, ("lying down", "chasing", "walking"))


@pytest.fixture(scope="module")
def shots() -> Shots:
    return render(SCENES, 32, 3)


def test_they_are_the_scenes_frames_spread_over_them(shots: Shots) -> None:
    assert shots.images.shape == (9, 3, 32, 32) and len(shots) == 9
    assert shots.clip.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert shots.captions == [scene.caption for scene in SCENES]
    last = SCENES[1].frames_count - 2
    frame = next(itertools.islice(SCENES[1].frames(), last, None))
    expected = resize_frames(torch.from_numpy(frame[None]), 32, "squash", "bilinear")[0]
    assert np.array_equal(shots.images[5], expected.numpy())


def test_what_they_show_is_what_the_scene_says_of_that_moment(shots: Shots) -> None:
    def shown(attribute: str, frame: int) -> set[str]:
        (name,) = [name for name in ATTRIBUTES if name == attribute]
        return {value for value, holds in zip(shots.classes[name], shots.holds[name][frame], strict=True) if holds}

    for n, scene in enumerate(SCENES):
        first, end = 3 * n, (scene.frames_count - 2) / FPS
        assert shown("species", first) == set(scene.species)
        assert shown("habitat", first) == {scene.habitat}
        assert (shown("light", first), shown("weather", first)) == ({scene.light}, {scene.weather})
        for frame, time_s in ((first, 0.0), (first + 2, end)):
            now = {span.label for span in scene.spans if span.start_s <= time_s < span.end_s}
            assert shown("behaviour", frame) == now
    down = next(n for n, scene in enumerate(SCENES) if len(scene.spans) > 1)
    assert shown("behaviour", 3 * down) != shown("behaviour", 3 * down + 2)  # it stood, and then it lay


def test_the_box_is_of_what_moves_on_its_own() -> None:
    flow = np.tile(np.array([-2.0, 0.0], np.float32), (40, 80, 1))  # the camera pans
    assert moving_box(flow).tolist() == [0, 0, 1, 1]
    flow[10:30, 20:60] = (-2.0, 1.0)
    assert moving_box(flow).tolist() == [0.25, 0.25, 0.75, 0.75]
    flow[0, 0] = (5.0, 5.0)
    assert moving_box(flow).tolist() == [0, 0, 0.75, 0.75]


def test_boxes_are_of_their_frames(shots: Shots) -> None:
    (walking,) = [n for n, scene in enumerate(SCENES) if scene.behaviour == "walking"]
    flow = next(iter(SCENES[walking].flows()))  # from the first frame
    assert np.array_equal(shots.boxes[3 * walking], moving_box(flow))
    assert shots.boxes[3 * walking].tolist() != [0, 0, 1, 1]


def test_kept_and_read_back(shots: Shots, tmp_path: Path) -> None:
    shots.save(tmp_path / "frames")
    again = Shots.load(tmp_path / "frames")
    for name in ("images", "clip", "boxes"):
        assert np.array_equal(getattr(again, name), getattr(shots, name))
    assert (again.captions, again.classes) == (shots.captions, shots.classes)
    assert all(np.array_equal(again.holds[name], shots.holds[name]) for name in ATTRIBUTES)
