"""Optical flow between two consecutive frames: the protocol every estimator keeps, and how one is chosen.

An estimator prepares each frame once and is then given pairs of prepared frames, so that a frame is scaled down once
although it takes part in two pairs. The prepared frame's grid is the working size, and flow is in pixels of that grid;
`encoding` turns it into frame widths per second, in which working sizes no longer differ.
"""

from typing import Protocol, assert_never

import numpy as np

from vimoclip.config import FlowConfig

MIN_SIDE = 8
"""Pixels. No estimator works on less."""


class FlowEstimator(Protocol):
    """What computes optical flow. An instance is used by one thread at a time."""

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        """What to keep of one uint8 (H, W, 3) RGB frame, at the working size.

        Raises:
            ValueError: a frame of another shape or dtype, or one with a side under `MIN_SIDE`.
        """
        ...

    def flow(self, previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        """Motion from one prepared frame to the next: float32 (h, w, 2), on the grid of `previous`.

        The last axis is u to the right and v down, in pixels of the working size per frame step. A pair gives the same
        flow whatever was computed before it.

        Raises:
            ValueError: the two frames differ in size.
        """
        ...


def make_estimator(config: FlowConfig) -> FlowEstimator:
    """The estimator that `config` names. Only its own module is imported."""
    match config.estimator:
        case "dis":
            from vimoclip.flow.dis import Dis

            return Dis(config.max_width)
        case "frame-difference":
            from vimoclip.flow.frame_difference import FrameDifference

            return FrameDifference(config.max_width)
        case _:
            assert_never(config.estimator)


def working_size(width: int, height: int, max_width: int) -> tuple[int, int]:
    """The (width, height) at which flow is computed: a frame wider than `max_width` is scaled down to it, aspect kept.

    Never scaled up, except that a very flat frame's height stays at `MIN_SIDE` rather than round to less.

    Raises:
        ValueError: a side under `MIN_SIDE`.
    """
    if min(width, height, max_width) < MIN_SIDE:
        raise ValueError(f"flow needs {MIN_SIDE} px a side, not {width} x {height} at up to {max_width} px wide")
    if width <= max_width:
        return width, height
    return max_width, max(MIN_SIDE, round(height * max_width / width))
