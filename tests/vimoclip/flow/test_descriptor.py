"""Motion boundaries: known answers, rest, mirrors, a moving camera, and the same bits in any batch."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vimoclip.flow.descriptor import BINS, CELLS, STILL, MotionBoundaries
from vimoclip.flow.encoding import FULL_SCALE, PLANE, REST, from_planes, mirrored

made = MotionBoundaries()


def at_rest() -> NDArray[np.uint8]:
    return np.full((1, 2, PLANE, PLANE), REST, np.uint8)


def histograms(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of u and v, (N, 2, BINS, CELLS, CELLS)."""
    z = made(planes).numpy()
    assert z.shape == (len(planes), MotionBoundaries.dim) and z.dtype == np.float32
    assert (z[:, -1] == np.float32(STILL)).all()
    return np.asarray(z[:, :-1].reshape(-1, 2, BINS, CELLS, CELLS))


def random_planes(n: int) -> NDArray[np.uint8]:
    """Codes of all values, in patches that do not lie in step with the cells."""
    patches = np.random.default_rng(0).integers(0, 256, (n, 2, 14, 14), np.uint8)
    return np.roll(patches.repeat(16, axis=2).repeat(16, axis=3), (5, 3), axis=(2, 3))


def test_rest_and_a_camera_that_pans_leave_the_constant_alone() -> None:
    assert not histograms(at_rest()).any()
    panned = at_rest()
    panned[0, 0], panned[0, 1] = REST + 90, REST - 20
    assert not histograms(panned).any()


@pytest.mark.parametrize(("axis", "rising", "bin"), [(1, True, 0), (1, False, 4), (0, True, 2), (0, False, 6)])
@pytest.mark.parametrize("plane", [0, 1])
def test_an_edge_says_where_it_is_and_which_way_the_flow_rises(axis: int, rising: bool, bin: int, plane: int) -> None:
    planes = at_rest()
    beyond = [slice(None), slice(None)]
    beyond[axis] = slice(100, None) if rising else slice(None, 100)  # an edge within the second of four cells
    planes[0, plane][tuple(beyond)] = REST + 127
    found = histograms(planes)
    expected = np.zeros_like(found)
    cells = [slice(None), slice(None)]
    cells[axis] = slice(1, 2)
    expected[0, plane, bin][tuple(cells)] = FULL_SCALE / 2 * 2 / 28  # half of it at each of two steps, of 28 in a cell
    assert found == pytest.approx(expected, rel=1e-6)


def test_against_numpys_gradient() -> None:
    planes = random_planes(2)
    for found, frame in zip(histograms(planes), from_planes(planes)[:, :, ::2, ::2].astype(np.float64), strict=True):
        for own, speeds in zip(found, frame, strict=True):
            down, right = np.gradient(speeds)
            lengths, angles = np.hypot(right, down), np.arctan2(down, right)
            nearest = np.round(angles / (2 * np.pi / BINS)).astype(int) % BINS
            for bin in range(BINS):
                part = np.where(nearest == bin, lengths, 0).reshape(CELLS, 28, CELLS, 28).mean((1, 3))
                assert own[bin] == pytest.approx(part, abs=2e-5)


def test_a_mirrored_video() -> None:
    planes = at_rest()
    planes[0, 0, 60:90, 40:71] = REST + 50
    planes[0, 1, 150:181, 120:151] = REST - 30
    found, other = histograms(planes), histograms(mirrored(planes[..., :223].repeat([1] * 222 + [2], axis=3)))
    u, v = other[0, 0], other[0, 1]  # u is negated as well, so that its gradient keeps its way across, and turns along
    assert found[0, 0].sum() == pytest.approx(u.sum(), rel=0.1) and found[0, 1].sum() == pytest.approx(v.sum(), rel=0.1)
    assert found[0, 1, 0].sum() == pytest.approx(v[4].sum(), rel=0.1)
    assert found[0, 0, 2].sum() == pytest.approx(u[6].sum(), rel=0.1)


def test_twice_the_speed_is_twice_the_length() -> None:
    planes = at_rest()
    planes[0, 0, :, 100:] = REST + 30
    faster = at_rest()
    faster[0, 0, :, 100:] = REST + 60  # the code has the root
    assert histograms(faster) == pytest.approx(4 * histograms(planes), rel=1e-5)


def test_a_frame_has_the_same_bits_in_any_batch() -> None:
    planes = random_planes(9)
    together = made(planes).numpy()
    for i in range(9):
        assert made(planes[i : i + 1]).numpy().tobytes() == together[i : i + 1].tobytes()
