"""Ethograms, looked at by their pixels."""

import io

import numpy as np
import PIL.Image

from tests.vimoclip.made_up_predictions import prediction
from vimoclip.prediction.export import MOST_ROWS, ethogram, timeline_note

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


def drawn(data: bytes) -> list[int]:
    """How wide each bout of a picture is, in pixels."""
    columns = np.asarray(green(data).any(axis=0)).astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], columns, [0]])))
    return [int(width) for width in edges[1::2] - edges[::2]]


def test_the_timeline_of_an_hour_is_as_wide_as_its_shortest_bout_needs() -> None:
    spans = [(n / 2, n / 2 + 1.0) for n in range(7199)]
    on = {0, 700, 701, 3000, 5200, 7198}  # a window alone speaks for its middle half second
    hour = prediction("hour.mp4", spans, [[0.9 if n in on else 0.1, 0.0] for n in range(len(spans))])
    assert len(hour.bouts) == 5 and min(bout.end_s - bout.start_s for bout in hour.bouts) == 0.5
    data = ethogram(hour, 0.5)
    seen = drawn(data)
    assert len(seen) == 5 and min(seen) >= 2
    assert max(seen) / min(seen) < 3  # as long as they are
    assert timeline_note(hour) is None
    with PIL.Image.open(io.BytesIO(data)) as picture:
        assert picture.width > 10_000
    short = prediction("a.mp4", SPANS, [[0.9 if n < 2 else 0.1, 0.0] for n in range(9)])
    with PIL.Image.open(io.BytesIO(ethogram(short, 0.5))) as picture:
        assert picture.width == round(9.6 * 144)


def test_a_video_that_is_too_long_for_that_is_binned_and_says_so() -> None:
    """A day with bouts of a third of a second: none of them disappears."""
    day = 86400.0
    spans = [(0.0, 1 / 3), (day / 2, day / 2 + 1 / 3), (day - 1 / 3, day)]
    long = prediction("day.mp4", spans, [[0.9, 0.0]] * 3)
    note = timeline_note(long)
    assert note is not None and note.startswith("binned: a pixel is 2.") and note.endswith("drawn wider")
    data = ethogram(long, 0.5)
    seen = drawn(data)
    assert len(seen) == 3 and min(seen) >= 2
    with PIL.Image.open(io.BytesIO(data)) as picture:
        assert picture.width * picture.height <= 32_000_000


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
