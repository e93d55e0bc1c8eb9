"""Flow to bytes and to the student's image: the scale, the JPEG, the two images."""

import itertools
import math
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.utils import flow_to_image

from tests.vimoclip.flow.textures import scene, texture
from vimoclip.config.store import FlowImage, Geometry
from vimoclip.errors import StoreDamagedError
from vimoclip.flow.dis import Dis
from vimoclip.flow.encoding import (
    FULL_SCALE,
    PLANE,
    decode_flow,
    encode_flow,
    flow_image,
    from_planes,
    mean_speed,
    mirrored,
    to_planes,
)

MODES: tuple[Geometry, ...] = get_args(Geometry)
KINDS: tuple[FlowImage, ...] = get_args(FlowImage)


def uniform(u: float, v: float, height: int = 36, width: int = 64) -> NDArray[np.float32]:
    return np.full((height, width, 2), (u, v), np.float32)


def every_pair() -> NDArray[np.uint8]:
    """All 65,536 pairs of codes in two frames: uint8 (2, 2, 224, 224)."""
    pairs = np.zeros((2, 2, PLANE * PLANE), np.uint8)
    numbers = np.arange(2 * PLANE * PLANE).reshape(2, -1) % 65536
    pairs[:, 0], pairs[:, 1] = numbers >> 8, numbers & 255
    return pairs.reshape(2, 2, PLANE, PLANE)


def expected_code(speed: float) -> int:
    size = round(127 * math.sqrt(min(abs(speed) / 4, 1)))
    return 128 + size if speed > 0 else 128 - size


@given(st.floats(-6, 6, width=32))
def test_the_code_of_any_speed(speed: float) -> None:
    # One pixel of a grid one pixel wide, in one second: the speed itself.
    codes = to_planes(np.full((1, 1, 2), (speed, -speed), np.float32), 1.0, "squash")
    root = 127 * math.sqrt(min(abs(speed) / 4, 1))
    near_half = abs(root % 1 - 0.5) < 1e-4  # where float32 may round the other way
    assert (codes[0] == codes[0, 0, 0]).all()
    assert abs(int(codes[0, 0, 0]) - expected_code(speed)) <= near_half
    assert int(codes[0, 0, 0]) + int(codes[1, 0, 0]) == 256
    assert codes.min() >= 1 and codes.max() <= 255


def test_every_code_means_its_formula_and_comes_back() -> None:
    planes = np.zeros((255, 2, PLANE, PLANE), np.uint8)
    planes[:] = np.arange(1, 256)[:, None, None, None]
    speeds = from_planes(planes)
    assert speeds.shape == planes.shape and speeds.dtype == np.float32
    for code, frame in zip(range(1, 256), speeds, strict=True):
        meant = math.copysign(((code - 128) / 127) ** 2 * 4, code - 128)
        assert np.allclose(frame, meant, rtol=1e-6, atol=0)
        assert (to_planes(frame.transpose(1, 2, 0) * PLANE, 1.0, "squash") == code).all()


def test_code_0_means_what_1_does() -> None:
    assert (from_planes(np.zeros((2, PLANE, PLANE), np.uint8)) == -FULL_SCALE).all()


@pytest.mark.parametrize("mode", MODES)
def test_still_frames_are_exactly_128_after_the_jpeg(mode: Geometry) -> None:
    planes = decode_flow(encode_flow(to_planes(uniform(0, 0), 0.04, mode)))
    assert planes.shape == (2, PLANE, PLANE) and planes.dtype == np.uint8
    assert (planes == 128).all()
    assert not from_planes(planes).any()


def test_speed_is_in_frame_widths_per_second_on_both_axes() -> None:
    # 6.4 px of 640 in 1/25 s is 0.25 widths per second, whatever the height.
    for height in (360, 480):
        speeds = from_planes(to_planes(uniform(6.4, -6.4, height, 640), 1 / 25, "squash"))
        assert np.abs(speeds[0] - 0.25).max() < 0.01 and np.abs(speeds[1] + 0.25).max() < 0.01
        assert mean_speed(uniform(6.4, -6.4, height, 640), 1 / 25) == pytest.approx(0.25 * math.sqrt(2), rel=1e-5)


