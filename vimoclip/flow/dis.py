"""Dense inverse search (Kroeger et al. 2016) as OpenCV has it, preset FAST: optical flow for machines without a GPU.

Motion is searched down to a quarter of the working size: shifts by multiples of 4 px come out exact, shifts of a pixel
or two up to 0.15 px too long or too short on fine texture. Results do not depend on the number of OpenCV's threads
(compared bit for bit at 1 and 2).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from vimoclip.flow.estimator import FlowEstimator, working_size

MIN_LONG_SIDE = 256
"""Pixels. Smaller frames are scaled up to it. Below 91 px OpenCV 5.0 searches other scales in an instance's second call
than in its first, so that one pair has two flows. From 91 to 256 px it is only coarse: scaling up halves its error."""

MIN_SHORT_SIDE = 32
"""Pixels. If the short side is below it and the other side is long, OpenCV 5.0 reads outside its pyramid: it raises,
returns rubbish or crashes."""


class Dis(FlowEstimator[NDArray[np.uint8]]):
    """DIS optical flow on grey frames. See `FlowEstimator` for its methods.

    A prepared frame is uint8 (h, w), `working_size` large, or larger where that is too small for DIS (MIN_LONG_SIDE and
    MIN_SHORT_SIDE).

    Args:
        max_width: pixels; wider frames are scaled down to it.
    """

    def __init__(self, max_width: int) -> None:
        self._max_width = max_width
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def prepare(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `FlowEstimator.prepare`."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
            raise ValueError(f"a frame is uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
        height, width, _ = frame.shape
        size = _large_enough(*working_size(width, height, self._max_width))
        # Grey first: one plane is cheaper to scale than three.
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if size != (width, height):
            shrinks = size[0] < width
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(grey, np.uint8)

    def flow(self, previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `FlowEstimator.flow`."""
        if previous.shape != current.shape:
            raise ValueError(f"two frames of one size, not {previous.shape} and {current.shape}")
        # None, because a flow passed in would be where the search starts.
        return np.asarray(self._dis.calc(previous, current, None), np.float32)  # type: ignore[call-overload]


def _large_enough(width: int, height: int) -> tuple[int, int]:
    scale = max(MIN_LONG_SIDE / max(width, height), MIN_SHORT_SIDE / min(width, height))
    return (width, height) if scale <= 1 else (round(width * scale), round(height * scale))
