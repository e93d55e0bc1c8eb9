"""Cosines of many stored vectors with a query, fast, from fp16 as it lies in the store."""

import numpy as np
from numpy.typing import NDArray

_ROWS = 128
"""Rows at a time: so few stay in the cache, and no BLAS starts threads for them, which would cost more than it wins."""

_MASK = np.int32(-0x70002000)  # 0x8FFFE000: a sign bit and 15 others, where float32 has them
_SCALE = np.float32(2.0**112)  # the exponents of fp16 and float32 differ by so much


def cosines(vectors: NDArray[np.float16], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dot products, fp32 (n,), of finite vectors (n, D), C-contiguous, with a query (D,).

    numpy turns fp16 into float32 one value at a time, which takes four times as long as all the rest. Moving the bits
    to where float32 has them gives the same values but for the scale 2^112, which the query makes up for.
    """
    scaled = query * _SCALE
    bits = vectors.view(np.int16)
    out = np.empty(len(vectors), np.float32)
    wide = np.empty((_ROWS, vectors.shape[1]), np.int32)
    for first in range(0, len(vectors), _ROWS):
        part = bits[first : first + _ROWS]
        block = wide[: len(part)]
        np.copyto(block, part)
        np.left_shift(block, 13, out=block)
        np.bitwise_and(block, _MASK, out=block)
        np.dot(block.view(np.float32), scaled, out=out[first : first + _ROWS])
    return out


def unit(vector: NDArray[np.floating]) -> NDArray[np.float32] | None:
    """A vector (D,) made unit length, in fp32; None where it is zero or not finite."""
    wide = vector.astype(np.float64)
    length = np.linalg.norm(wide)
    return (wide / length).astype(np.float32) if np.isfinite(length) and length > 0 else None
