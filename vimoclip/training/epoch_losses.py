"""The losses of an epoch as numbers, the first that is not finite being an error that names its videos.

To look at each as it comes would make a GPU wait for every step.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vimoclip.errors import DivergedError


class EpochLosses:
    """Looked at `together` at a time. names: of the items of a batch, for people. known: those that were looked at
    before the run was broken off."""

    def __init__(self, names: Callable[[NDArray[np.int64]], list[str]], together: int, known: list[float]) -> None:
        self._names, self._together = names, together
        self._new: list[tuple[NDArray[np.int64], Tensor]] = []
        self._known = list(known)

    def add(self, batch: NDArray[np.int64], loss: Tensor) -> None:
        """One more, of a batch.

        Raises:
            DivergedError: it, or one before it that was not looked at yet, is not finite.
        """
        self._new.append((batch, loss))
        if len(self._new) >= self._together:
            self._look()

    def known(self) -> list[float]:
        """All of them so far, in order. Raises DivergedError."""
        self._look()
        return list(self._known)

    def mean(self) -> float:
        """Their mean. Raises DivergedError."""
        self._look()
        return math.fsum(self._known) / len(self._known)

    def _look(self) -> None:
        values = torch.stack([loss for _, loss in self._new]).tolist() if self._new else []
        for (batch, _), value in zip(self._new, values, strict=True):
            if not math.isfinite(value):
                names = self._names(batch)
                raise DivergedError(
                    "The loss, or its gradient, is not finite.",
                    received=f"{value} on {', '.join(names[:8])}" + (f" and {len(names) - 8} more" * (len(names) > 8)),
                    expected="a finite number",
                    hint="The last epoch is kept. Try a lower learning rate; if it is always these videos, "
                    "`vimoclip verify` checks their vectors.",
                )
        self._known += values
        self._new.clear()
