"""From flow to bytes, and from bytes to the image that the motion student sees. No other module does either.

    flow, px per step ── to_planes ─▶ codes ── encode ─▶ JPEG ── decode ─▶ codes ── flow_image ─▶ what the student sees

Speeds are in frame widths per second, u to the right and v down, and are coded on a fixed scale, the same for all
frames and videos: code = 128 + round(127 · sign(x) · sqrt(min(|x| / FULL_SCALE, 1))). Rest is exactly 128, and stays so
through the JPEG. The square root spends the codes where animals' motion is: 129 means 0.00025 frame widths per second,
and 254 means 3.94.

Training and serving both go through the JPEG, so that a student never meets an image unlike those it was trained on.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vimoclip.config.store import FlowImage, Geometry
from vimoclip.errors import StoreDamagedError
from vimoclip.video.resize import resize_flow

PLANE = 224
"""Pixels a side of a stored plane."""

FULL_SCALE = 4.0
"""Frame widths per second at which a code saturates."""

JPEG_QUALITY = 85
"""The highest multiple of 5 at which DIS flow of real video stays within 6 KiB per frame, except in a moving camera's
busiest frames: half of all frames take less than 2.5 KB, and 95% less than 5.6 KB. It moves codes by 0.2 on average,
and by up to 12 where bodies meet the background."""

REST = 128
"""The code of no motion."""

_STEPS = 127

_WHEEL = (("R", "Y", 15), ("Y", "G", 6), ("G", "C", 4), ("C", "B", 11), ("B", "M", 13), ("M", "R", 6))
_HUES = {"R": (1, 0, 0), "Y": (1, 1, 0), "G": (0, 1, 0), "C": (0, 1, 1), "B": (0, 0, 1), "M": (1, 0, 1)}


def to_planes(flow: NDArray[np.float32], dt_s: float, resize: Geometry, pixel_aspect: float = 1.0) -> NDArray[np.uint8]:
    """The codes of one frame's flow.

    Motion is that of the picture as it is shown: where pixels are not square, v is not what the grid says.

    Args:
        flow: float32 (h, w, 2), pixels of its own grid per step.
        dt_s: seconds between the two frames.
        resize: the geometry of the frame itself; see vimoclip/video/resize.py.
        pixel_aspect: width / height of one pixel.

    Returns:
        uint8 (2, 224, 224) in 1..255: the planes of u and v.

    Raises:
        ValueError: flow of another shape or dtype, or not finite; dt_s not positive.
    """
    _check_step(dt_s)
    if not np.isfinite(flow).all():
        raise ValueError("flow is not finite")
    pixels = resize_flow(flow, PLANE, resize, pixel_aspect)
    width = flow.shape[1] * dt_s  # frame widths per second from pixels per step; a row is 1 / aspect columns high
    return _codes(pixels.transpose(2, 0, 1) / np.array([width, width * pixel_aspect], np.float32)[:, None, None])


def _codes(speeds: NDArray[np.float32]) -> NDArray[np.uint8]:
    # The code itself: frame widths per second, any shape, to uint8 of the same shape.
    codes = np.abs(speeds, order="C")
    codes *= np.float32(1 / FULL_SCALE)
    np.minimum(codes, 1, out=codes)
    np.sqrt(codes, out=codes)
    codes *= _STEPS
    np.copysign(codes, speeds, out=codes)
    np.rint(codes, out=codes)
    codes += REST
    return codes.astype(np.uint8)


def from_planes(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The inverse of the code.

    Args:
        planes: uint8 (..., 2, 224, 224). Code 0, which only a JPEG's rounding can make, means the same as 1.

    Returns:
        float32 of the same shape, frame widths per second.
    """
    return _speeds()[planes]


@functools.cache
def _speeds() -> NDArray[np.float32]:
    root = np.clip((np.arange(256) - REST) / _STEPS, -1, 1)
    return (FULL_SCALE * np.sign(root) * root**2).astype(np.float32)


