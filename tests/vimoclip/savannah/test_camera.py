"""Cameras go as they are called, and never beyond the picture."""

import numpy as np
import pytest

from vimoclip.savannah import camera
from vimoclip.savannah.camera import CAMERAS


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
