"""Cameras go as they are called, and never beyond the picture."""

import numpy as np
import pytest

from vimoclip.savannah import scenes
from vimoclip.savannah.scenes import CAMERAS


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("heading", [1, -1])
def test_cameras_stay_on_the_picture(name: scenes.Camera, heading: int) -> None:
    for frames in (1, 2, 48, 49):
        corners = np.array(scenes.camera_path(name, frames, heading, np.random.default_rng(5)))
        assert corners.shape == (frames, 2)
        assert (
            np.abs(corners[:, 0]).max() <= scenes.camera_margin(frames) and np.abs(corners[:, 1]).max() <= scenes.SHAKE
        )
    if name == "panning":
        assert set(np.diff(corners[:, 0])) == {heading * scenes.PAN} and not corners[:, 1].any()
        assert corners[24].tolist() == [0, 0]
    else:
        assert corners.any() == (name == "shaking")
        assert np.abs(np.diff(corners, axis=0)).max(initial=0) <= 1
