"""The one geometry of frames and flow."""

import subprocess
import sys
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vimoclip.config.store import Geometry
from vimoclip.video.resize import Box, plane_box, resize_flow, resize_frames

MODES: tuple[Geometry, ...] = get_args(Geometry)
SIDES = st.integers(1, 4000)
ASPECTS = st.floats(0.25, 4)


def random_frames(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(7)
    )


@pytest.mark.parametrize(
    ("mode", "source", "plane"),
    [
        ("squash", Box(0, 0, 640, 360), Box(0, 0, 224, 224)),
        ("crop", Box(140, 0, 360, 360), Box(0, 0, 224, 224)),
        ("letterbox", Box(0, 0, 640, 360), Box(0, 49, 224, 126)),
    ],
)
def test_the_boxes_of_a_16_by_9_frame(mode: Geometry, source: Box, plane: Box) -> None:
    assert plane_box(640, 360, 1.0, mode, 224) == (source, plane)


def test_pixel_aspect_is_undone_by_crop_and_letterbox_and_ignored_by_squash() -> None:
    # 720 x 576 with pixels of 16:15 is shown as 768 x 576, which is 4:3.
    assert plane_box(720, 576, 16 / 15, "crop", 224)[0] == Box(90, 0, 540, 576)
    assert plane_box(720, 576, 16 / 15, "letterbox", 224)[1] == Box(0, 28, 224, 168)
    assert plane_box(720, 576, 16 / 15, "squash", 224) == plane_box(720, 576, 1.0, "squash", 224)


@given(width=SIDES, height=SIDES, aspect=ASPECTS, mode=st.sampled_from(MODES), size=st.integers(1, 448))
def test_boxes_lie_inside_and_are_centred(width: int, height: int, aspect: float, mode: Geometry, size: int) -> None:
    boxes = plane_box(width, height, aspect, mode, size)
    for box, (outer_width, outer_height) in zip(boxes, [(width, height), (size, size)], strict=True):
        assert box.width >= 1 and box.height >= 1
        assert box.left >= 0 and box.left * 2 + box.width == outer_width
        assert box.top >= 0 and box.top * 2 + box.height == outer_height


@given(width=SIDES, height=SIDES, aspect=ASPECTS, size=st.integers(16, 448))
def test_crop_takes_a_square_and_letterbox_keeps_the_aspect(width: int, height: int, aspect: float, size: int) -> None:
    # Centring moves a side by up to 1 px, and a side of a very long frame is never less than 1 or 2 px.
    square = plane_box(width, height, aspect, "crop", size)[0]
    side = min(width * aspect, height)
    assert abs(square.width - side / aspect) <= 2 and abs(square.height - side) <= 2
    assert square.width == width or square.height == height
    fitted = plane_box(width, height, aspect, "letterbox", size)[1]
    scale = size / max(width * aspect, height)
    assert abs(fitted.width - width * aspect * scale) <= 2 and abs(fitted.height - height * scale) <= 2
    assert size in (fitted.width, fitted.height)


@pytest.mark.parametrize("bad", [(0, 9, 1.0, 224), (9, 0, 1.0, 224), (9, 9, 0.0, 224), (9, 9, 1.0, 0)])
def test_impossible_geometry_is_refused(bad: tuple[int, int, float, int]) -> None:
    width, height, aspect, size = bad
    with pytest.raises(ValueError, match="no geometry"):
        plane_box(width, height, aspect, "squash", size)
    with pytest.raises(ValueError, match="no geometry"):
        plane_box(9, 9, float("nan"), "crop", 224)
    with pytest.raises(ValueError, match="resize is squash"):
        plane_box(9, 9, 1.0, "stretch", 224)  # type: ignore[arg-type]


