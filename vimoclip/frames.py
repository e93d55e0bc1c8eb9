"""Frames of a video as a fusion model reads them: vectors of some features, and the lengths they had."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vimoclip.arrays import stored_values
from vimoclip.sequences.steps import Steps

if TYPE_CHECKING:  # or whoever searches the store would wait for a decoder to load
    from vimoclip.embedding.events import Vectors


@dataclass(frozen=True)
class FrameVectors:
    """n consecutive frames. By feature: `values`, fp16 (n, D), of any value where a frame has none; `norms`, fp32 (n,),
    the lengths of the raw vectors, 0 where there is none."""

    values: Mapping[str, NDArray[np.floating]]
    norms: Mapping[str, NDArray[np.float32]]

    @classmethod
    def stored(cls, rows: pa.Table | pa.RecordBatch, features: Iterable[str]) -> Self:
        """Rows of `frames` that have the columns `columns_of` names, in the memory they are in."""
        names = list(features)
        return cls(
            {name: stored_values(rows[name]) for name in names},
            {name: rows[f"{name}_norm"].fill_null(0).to_numpy(zero_copy_only=False) for name in names},
        )

    @classmethod
    def made(cls, vectors: "Mapping[str, Vectors]", features: Iterable[str]) -> Self:
        """Those of a worker, in the memory they are in."""
        own = {name: vectors[name] for name in features}
        return cls(
            {name: each.values for name, each in own.items()},
            {name: np.where(each.present, each.norm, np.float32(0)) for name, each in own.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after another; of a single part, that one."""
        if len(parts) == 1:
            return parts[0]
        names = parts[0].norms
        return cls(
            {name: np.concatenate([part.values[name] for part in parts]) for name in names},
            {name: np.concatenate([part.norms[name] for part in parts]) for name in names},
        )

    def __len__(self) -> int:
        return len(next(iter(self.norms.values())))

    def at(self, rows: "slice | NDArray[np.int64]") -> Self:
        """These of them; by number, in memory of their own."""
        return type(self)(
            {name: each[rows] for name, each in self.values.items()},
            {name: each[rows] for name, each in self.norms.items()},
        )

    def copy(self) -> Self:
        """In memory of its own."""
        return type(self)(
            {name: each.copy() for name, each in self.values.items()},
            {name: each.copy() for name, each in self.norms.items()},
        )

    def steps(self, most: int | None, motion: str | None) -> Self:
        """What a model reads of them: what it would read of a video of these frames alone (steps.py), at most `most`
        steps, in memory of their own.

        So the first frame is left out, whose motion runs from a frame before them. Of a single frame the image is read,
        and no motion. motion: the feature that is the motion, where one is.
        """
        found = self.at(Steps.alone(len(self), most))
        if len(self) == 1 and motion is not None:
            found.norms[motion][:] = 0
        return found


@dataclass(frozen=True)
class FrameRows:
    """n consecutive stored frames and when they are. time_s: fp64 (n,)."""

    time_s: NDArray[np.float64]
    vectors: FrameVectors

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after another; of a single part, that one."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.time_s for part in parts]), FrameVectors.joined([part.vectors for part in parts])
        )

    def __len__(self) -> int:
        return len(self.time_s)

    def at(self, rows: slice) -> Self:
        """These of them."""
        return type(self)(self.time_s[rows], self.vectors.at(rows))

    def copy(self) -> Self:
        """In memory of its own."""
        return type(self)(self.time_s.copy(), self.vectors.copy())


Pool = Callable[[Sequence[FrameVectors]], list[NDArray[np.float32] | None]]
"""The behaviour of stretches of frames: unit vectors, fp32 (d,), each; None where the model sees nothing."""


def columns_of(features: Iterable[str]) -> list[str]:
    """What `FrameVectors.stored` needs."""
    return [column for name in features for column in (name, f"{name}_norm")]
