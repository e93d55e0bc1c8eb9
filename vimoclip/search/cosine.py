"""Fast cosines of many stored vectors with a query, from fp16 as the store has it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_ROWS = 128
"""Rows at a time: few enough to stay in the cache, and for BLAS to start no threads, which would cost more than they
save."""

_MASK = np.int32(-0x70002000)  # 0x8FFFE000: a sign bit and 15 others, where float32 has them
_SCALE = np.float32(2.0**112)  # the exponents of fp16 and float32 differ by this factor


def cosines(
    vectors: NDArray[np.float16], lengths: NDArray[np.float32], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Compute the cosines of vectors with a query.

    fp16 rounds lengths by up to 0.0003, by which similar frames differ; with the true lengths, cosines are right to
    1e-6.

    Args:
        vectors: finite, fp16 (n, D), C-contiguous.
        lengths: theirs, fp32 (n,), near 1; 0 marks a missing vector.
        query: of unit length, fp32 (D,).

    Returns:
        fp32 (n,); 0 for a missing vector.
    """
    out = np.empty(len(vectors), np.float32)
    scaled = query * _SCALE
    for part, block in _moved(vectors):
        np.dot(block, scaled, out=out[part])
    return np.divide(out, lengths, out=np.zeros_like(out), where=lengths > 0)


def lengths(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Compute the lengths, fp32 (n,), of finite vectors, fp16 (n, D), C-contiguous."""
    out = np.empty(len(vectors), np.float32)
    for part, block in _moved(vectors):
        block *= _SCALE
        np.einsum("nd,nd->n", block, block, out=out[part])
    return np.sqrt(out)


def _moved(vectors: NDArray[np.float16]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """A few rows at a time, fp32 (m, D), times 2^-112, in memory that is used again for the next ones.

    numpy converts fp16 to float32 one value at a time, which takes four times as long as everything else. Moving the
    bits to where float32 has them gives the same values up to the scale.
    """
    bits = vectors.view(np.int16)
    wide = np.empty((_ROWS, vectors.shape[1]), np.int32)
    for first in range(0, len(vectors), _ROWS):
        part = slice(first, first + _ROWS)
        block = wide[: len(bits[part])]
        np.copyto(block, bits[part])
        np.left_shift(block, 13, out=block)
        np.bitwise_and(block, _MASK, out=block)
        yield part, block.view(np.float32)


def unit(vector: NDArray[np.floating]) -> NDArray[np.float32] | None:
    """Scale a vector (D,) to unit length, in fp32; None where it is zero or not finite."""
    wide = vector.astype(np.float64)
    length = np.linalg.norm(wide)
    return (wide / length).astype(np.float32) if np.isfinite(length) and length > 0 else None
