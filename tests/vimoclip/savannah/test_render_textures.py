"""Parts are covered as their outlines say, and lit from above."""

import numpy as np
import pytest

from vimoclip.savannah.render import RESOLUTION, spline, textures
from vimoclip.savannah.species import SPECIES, species


@pytest.mark.parametrize("name", SPECIES)
def test_alpha_is_all_or_nothing_and_the_border_is_empty(name: str) -> None:
    for texture in textures(name):
        alpha = texture.rgba[..., 3]
        assert set(np.unique(alpha)) == {0, 255}
        assert not texture.rgba[alpha == 0].any()
        assert texture.rgba[alpha == 255].min() >= 1
        assert not (alpha[0].any() or alpha[-1].any() or alpha[:, 0].any() or alpha[:, -1].any())


def test_a_part_covers_its_outline() -> None:
    who = species("zebra")
    n = [part.name for part in who.parts].index("torso")
    points = spline(who.parts[n].shapes[0].points, smooth=True)
    x, y = points.T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    covered = (textures("zebra")[n].rgba[..., 3] > 0).sum() / RESOLUTION**2
    assert covered == pytest.approx(area, rel=0.01)
    left, top = textures("zebra")[n].origin
    ys, xs = np.nonzero(textures("zebra")[n].rgba[..., 3])
    assert (xs.min() / RESOLUTION + left, ys.min() / RESOLUTION + top) == pytest.approx(points.min(0), abs=0.8)


def test_a_back_is_brighter_than_a_belly() -> None:
    who = species("elephant")
    n = [part.name for part in who.parts].index("torso")
    rgba = textures("elephant")[n].rgba.astype(float)
    seen = rgba[..., 3] > 0
    rows = [rgba[y][seen[y]][:, :3].mean() for y in np.flatnonzero(seen.any(1))]
    assert np.mean(rows[5:20]) > 1.3 * np.mean(rows[-20:-5])


def test_a_spline_runs_through_its_points() -> None:
    points = ((0.0, 0.0), (4.0, 1.0), (5.0, 5.0), (-1.0, 4.0))
    curve = spline(points, smooth=True)
    assert np.array_equal(curve[::6], points)
    assert np.array_equal(spline(points, smooth=False), points)