def test_working_size_does_not_matter() -> None:
    assert np.array_equal(
        to_planes(uniform(3, 2, 36, 64), 0.1, "squash"), to_planes(uniform(6, 4, 72, 128), 0.1, "squash")
    )


def test_twice_the_time_is_half_the_speed() -> None:
    flow = uniform(2, -1)
    fast, slow = (from_planes(to_planes(flow, dt_s, "squash")) for dt_s in (0.1, 0.2))
    assert np.allclose(slow, fast / 2, rtol=0.05) and fast[0, 0, 0] > 0.3
    assert mean_speed(flow, 0.2) == pytest.approx(mean_speed(flow, 0.1) / 2)
    # The scale is fixed: a frame that moves slower throughout does not look the same.
    assert (flow_image(to_planes(flow, 0.1, "squash")[None], "uvm")[0, 2] > 70).all()
    assert (flow_image(to_planes(flow, 0.2, "squash")[None], "uvm")[0, 2] < 70).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(36, 64), (37, 65), (360, 640)])
def test_mirroring_negates_u(mode: Geometry, shape: tuple[int, int]) -> None:
    flow = np.random.default_rng(0).normal(0, 2, (*shape, 2)).astype(np.float32)
    planes = to_planes(flow, 0.04, mode, pixel_aspect=1.1).astype(int)
    mirrored = to_planes(flow[:, ::-1] * np.array([-1, 1], np.float32), 0.04, mode, pixel_aspect=1.1).astype(int)
    expected = np.stack([256 - planes[0, :, ::-1], planes[1, :, ::-1]])
    # Sums run the other way round: float32's last bits may tip a rounding, and the square root enlarges them near rest.
    assert np.abs(mirrored - expected).max() <= 1
    assert (mirrored != expected).mean() < 0.001
    assert planes.std() > 5


@pytest.mark.parametrize("mode", MODES)
def test_motion_is_that_of_the_picture_as_it_is_shown(mode: Geometry) -> None:
    # A diagonal on the screen, on grids of 60 rows whose pixels are 1, 2 and 64/45 as wide as high.
    shown = 6.0
    for aspect in (1.0, 2.0, 64 / 45):
        flow = uniform(shown / aspect, shown, 60, round(120 / aspect))
        u, v = from_planes(to_planes(flow, 0.5, mode, aspect))[:, 112, 112]
        assert (u, v) == pytest.approx((0.1, 0.1), rel=0.05)
        assert mean_speed(flow, 0.5, aspect) == pytest.approx(0.1 * math.sqrt(2), rel=0.01)


def test_pixel_aspect_reaches_the_geometry() -> None:
    planes = to_planes(uniform(1, 1, 60, 120), 0.04, "letterbox", pixel_aspect=0.5)
    assert (planes > 128).all()  # shown as 60 x 60: nothing to pad
    assert (to_planes(uniform(1, 1, 60, 120), 0.04, "letterbox")[:, :56] == 128).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_flow_that_is_not_finite_is_refused_wherever_it_is(mode: Geometry, value: float) -> None:
    flow = uniform(1, 1)
    flow[0, 0, 1] = value
    with pytest.raises(ValueError, match="not finite"):
        to_planes(flow, 0.04, mode)
    with pytest.raises(ValueError, match="not finite"):
        mean_speed(flow, 0.04)


@pytest.mark.parametrize("dt_s", [0.0, -0.04, math.nan, math.inf])
def test_a_step_without_duration_is_refused(dt_s: float) -> None:
    with pytest.raises(ValueError, match="dt_s"):
        to_planes(uniform(1, 1), dt_s, "squash")
    with pytest.raises(ValueError, match="dt_s"):
        mean_speed(uniform(1, 1), dt_s)


