"""Ethograms, looked at by their pixels."""

import io

import numpy as np
import PIL.Image

from tests.vimoclip.made_up_predictions import prediction
from vimoclip.prediction.export import MOST_ROWS, ethogram

SPANS = [(float(n), n + 2.0) for n in range(9)]


def green(data: bytes) -> np.ndarray:
    """Where the picture has the colour of bouts, bool (H, W)."""
    with PIL.Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return np.asarray((pixels[..., 1] - pixels[..., 0] > 20) & (pixels[..., 1] - pixels[..., 2] > 5))


def test_a_bout_is_drawn_where_it_is() -> None:
    first = ethogram(prediction("a.mp4", SPANS, [[0.9 if n < 2 else 0.1, 0.0] for n in range(9)]), 0.5)
    later = ethogram(prediction("a.mp4", SPANS, [[0.9 if n > 6 else 0.1, 0.0] for n in range(9)]), 0.5)
    columns = [np.flatnonzero(green(data).any(axis=0)) for data in (first, later)]
    assert columns[0].max() < columns[1].min()
    np.testing.assert_allclose(np.ptp(columns[0]), np.ptp(columns[1]), atol=3)
    none = ethogram(prediction("a.mp4", SPANS, [[0.1, 0.1]] * 9), 0.5)
    assert not green(none).any()


def test_a_row_for_each_label_that_has_a_bout_and_not_too_many() -> None:
    heights = []
    for count in (1, 2, MOST_ROWS, 2 * MOST_ROWS):
        classes = tuple(f"label {n}" for n in range(2 * MOST_ROWS))
        scores = [0.9 if n < count else 0.1 for n in range(len(classes))]
        with PIL.Image.open(io.BytesIO(ethogram(prediction("a.mp4", [(0, 1)], [scores], classes), 0.5))) as picture:
            heights.append(picture.height)
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_hostile_names() -> None:
    for name in ("$x_", "x' OR '1'='1.mp4", "new\nline", "$\\frac{", "\N{SNOWMAN}" * 300):
        assert ethogram(prediction(name, [(0, 1)], [[0.9, 0.9]], (name, "b")), 0.5).startswith(b"\x89PNG")