def test_squash_and_letterbox_see_the_edges_and_crop_does_not() -> None:
    frames = torch.zeros((1, 90, 160, 3), dtype=torch.uint8)
    frames[:, :, :8] = 255  # a white strip at the left, outside the central 90 x 90
    flow = np.zeros((90, 160, 2), np.float32)
    flow[:, :8] = 5
    sees: dict[Geometry, bool] = {"squash": True, "letterbox": True, "crop": False}
    for mode, seen in sees.items():
        assert bool(resize_frames(frames, 64, mode, "bilinear").any()) is seen
        assert bool(resize_flow(flow, 64, mode).any()) is seen


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (20, 36), (301, 40)])
def test_frames_and_flow_land_on_the_same_places(mode: Geometry, shape: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    ramp = np.stack([columns * (250 / shape[1]), rows * (250 / shape[0])], axis=-1)
    frame = torch.from_numpy(np.dstack([ramp, np.zeros(shape, np.float32)]).round().astype(np.uint8))
    picture = resize_frames(frame[None], 64, mode, "bilinear", pixel_aspect=1.25)[0, :2].permute(1, 2, 0).numpy()
    flow = resize_flow(ramp, 64, mode, pixel_aspect=1.25)
    assert np.abs(picture - flow).max() < 250 / min(shape) + 1  # within a pixel of the frame


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_frame_does_not_depend_on_its_batch(mode: Geometry, interpolation: Literal["bicubic", "bilinear"]) -> None:
    frames = random_frames(5, 60, 106)
    together = resize_frames(frames, 224, mode, interpolation)
    alone = torch.cat([resize_frames(frame[None], 224, mode, interpolation) for frame in frames])
    assert together.shape == (5, 3, 224, 224) and together.dtype == torch.uint8
    assert torch.equal(together, alone)


def test_frames_are_antialiased() -> None:
    # Every seventh column white, finer than the result's pixels, must come out an even grey.
    frames = torch.zeros((1, 240, 240, 3), dtype=torch.uint8)
    frames[:, :, ::7] = 255
    grey = resize_frames(frames, 30, "squash", "bicubic")[..., 3:-3].float()
    assert (grey - 255 / 7).abs().max() < 20


def test_padding_has_the_fill_and_no_motion() -> None:
    frames = resize_frames(torch.full((2, 90, 160, 3), 9, dtype=torch.uint8), 224, "letterbox", "bicubic", fill=123)
    assert (frames[:, :, :49] == 123).all() and (frames[:, :, 175:] == 123).all() and (frames[:, :, 49:175] == 9).all()
    flow = resize_flow(np.full((90, 160, 2), 3, np.float32), 224, "letterbox")
    assert not flow[:49].any() and not flow[175:].any() and np.allclose(flow[49:175], 3)


def test_no_frames_give_no_frames() -> None:
    assert resize_frames(random_frames(0, 20, 30), 224, "squash", "bicubic").shape == (0, 3, 224, 224)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(361, 640), (20, 36), (300, 40), (224, 224)])
def test_uniform_flow_stays_as_it_is(mode: Geometry, shape: tuple[int, int]) -> None:
    flow = np.full((*shape, 2), (1.5, -2.25), np.float32)
    resized = resize_flow(flow, 224, mode)
    assert resized.shape == (224, 224, 2) and resized.dtype == np.float32
    moving = resized[resized.any(-1)]
    assert len(moving) > 0 and np.allclose(moving, [1.5, -2.25], atol=1e-5)


def test_flow_that_shrinks_along_one_side_only_is_averaged_there() -> None:
    flow = np.zeros((100, 896, 2), np.float32)
    flow[:, ::4] = 4
    assert np.allclose(resize_flow(flow, 224, "squash"), 1, atol=1e-5)


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="frames are uint8"):
        resize_frames(torch.zeros((1, 9, 9, 3)), 224, "squash", "bicubic")
    with pytest.raises(ValueError, match="frames are uint8"):
        resize_frames(torch.zeros((1, 3, 9, 9), dtype=torch.uint8), 224, "squash", "bicubic")
    with pytest.raises(ValueError, match="flow is float32"):
        resize_flow(np.zeros((9, 9, 3), np.float32), 224, "squash")
    with pytest.raises(ValueError, match="flow is float32"):
        resize_flow(np.zeros((9, 9, 2)), 224, "squash")  # type: ignore[arg-type]


def test_flow_alone_does_not_import_torch() -> None:
    code = "import sys, vimoclip.flow.encoding, vimoclip.flow.dis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