def test_smooth_flow_survives_the_jpeg_within_3_codes() -> None:
    rows, columns = np.mgrid[:360, :640].astype(np.float32)
    flow = np.stack([8 * np.sin(columns / 90) + 12, 5 * np.cos(rows / 70) + 9], axis=-1)
    planes = to_planes(flow, 0.04, "squash")
    error = np.abs(decode_flow(encode_flow(planes)).astype(int) - planes)
    assert planes.std() > 5
    assert error.max() <= 3 and error.mean() < 0.6


def test_the_planes_do_not_touch_each_other_in_the_jpeg() -> None:
    planes = np.full((2, PLANE, PLANE), 128, np.uint8)
    planes[0] = cv2.cvtColor(texture(PLANE, PLANE, 2), cv2.COLOR_RGB2GRAY)
    stored = decode_flow(encode_flow(planes))
    assert stored[0].std() > 10 and (stored[1] == 128).all()
    swapped = decode_flow(encode_flow(planes[::-1].copy()))
    assert np.array_equal(swapped[::-1], stored)


def test_dis_flow_of_a_noisy_scene_takes_at_most_6_kib() -> None:
    estimator = Dis(640)
    frames = [estimator.prepare(scene(step)) for step in range(4)]
    for previous, current in itertools.pairwise(frames):
        planes = to_planes(estimator.flow(previous, current), 1 / 25, "squash")
        data = encode_flow(planes)
        assert 1600 < len(data) <= 6144
        error = np.abs(decode_flow(data).astype(int) - planes)
        assert error.mean() < 0.5 and error.max() <= 12


def colour_jpeg() -> bytes:
    return cv2.imencode(".jpg", texture(2 * PLANE, PLANE, 3))[1].tobytes()


def small_jpeg() -> bytes:
    return cv2.imencode(".jpg", np.zeros((PLANE, PLANE), np.uint8))[1].tobytes()


def png() -> bytes:
    return cv2.imencode(".png", np.zeros((2 * PLANE, PLANE), np.uint8))[1].tobytes()


def truncated(by: int) -> bytes:
    return encode_flow(to_planes(uniform(1, 2), 0.04, "squash"))[:-by]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8\xff\xd9", b"not a picture", colour_jpeg(), small_jpeg(), png(), truncated(1), truncated(700)],
    ids=["empty", "ends-only", "text", "colour", "small", "png", "one-byte-short", "half"],
)
def test_bytes_that_are_no_stored_flow_are_reported(data: bytes) -> None:
    with pytest.raises(StoreDamagedError, match=r"cannot be decoded.*448 rows by 224 columns.*Ingest"):
        decode_flow(data)


def test_what_is_stored_is_one_grey_jpeg_of_u_above_v() -> None:
    data = encode_flow(to_planes(uniform(4, -4), 0.04, "squash"))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.shape == (448, 224)
    assert (image[:224] > 128).all() and (image[224:] < 128).all()


def test_planes_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="planes are uint8"):
        encode_flow(np.zeros((PLANE, PLANE), np.uint8))
    with pytest.raises(ValueError, match="planes are uint8"):
        flow_image(np.zeros((2, PLANE, PLANE), np.uint8), "uvm")
    with pytest.raises(ValueError, match="uvm or wheel"):
        flow_image(np.zeros((1, 2, PLANE, PLANE), np.uint8), "hsv")  # type: ignore[arg-type]


def test_uvm_is_both_codes_and_the_magnitude() -> None:
    planes = every_pair()
    images = flow_image(planes, "uvm")
    assert images.shape == (2, 3, PLANE, PLANE) and images.dtype == np.uint8
    assert np.array_equal(images[:, :2], planes)
    u, v = from_planes(planes).astype(np.float64).transpose(1, 0, 2, 3)
    expected = 255 * np.sqrt(np.minimum(np.sqrt(u**2 + v**2) / 4, 1))
    assert np.abs(images[:, 2] - expected).max() <= 0.5 + 1e-6