def encode_flow(planes: NDArray[np.uint8]) -> bytes:
    """Encode planes as one grey JPEG of 448 rows by 224 columns, u above v.

    Args:
        planes: uint8 (2, 224, 224).

    Raises:
        ValueError: planes of another shape or dtype.
    """
    if planes.dtype != np.uint8 or planes.shape != (2, PLANE, PLANE):
        raise ValueError(f"planes are uint8 (2, {PLANE}, {PLANE}), not {planes.dtype} {planes.shape}")
    done, data = cv2.imencode(".jpg", planes.reshape(2 * PLANE, PLANE), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not write a JPEG")
    return data.tobytes()


def decode_flow(data: bytes) -> NDArray[np.uint8]:
    """Decode what `encode_flow` made, as near as JPEG keeps it.

    Returns:
        Codes, uint8 (2, 224, 224).

    Raises:
        StoreDamagedError: the bytes are not a whole grey JPEG of that size. A JPEG does not carry a checksum, so damage
            in its middle may pass.
    """
    image = None
    # OpenCV reads any format it knows, raises on empty bytes, and refuses a truncated JPEG by itself.
    if data.startswith(b"\xff\xd8"):
        with contextlib.suppress(cv2.error):  # a header that promises an image of gigabytes
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.shape != (2 * PLANE, PLANE) or image.dtype != np.uint8:
        raise StoreDamagedError(
            "Stored flow cannot be decoded.",
            received=f"{len(data)} bytes" if image is None else f"an image of shape {image.shape}",
            expected=f"one grey JPEG of {2 * PLANE} rows by {PLANE} columns",
            hint="Ingest the video again.",
        )
    return np.asarray(image, np.uint8).reshape(2, PLANE, PLANE)


def decode_flows(data: Sequence[bytes]) -> NDArray[np.uint8]:
    """Decode the flow of several frames, side by side on OpenCV's number of threads; see `decode_flow`.

    Returns:
        Codes, uint8 (N, 2, 224, 224).

    Raises:
        StoreDamagedError: one of them is damaged.
    """
    return np.stack(list(_side_by_side(decode_flow, data)))


Item = TypeVar("Item")
Made = TypeVar("Made")

_FEW = 8  # frames, which are not worth handing to threads


def _side_by_side(function: Callable[[Item], Made], items: Sequence[Item]) -> Iterable[Made]:
    threads = cv2.getNumThreads()
    return map(function, items) if threads < 2 or len(items) < _FEW else _pool(threads).map(function, items)


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # OpenCV and numpy let go of Python's lock in what these threads do.
    return ThreadPoolExecutor(threads, "vimoclip-flow")


def mirrored(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The codes of the video mirrored left to right: what moved right moves left.

    Args:
        planes: uint8 (..., 2, 224, 224).

    Returns:
        A copy of the same shape and dtype.
    """
    found = np.ascontiguousarray(planes[..., ::-1])
    u = found[..., 0, :, :]
    np.maximum(u, 1, out=u)  # code 0 means what 1 does
    np.negative(u, out=u)  # 256 − u, because bytes wrap around; REST is half of 256
    return found


def flow_image(planes: NDArray[np.uint8], kind: FlowImage) -> NDArray[np.uint8]:
    """The images that the student sees.

    Args:
        planes: codes, uint8 (N, 2, 224, 224).
        kind: `uvm`: the codes of u and v, and |f| as round(255 · sqrt(min(|f| / FULL_SCALE, 1))). `wheel`: the colour
            wheel of Baker et al. (2007): hue is direction, and saturation is |f| on that same scale, so rest is white,
            and frames are not normalised by their own fastest motion.

    Returns:
        uint8 (N, 3, 224, 224).

    Raises:
        ValueError: planes of another shape or dtype, or an unknown kind.
    """
    if planes.dtype != np.uint8 or planes.ndim != 4 or planes.shape[1:] != (2, PLANE, PLANE):
        raise ValueError(f"planes are uint8 (N, 2, {PLANE}, {PLANE}), not {planes.dtype} {planes.shape}")
    colours = _colours(kind)
    images = np.empty((len(planes), 3, PLANE, PLANE), np.uint8)

    def colour_frame(frame: int) -> None:
        u, v = planes[frame]
        pairs = u.astype(np.intp)
        pairs <<= 8
        pairs |= v
        for channel, colour in zip(images[frame], colours, strict=True):
            # In range by construction; `clip` spares numpy the buffer that `raise` needs.
            np.take(colour, pairs, out=channel, mode="clip")

    for _ in _side_by_side(colour_frame, range(len(planes))):
        pass
    return images


@functools.cache
def _colours(kind: FlowImage) -> NDArray[np.uint8]:
    # The three channels for every pair of codes (u, v), uint8 (3, 65536), at index 256 · u + v.
    u, v = np.meshgrid(_speeds().astype(np.float64), _speeds().astype(np.float64), indexing="ij")
    magnitude = np.sqrt(np.minimum(np.hypot(u, v) / FULL_SCALE, 1))
    match kind:
        case "uvm":
            codes = np.arange(256)
            channels = [*np.meshgrid(codes, codes, indexing="ij"), 255 * magnitude]
        case "wheel":
            hues = _wheel()
            # The published program runs its 55 hues from straight right, clockwise, without closing the circle.
            place = (np.arctan2(-v, -u) / math.pi + 1) / 2 * (len(hues) - 1)
            first = place.astype(np.intp)
            between = (place - first)[..., None]
            hue = (1 - between) * hues[first] + between * hues[(first + 1) % len(hues)]
            channels = [255 * (1 - magnitude * (1 - hue[..., channel])) for channel in range(3)]
        case _:
            raise ValueError(f"a flow image is uvm or wheel, not {kind!r}")
    return np.stack([np.rint(channel).astype(np.uint8).ravel() for channel in channels])


def _wheel() -> NDArray[np.float64]:
    # The hues of Baker et al., float64 (55, 3) in 0..1: from corner to corner of the colour cube, in _WHEEL's steps.
    stretches = []
    for start, end, steps in _WHEEL:
        part = (np.arange(steps) / steps)[:, None]
        stretches.append((1 - part) * np.array(_HUES[start]) + part * np.array(_HUES[end]))
    return np.concatenate(stretches)


def mean_speed(flow: NDArray[np.float32], dt_s: float, pixel_aspect: float = 1.0) -> float:
    """The mean of |f| over a frame, in frame widths per second.

    Args:
        flow: float32 (h, w, 2), pixels of its own grid per step.
        dt_s: seconds between the two frames.
        pixel_aspect: width / height of one pixel.

    Raises:
        ValueError: flow is not finite; dt_s not positive.
    """
    _check_step(dt_s)
    u, v = flow[..., 0], flow[..., 1]
    mean = float(np.sqrt(u * u + v * v * np.float32(pixel_aspect**-2)).mean(dtype=np.float64))
    if not math.isfinite(mean):
        raise ValueError("flow is not finite")
    return mean / (int(flow.shape[1]) * dt_s)


def _check_step(dt_s: float) -> None:
    if not (math.isfinite(dt_s) and dt_s > 0):
        raise ValueError(f"dt_s is a finite number of seconds above 0, not {dt_s}")
