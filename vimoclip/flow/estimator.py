"""The protocol of optical flow estimators, and the size that frames are scaled to.

An estimator prepares each frame once and is then given pairs of prepared frames, so that a frame is scaled once
although it takes part in two pairs. The prepared frame's grid is the working size, and flow is in pixels of that grid;
vimoclip/flow/encoding.py turns it into frame widths per second, which do not depend on the working size.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from vimoclip.video.decode import MIN_SIDE

Prepared = TypeVar("Prepared")


class FlowEstimator(Protocol[Prepared]):
    """Computes optical flow. One thread at a time may use an instance.

    Attributes:
        batch_size: the number of pairs to give to `flows` at once.
        made_of: what decides the flow beside the settings, such as the hash of the weights.
    """

    batch_size: int = 1
    made_of: dict[str, str] = {}  # noqa: RUF012  a Protocol has no ClassVar that an instance may replace

    def prepare(self, frame: np.ndarray) -> Prepared:
        """Prepare a frame, at the working size.

        Args:
            frame: uint8 (H, W, 3), RGB.

        Raises:
            ValueError: a frame of another shape or dtype, or with a side under `MIN_SIDE`.
        """
        ...

    def flow(self, previous: Prepared, current: Prepared) -> np.ndarray:
        """The motion from one prepared frame to the next. It does not depend on what was computed before.

        Returns:
            float32 (h, w, 2) on the grid of `previous`: u to the right and v down, in pixels of the working size per
            step.

        Raises:
            ValueError: the two frames differ in size.
        """
        ...

    def flows(self, pairs: Sequence[tuple[Prepared, Prepared]]) -> list[np.ndarray]:
        """The flow of each pair. In batches of one size, a pair's flow does not depend on the other pairs.

        Args:
            pairs: prepared frames, at least one pair, all from one video.

        Returns:
            Flow as `flow` returns it, for each pair.

        Raises:
            ValueError: see `flow`.
            torch.OutOfMemoryError: fewer pairs at once would need less memory.
        """
        return [self.flow(previous, current) for previous, current in pairs]


def working_size(width: int, height: int, max_width: int) -> tuple[int, int]:
    """The size at which flow is computed: a frame wider than `max_width` is scaled down to it, with its aspect kept.

    Frames are never scaled up, except that the height of a very flat frame stays at `MIN_SIDE` instead of rounding to
    less.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        max_width: pixels.

    Returns:
        (width, height), pixels.

    Raises:
        ValueError: a side under `MIN_SIDE`.
    """
    if min(width, height, max_width) < MIN_SIDE:
        raise ValueError(f"flow needs {MIN_SIDE} px a side, not {width} x {height} at up to {max_width} px wide")
    if width <= max_width:
        return width, height
    return max_width, max(MIN_SIDE, round(height * max_width / width))
