"""The stand-in for optical flow is a grey difference on a fixed scale, and no displacement."""

import numpy as np
import pytest
import torch

from vimoclip.config.store import FlowConfig
from vimoclip.flow import make_estimator
from vimoclip.flow.encoding import FULL_SCALE, from_planes, to_planes
from vimoclip.flow.frame_difference import FULL_CHANGE, FrameDifference


def grey(level: int, height: int = 40, width: int = 50) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize(("before", "after"), [(0, 255), (255, 0), (100, 151), (200, 199), (3, 3)])
def test_u_is_the_signed_change_and_v_is_nothing(before: int, after: int) -> None:
    estimator = FrameDifference(640)
    flow = estimator.flow(estimator.prepare(grey(before)), estimator.prepare(grey(after)))
    assert flow.shape == (40, 50, 2) and flow.dtype == np.float32
    assert np.allclose(flow[..., 0], (after - before) / 255 * 50 * FULL_CHANGE, rtol=1e-6)
    assert not flow[..., 1].any()


@pytest.mark.parametrize("width", [50, 640, 1280])
def test_black_to_white_at_25_frames_a_second_is_full_scale_at_any_width(width: int) -> None:
    estimator = FrameDifference(640)
    flow = estimator.flow(estimator.prepare(grey(0, width=width)), estimator.prepare(grey(255, width=width)))
    planes = to_planes(flow, 1 / 25, "squash")
    assert (planes[0] == 255).all() and (planes[1] == 128).all()
    assert np.allclose(from_planes(planes)[0], FULL_SCALE)
    slower = to_planes(flow, 9 / 25, "squash")  # a ninth of the rate of change: a third of the code
    assert (slower[0] == 128 + 42).all()


def test_wide_frames_are_scaled_down_and_small_ones_left() -> None:
    assert FrameDifference(640).prepare(grey(7, 1080, 1920)).shape == (360, 640)
    assert FrameDifference(640).prepare(grey(7, 20, 26)).shape == (20, 26)


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame is uint8"):
        FrameDifference(640).prepare(np.zeros((20, 20, 3), np.float32))
    with pytest.raises(ValueError, match="two frames of one size"):
        FrameDifference(640).flow(np.zeros((20, 20), np.uint8), np.zeros((20, 21), np.uint8))


def test_the_configuration_chooses_it() -> None:
    assert isinstance(
        make_estimator(FlowConfig(estimator="frame-difference"), torch.device("cpu"), "fp32"), FrameDifference
    )
