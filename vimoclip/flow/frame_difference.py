"""A cheap stand-in for optical flow: how much each pixel's grey changed. It is not displacement.

u is the signed change of grey and v is 0. It shows where and when something happened, but not its direction: an animal
brighter than its background has positive u ahead of it and negative u behind it, whichever way it walks, and a lamp
switched on looks like motion everywhere. It is for tests, baselines, and machines that cannot afford more.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from vimoclip.flow.encoding import FULL_SCALE
from vimoclip.flow.estimator import FlowEstimator, working_size

FULL_CHANGE = FULL_SCALE / 25
"""Frame widths that a change from black to white counts as. At 25 frames per second it is then `FULL_SCALE`, the
largest value that can be stored."""


class FrameDifference(FlowEstimator[NDArray[np.uint8]]):
    """Difference of grey frames. See `FlowEstimator` for its methods.

    A prepared frame is uint8 (h, w), `working_size` large. The flow's u is (current - previous) / 255, times
    `FULL_CHANGE` working widths, and its v is 0.

    Args:
        max_width: pixels; wider frames are scaled down to it.
    """

    def __init__(self, max_width: int) -> None:
        self._max_width = max_width

    def prepare(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `FlowEstimator.prepare`."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
            raise ValueError(f"a frame is uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
        height, width, _ = frame.shape
        size = working_size(width, height, self._max_width)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if size != (width, height):
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return np.asarray(grey, np.uint8)

    def flow(self, previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `FlowEstimator.flow`; here the vectors are (grey change, 0)."""
        if previous.shape != current.shape:
            raise ValueError(f"two frames of one size, not {previous.shape} and {current.shape}")
        height, width = previous.shape
        flow = np.zeros((height, width, 2), np.float32)
        np.subtract(current, previous, out=flow[..., 0], dtype=np.float32)
        flow[..., 0] *= width * FULL_CHANGE / 255
        return flow
