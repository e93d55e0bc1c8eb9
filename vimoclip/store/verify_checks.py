"""What is wrong with rows of `frames` and `flow`, told from the rows alone."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from vimoclip.errors import StoreDamagedError
from vimoclip.flow.encoding import decode
from vimoclip.store.verify_faults import MOST_PLACES

UNIT = 0.01
"""By how much the length of a stored vector may be off 1."""
"""By how much a vector's length may be off 1: fp16 rounds."""


def counted(pairs: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Each distinct column of (2, n), and how often it is there."""
    distinct, counts = np.unique(pairs, axis=1, return_counts=True)
    return zip(*distinct.tolist(), counts.tolist(), strict=True)


def vector_faults(
    vectors: pa.Array, norms: pa.Array, index: np.ndarray, motion: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Names of faults with the rows that have them, bool (n,)."""
    present = vectors.is_valid().to_numpy(zero_copy_only=False)
    values = vectors.flatten().to_numpy(zero_copy_only=False)  # of those present; a null inside one becomes NaN
    values = values.astype(np.float32).reshape(-1, vectors.type.list_size)
    length = np.ones(len(vectors), np.float32)
    length[present] = np.sqrt(np.einsum("nd,nd->n", values, values))
    norm = norms.to_numpy(zero_copy_only=False)
    yield "missing-vector", ~present & ~(motion & (index == 0))
    yield "motion-at-start", present & motion & (index == 0)
    yield "not-finite", ~np.isfinite(length)
    yield "not-unit", np.isfinite(length) & (np.abs(length - 1) > UNIT)
    yield "bad-norm", present & ~(np.isfinite(norm) & (norm > 0))


def order_faults(rows: np.ndarray, frames: bool) -> Iterator[tuple[str, list[str], int]]:
    """What is wrong with the order of one take's rows, sorted by index: name, first places, how many."""
    twice = rows["index"][1:] == rows["index"][:-1]
    yield "duplicate-frame", [f"frame {index}" for index in rows["index"][1:][twice][:MOST_PLACES]], int(twice.sum())
    rows = rows[np.append(True, ~twice)[: len(rows)]]
    index = rows["index"]
    expected = np.arange(len(rows)) + (0 if frames else 1)
    astray = np.flatnonzero(index != expected)[:1]
    yield "frame-gap", [f"frame {index[at]} where {expected[at]} belongs" for at in astray], len(astray)
    if frames:
        for name, field in (("source-order", "source"), ("time-order", "time")):
            bad = np.append(False, ~(np.diff(rows[field]) > 0))[: len(rows)]
            if field == "time":
                bad[:1] = (index[:1] == 0) & (rows["time"][:1] != 0)
            at = np.flatnonzero(bad)
            yield name, [f"{rows[field][i]} at frame {index[i]}" for i in at[:MOST_PLACES]], len(at)


def decodes(data: bytes) -> bool:
    """Whether these bytes are encoded flow."""
    try:
        decode(data)
    except StoreDamagedError:
        return False
    return True
