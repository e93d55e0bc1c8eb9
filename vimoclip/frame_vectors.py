"""Frames of a video as a fusion model reads them: vectors of some features, and the lengths they had."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vimoclip.arrays import vectors


@dataclass(frozen=True)
class FrameVectors:
    """n consecutive frames. By feature: `values`, fp16 (n, D), of any value where a frame has none; `norms`, fp32 (n,),
    the lengths of the raw vectors, 0 where there is none."""

    values: Mapping[str, NDArray[np.floating]]
    norms: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, rows: pa.Table | pa.RecordBatch, features: Iterable[str]) -> Self:
        """Rows of `frames` that have the columns `columns_of` names."""
        names = list(features)
        return cls(
            {name: vectors(rows[name]) for name in names},
            {name: rows[f"{name}_norm"].fill_null(0).to_numpy(zero_copy_only=False) for name in names},
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after another."""
        names = parts[0].norms
        return cls(
            {name: np.concatenate([part.values[name] for part in parts]) for name in names},
            {name: np.concatenate([part.norms[name] for part in parts]) for name in names},
        )

    def __len__(self) -> int:
        return len(next(iter(self.norms.values())))

    def at(self, rows: "slice | NDArray[np.int64]") -> Self:
        """These of them."""
        return type(self)(
            {name: each[rows] for name, each in self.values.items()},
            {name: each[rows] for name, each in self.norms.items()},
        )

    def copy(self) -> Self:
        """In memory of its own."""
        return self.joined([self])


Pool = Callable[[Sequence[FrameVectors]], list[NDArray[np.float32] | None]]
"""The behaviour of stretches of frames: unit vectors, fp32 (d,), each; None where the model sees nothing."""


def columns_of(features: Iterable[str]) -> list[str]:
    """What `FrameVectors.of` needs."""
    return [column for name in features for column in (name, f"{name}_norm")]
