"""What every optical flow estimator is: the protocol, and the size that frames are scaled to.

An estimator prepares each frame once and is then given pairs of prepared frames, so that a frame is scaled down once
although it takes part in two pairs. The prepared frame's grid is the working size, and flow is in pixels of that grid;
`encoding` turns it into frame widths per second, in which working sizes no longer differ.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from vimoclip.video.decode import MIN_SIDE

Prepared = TypeVar("Prepared")


class FlowEstimator(Protocol[Prepared]):
    """What computes optical flow. An instance is used by one thread at a time.

    batch_size: pairs that `flows` is best given at once. made_of: what decides the flow beside the settings.
    """

    batch_size: int = 1
    made_of: dict[str, str] = {}  # noqa: RUF012  a Protocol has no ClassVar that an instance may replace

    def prepare(self, frame: np.ndarray) -> Prepared:
        """What to keep of one uint8 (H, W, 3) RGB frame, at the working size.

        Raises:
            ValueError: a frame of another shape or dtype, or one with a side under `MIN_SIDE`.
        """
        ...

    def flow(self, previous: Prepared, current: Prepared) -> np.ndarray:
        """Motion from one prepared frame to the next: float32 (h, w, 2), on the grid of `previous`.

        The last axis is u to the right and v down, in pixels of the working size per frame step. A pair gives the same
        flow whatever was computed before it.

        Raises:
            ValueError: the two frames differ in size.
        """
        ...

    def flows(self, pairs: Sequence[tuple[Prepared, Prepared]]) -> list[np.ndarray]:
        """The flow of each pair, one at least, all of one video.

        Among as many others a pair always gives the same flow, whichever they are.

        Raises:
            ValueError: see `flow`. torch.OutOfMemoryError: fewer pairs at once would need less.
        """
        return [self.flow(previous, current) for previous, current in pairs]


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
