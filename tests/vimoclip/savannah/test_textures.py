"""Parts are covered as their outlines say, lit from above, and painted alike every time."""

import numpy as np
import pytest

from vimoclip.savannah import paints
from vimoclip.savannah.animals import SPECIES, species
from vimoclip.savannah.textures import RESOLUTION, spline, textures


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


def test_a_zebra_is_black_and_white_and_a_giraffe_in_patches() -> None:
    y, x = np.mgrid[0:40:0.25, 0:60:0.25].astype(float)
    zebra = paints.striped(paints.plain((240, 240, 240), 0.0), (30, 30, 30), 10.0)(x, y)[..., 0]
    assert ((zebra < 60) | (zebra > 210)).mean() > 0.7
    crossings = np.abs(np.diff((zebra > 135).astype(int), axis=1)).sum(1)
    assert 10 <= np.median(crossings) <= 14  # six stripes, two edges each
    giraffe = paints.patched((230, 200, 150), (140, 80, 40), 12.0)(x, y)[..., 2]
    assert 0.5 < (giraffe < 95).mean() < 0.9


def test_noise_is_smooth_and_its_own_everywhere() -> None:
    y, x = np.mgrid[-50:50:1.0, -50:50:1.0]
    values = paints.noise(x, y, 10.0, 3)
    assert values.min() >= 0 and values.max() < 1 and values.std() > 0.1
    assert np.abs(np.diff(values, axis=0)).max() < 0.16  # at most 1.5 cells' worth a cell, each of ten steps
    assert np.array_equal(paints.noise(x[:7], y[:7], 10.0, 3), values[:7])
    assert not np.array_equal(paints.noise(x, y, 10.0, 4), values)
