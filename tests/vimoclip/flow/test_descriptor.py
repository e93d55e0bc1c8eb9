"""The grid of flow: known answers, rest, mirrors, and the same bits in any batch."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vimoclip.flow.descriptor import CELLS, STILL_SPEED, FlowGrid
from vimoclip.flow.encoding import FULL_SCALE, PLANE, REST, from_planes, mirrored


def random_planes(n: int) -> NDArray[np.uint8]:
    """Codes of all values, whole patches of which move alike."""
    patches = np.random.default_rng(0).integers(0, 256, (n, 2, 14, 14), np.uint8)
    return patches.repeat(16, axis=2).repeat(16, axis=3)


def test_rest_has_a_direction_of_its_own() -> None:
    (z,) = FlowGrid()(np.full((1, 2, PLANE, PLANE), REST, np.uint8)).numpy()
    assert len(z) == FlowGrid.dim == 4 * CELLS**2 + 1
    assert z[-1] == np.float32(STILL_SPEED) and not z[:-1].any()


def test_a_cell_says_where_to_and_how_much() -> None:
    planes = np.full((1, 2, PLANE, PLANE), REST, np.uint8)
    side = PLANE // CELLS
    planes[0, 0, :side, side : 2 * side] = REST + 127  # the second cell of the first row moves right at FULL_SCALE
    planes[0, 1, -side:, : side // 2] = REST - 127  # half of the first cell of the last row moves up
    planes[0, 0, -side:, -side // 2 :] = REST + 40  # two halves of the last cell move apart
    planes[0, 0, -side:, -side : -side // 2] = REST - 40
    z = FlowGrid()(planes).numpy()[0, :-1].reshape(CELLS, CELLS, 4)
    assert z[0, 1] == pytest.approx([FULL_SCALE, 0, FULL_SCALE, 0])
    assert z[-1, 0] == pytest.approx([0, -FULL_SCALE / 2, 0, FULL_SCALE / 2])
    assert z[-1, -1] == pytest.approx([0, 0, FULL_SCALE * (40 / 127) ** 2, 0])
    assert np.count_nonzero(z) == 2 + 2 + 1


def test_against_the_mean_of_an_image() -> None:
    planes = random_planes(3)
    for z, (u, v) in zip(FlowGrid()(planes).numpy(), from_planes(planes), strict=True):
        expected = cv2.resize(np.dstack([u, v, abs(u), abs(v)]), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        assert z[:-1] == pytest.approx(expected.reshape(-1), abs=1e-5)


def test_a_mirrored_video_moves_the_other_way() -> None:
    planes = random_planes(2)
    there, back = (FlowGrid()(each).numpy()[:, :-1].reshape(2, CELLS, CELLS, 4) for each in (planes, mirrored(planes)))
    assert np.array_equal(back, there[:, :, ::-1] * np.array([-1, 1, 1, 1], np.float32))


def test_a_frame_has_the_same_bits_in_any_batch() -> None:
    planes = random_planes(9)
    together = FlowGrid()(planes).numpy()
    for i in range(9):
        assert FlowGrid()(planes[i : i + 1]).numpy().tobytes() == together[i : i + 1].tobytes()
