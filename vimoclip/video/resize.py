"""One geometry for frames and flow, so that a motion vector lies on the pixels that moved.

- `squash`: the whole frame, stretched to the square.
- `crop`: the central square at full scale; what lies beyond it is lost.
- `letterbox`: the whole frame at its own aspect, centred, with padding beside it.

The aspect is that of the displayed picture: `pixel_aspect` is the width of one pixel over its height. `squash` ignores
it.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vimoclip.config.store import Geometry

if TYPE_CHECKING:
    import torch


class Box(NamedTuple):
    """A rectangle of whole pixels."""

    left: int
    top: int
    width: int
    height: int


def plane_box(width: int, height: int, pixel_aspect: float, mode: Geometry, size: int) -> tuple[Box, Box]:
    """Which part of a frame is taken, and where it goes on the square plane.

    Both boxes lie inside their planes, are at least 1 px a side and exactly centred; for that, the side that `crop` and
    `letterbox` shorten may be off the true aspect by up to 1 px.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        pixel_aspect: width / height of one pixel.
        mode: the geometry.
        size: side of the plane, pixels.

    Returns:
        The box of the frame, and the box of the plane.

    Raises:
        ValueError: a length or the aspect is not positive, or the mode is unknown.
    """
    if min(width, height, size) < 1 or not 0 < pixel_aspect < float("inf"):
        raise ValueError(f"no geometry for {width} x {height} px of aspect {pixel_aspect} on a plane of {size} px")
    source, plane = Box(0, 0, width, height), Box(0, 0, size, size)
    shown_width = width * pixel_aspect
    match mode:
        case "squash":
            return source, plane
        case "crop":
            side = min(shown_width, height)
            return _centred(width, height, side / pixel_aspect, side), plane
        case "letterbox":
            scale = size / max(shown_width, height)
            return source, _centred(size, size, shown_width * scale, height * scale)
    raise ValueError(f"resize is squash, crop or letterbox, not {mode!r}")


def _centred(width: int, height: int, inner_width: float, inner_height: float) -> Box:
    # Equal margins on both sides, so that mirroring a frame mirrors what is taken of it.
    left = min(round((width - inner_width) / 2), (width - 1) // 2)
    top = min(round((height - inner_height) / 2), (height - 1) // 2)
    return Box(left, top, width - 2 * left, height - 2 * top)


def resize_frames(
    frames: "torch.Tensor",
    size: int,
    mode: Geometry,
    interpolation: Literal["bicubic", "bilinear"],
    pixel_aspect: float = 1.0,
    fill: int = 0,
) -> "torch.Tensor":
    """Resize frames to CLIP's square, antialiased, on the frames' device.

    A frame's result does not depend on the other frames of its batch.

    Args:
        frames: uint8 (N, H, W, 3).
        size: side of the square, pixels.
        mode: the geometry.
        interpolation: of the resampling.
        pixel_aspect: width / height of one pixel.
        fill: grey of letterbox's padding, 0 to 255.

    Returns:
        uint8 (N, 3, size, size). It may be channels-last in memory, and may share memory with `frames` when nothing has
        to be resized.

    Raises:
        ValueError: frames of another shape or dtype.
    """
    # Here, because processes that only compute flow need resize_flow and not the seconds torch takes to import.
    import torch
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as transforms

    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames are uint8 (N, H, W, 3), not {frames.dtype} {tuple(frames.shape)}")
    count, height, width, _ = frames.shape
    source, plane = plane_box(width, height, pixel_aspect, mode, size)
    if count == 0:
        return frames.new_empty((0, 3, size, size))
    taken = frames[:, source.top : source.top + source.height, source.left : source.left + source.width]
    resized: torch.Tensor = transforms.resize(
        taken.permute(0, 3, 1, 2),
        [plane.height, plane.width],
        interpolation=InterpolationMode(interpolation),
        antialias=True,
    )
    if (plane.width, plane.height) == (size, size):
        return resized
    padded = frames.new_full((count, 3, size, size), fill)
    padded[:, :, plane.top : plane.top + plane.height, plane.left : plane.left + plane.width] = resized
    return padded


def resize_flow(flow: NDArray[np.float32], size: int, mode: Geometry, pixel_aspect: float = 1.0) -> NDArray[np.float32]:
    """Resize flow to the same square as its frame. Padding has no motion.

    Vectors move to their new places and are averaged where the flow shrinks; they stay in pixels of the h x w grid.

    Args:
        flow: float32 (h, w, 2).
        size: side of the square, pixels.
        mode: the geometry.
        pixel_aspect: width / height of one pixel.

    Returns:
        float32 (size, size, 2).

    Raises:
        ValueError: flow of another shape or dtype.
    """
    if flow.dtype != np.float32 or flow.ndim != 3 or flow.shape[-1] != 2:
        raise ValueError(f"flow is float32 (h, w, 2), not {flow.dtype} {flow.shape}")
    height, width, _ = flow.shape
    source, plane = plane_box(width, height, pixel_aspect, mode, size)
    resized = flow[source.top : source.top + source.height, source.left : source.left + source.width]
    # Shrink, then grow: given both at once, INTER_AREA falls back to sampling and aliases along the side that shrinks.
    smaller = (min(source.width, plane.width), min(source.height, plane.height))
    if smaller != (source.width, source.height):
        resized = np.asarray(cv2.resize(resized, smaller, interpolation=cv2.INTER_AREA), np.float32)
    if smaller != (plane.width, plane.height):
        larger = (plane.width, plane.height)
        resized = np.asarray(cv2.resize(resized, larger, interpolation=cv2.INTER_LINEAR), np.float32)
    if (plane.width, plane.height) == (size, size):
        return resized
    padded = np.zeros((size, size, 2), np.float32)
    padded[plane.top : plane.top + plane.height, plane.left : plane.left + plane.width] = resized
    return padded