def test_the_wheel_is_the_published_one() -> None:
    # torchvision has the program of Baker et al., but scales each image by its largest vector: give it vectors whose
    # lengths are already the saturations, the largest of which is 1.
    planes = every_pair()
    u, v = from_planes(planes).astype(np.float64).transpose(1, 0, 2, 3)
    length = np.hypot(u, v)
    saturation = np.sqrt(np.minimum(length / FULL_SCALE, 1))
    scale = np.divide(saturation, length, out=np.zeros_like(length), where=length > 0)
    vectors = torch.from_numpy(np.stack([u * scale, v * scale], axis=1)).float()
    published = flow_to_image(vectors).numpy().astype(int)
    # It rounds down twice, the wheel's hues and then the pixel; we round once, to the nearest.
    assert np.abs(flow_image(planes, "wheel").astype(int) - published).max() <= 2


@pytest.mark.parametrize(
    ("u", "v", "strongest"),
    [(255, 128, 0), (1, 128, 2), (128, 255, 0), (128, 1, 2)],
    ids=["right", "left", "down", "up"],
)
def test_the_wheel_tells_directions_apart_and_rest_is_white(u: int, v: int, strongest: int) -> None:
    planes = np.full((1, 2, PLANE, PLANE), 128, np.uint8)
    planes[0, 0, 0, 0], planes[0, 1, 0, 0] = u, v
    image = flow_image(planes, "wheel")[0]
    assert (image[:, 1:] == 255).all()
    assert image[strongest, 0, 0] == image[:, 0, 0].max() and image[:, 0, 0].min() < 128
    half = planes.copy()
    half[0, :, 0, 0] = (half[0, :, 0, 0].astype(int) + 128) // 2
    assert (flow_image(half, "wheel")[0, :, 0, 0] >= image[:, 0, 0]).all()  # slower is paler


@pytest.mark.parametrize("kind", KINDS)
def test_frames_do_not_change_each_others_image(kind: FlowImage) -> None:
    planes = np.random.default_rng(1).integers(0, 256, (3, 2, PLANE, PLANE), np.uint8)
    images = flow_image(planes, kind)
    for number in range(3):
        assert np.array_equal(images[number], flow_image(planes[number : number + 1], kind)[0])
    assert flow_image(planes[:0], kind).shape == (0, 3, PLANE, PLANE)


def test_the_flow_of_the_mirrored_video_is_the_mirrored_flow() -> None:
    """Where flow is exact; and through DIS and the JPEG, nearly."""
    random = np.random.default_rng(3)
    flow = random.normal(size=(36, 64, 2)).astype(np.float32)
    backwards = np.ascontiguousarray(flow[:, ::-1]) * np.array([-1, 1], np.float32)
    apart = mirrored(to_planes(flow, 0.04, "squash")).astype(int) - to_planes(backwards, 0.04, "squash")
    assert np.abs(apart).max() <= 1 and np.abs(apart).mean() < 1e-3  # resizing rounds from the left
    frames = [np.ascontiguousarray(scene(0)), np.ascontiguousarray(scene(3))]
    found = []
    for pair in (frames, [np.ascontiguousarray(frame[:, ::-1]) for frame in frames]):
        dis = Dis(640)
        flows = dis.flow(*(dis.prepare(frame) for frame in pair))
        found.append(decode_flow(encode_flow(to_planes(flows, 0.04, "squash"))))
    speeds = from_planes(mirrored(found[0])), from_planes(found[1])
    assert np.abs(speeds[0] - speeds[1]).mean() < 0.1 * np.abs(speeds[0]).mean()


def test_mirroring_twice_changes_nothing_but_the_code_that_means_the_same() -> None:
    planes = np.random.default_rng(4).integers(0, 256, (2, 2, PLANE, PLANE), np.uint8)
    before = planes.copy()
    twice = mirrored(mirrored(planes))
    np.testing.assert_array_equal(from_planes(twice), from_planes(planes))
    np.testing.assert_array_equal(planes, before)
