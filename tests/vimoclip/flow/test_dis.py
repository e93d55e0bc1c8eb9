"""DIS optical flow: known motion, tiny frames, and one result whatever came before."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.vimoclip.flow.textures import shifted, texture
from vimoclip.config.store import FlowConfig
from vimoclip.flow import make_estimator
from vimoclip.flow.dis import MIN_LONG_SIDE, MIN_SHORT_SIDE, Dis
from vimoclip.flow.estimator import FlowEstimator, working_size


@pytest.fixture
def opencv_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def flow_of(estimator: FlowEstimator[Any], pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return estimator.flow(estimator.prepare(pair[0]), estimator.prepare(pair[1]))


def interior(flow: np.ndarray) -> np.ndarray:
    height, width, _ = flow.shape
    return flow[height // 6 : -height // 6, width // 6 : -width // 6]


@pytest.mark.parametrize(("right", "down"), [(4, 0), (0, 4), (-3, 2), (1, 0), (0, -1), (12, -8)])
def test_a_translation_is_found_within_a_tenth_of_a_pixel(right: int, down: int) -> None:
    flow = flow_of(Dis(640), shifted(360, 640, right, down))
    assert flow.shape == (360, 640, 2) and flow.dtype == np.float32
    assert np.abs(interior(flow).mean((0, 1)) - (right, down)).max() < 0.1


def test_a_frame_that_is_scaled_down_gives_flow_in_working_pixels() -> None:
    flow = flow_of(Dis(320), shifted(360, 640, 8, -8, blur=12))
    assert flow.shape == (180, 320, 2)
    assert np.abs(interior(flow).mean((0, 1)) - (4, -4)).max() < 0.1


@pytest.mark.parametrize("shape", [(8, 8), (8, 40), (20, 26), (20, 36), (36, 20), (60, 106), (12, 300), (300, 12)])
def test_tiny_and_flat_frames_have_true_flow(shape: tuple[int, int]) -> None:
    pair = shifted(*shape, 1, 1, blur=2)
    flow = flow_of(Dis(640), pair)
    height, width, _ = flow.shape
    assert max(height, width) >= MIN_LONG_SIDE and min(height, width) >= MIN_SHORT_SIDE
    pixel = np.array([width / shape[1], height / shape[0]])
    assert np.abs(interior(flow).mean((0, 1)) / pixel - 1).max() < 0.15


@pytest.mark.parametrize("shape", [(8, 8), (20, 26), (60, 106), (360, 640), (361, 640), (480, 640)])
def test_results_do_not_depend_on_threads_or_on_what_came_before(shape: tuple[int, int], opencv_threads: None) -> None:
    pair, other, otherwise_sized = (
        shifted(*shape, 2, 1, blur=3),
        shifted(*shape, -3, 2, blur=2, seed=1),
        shifted(90, 120, 1, 1, blur=2),
    )
    used = Dis(640)
    flows = []
    for threads in (1, 2):
        cv2.setNumThreads(threads)
        flows += [flow_of(Dis(640), pair), flow_of(used, pair)]
        flow_of(used, other), flow_of(used, otherwise_sized)
        flows.append(flow_of(used, pair))
    assert flows[0].any()
    for flow in flows[1:]:
        assert np.array_equal(flow, flows[0])


@pytest.mark.parametrize("shape", [(8, 8), (20, 26), (360, 640)])
def test_a_still_frame_has_exactly_no_flow(shape: tuple[int, int]) -> None:
    frame = texture(*shape, 2)
    assert not flow_of(Dis(640), (frame, frame)).any()


def test_mirrored_frames_have_mirrored_flow() -> None:
    first, second = shifted(240, 320, 4, 4)
    flow = interior(flow_of(Dis(640), (first, second)))
    mirrored = interior(flow_of(Dis(640), (first[:, ::-1].copy(), second[:, ::-1].copy())))
    assert np.abs(mirrored[:, ::-1] * (-1, 1) - flow).max() < 0.1
    assert flow[..., 0].mean() > 3.9 and mirrored[..., 0].mean() < -3.9


def test_a_prepared_frame_is_grey_at_the_working_size() -> None:
    red = np.zeros((1080, 1920, 3), np.uint8)
    red[..., 0] = 255
    grey = Dis(640).prepare(red)
    assert grey.shape == (360, 640) and grey.dtype == np.uint8
    assert (grey == 76).all()  # 0.299 · 255: red is the first channel


@pytest.mark.parametrize(
    ("size", "max_width", "expected"),
    [
        ((1920, 1080), 640, (640, 360)),
        ((640, 480), 640, (640, 480)),
        ((26, 20), 640, (26, 20)),
        ((1080, 1920), 640, (640, 1138)),
        ((641, 361), 640, (640, 360)),
        ((3000, 20), 640, (640, 8)),
    ],
)
def test_working_size(size: tuple[int, int], max_width: int, expected: tuple[int, int]) -> None:
    assert working_size(*size, max_width) == expected


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match="flow needs 8 px"):
        working_size(640, 7, 640)
    with pytest.raises(ValueError, match="a frame is uint8"):
        Dis(640).prepare(np.zeros((20, 20), np.uint8))
    with pytest.raises(ValueError, match="two frames of one size"):
        Dis(640).flow(np.zeros((320, 320), np.uint8), np.zeros((320, 300), np.uint8))


def test_the_configuration_chooses_dis() -> None:
    estimator = make_estimator(FlowConfig(estimator="dis", max_width=320), torch.device("cpu"), "fp32")
    assert isinstance(estimator, Dis)
    assert estimator.prepare(texture(360, 640, 2)).shape == (180, 320)
