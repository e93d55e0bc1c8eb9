"""Deep gray pictures as 8 bits."""

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vimoclip.video.levels import Histogram, Levels, deep_bits, samples


def gray(values: NDArray[np.uint16], format: str = "gray16le") -> av.VideoFrame:
    frame = av.VideoFrame(values.shape[1], values.shape[0], format)
    rows = np.zeros((values.shape[0], frame.planes[0].line_size // 2), ">u2" if format.endswith("be") else "<u2")
    rows[:, : values.shape[1]] = values
    frame.planes[0].update(rows.tobytes())
    return frame


def levels(*pictures: NDArray[np.uint16], format: str = "gray16le") -> Levels | None:
    histogram = Histogram()
    for picture in pictures:
        histogram.add(gray(picture, format))
    return histogram.levels()


@pytest.mark.parametrize("format", ["gray16le", "gray16be", "gray12le", "gray10be", "gray14le", "gray9le"])
def test_samples_are_read_whatever_their_order(format: str) -> None:
    values = np.arange(50 * 21, dtype=np.uint16).reshape(21, 50) % 500
    frame = gray(values, format)
    assert deep_bits(frame) == int("".join(filter(str.isdigit, format)))
    assert np.array_equal(samples(frame), values)


@pytest.mark.parametrize("format", ["gray", "yuv420p", "yuv420p10le", "rgb24", "rgb48le", "ya16le", "grayf32le"])
def test_other_formats_keep_their_own_range(format: str) -> None:
    frame = av.VideoFrame(16, 16, format)
    histogram = Histogram()
    histogram.add(frame)
    assert deep_bits(frame) == 0 and histogram.levels() is None


def test_the_levels_are_what_the_video_holds() -> None:
    dark, light = np.full((40, 40), 7000, np.uint16), np.full((40, 40), 7400, np.uint16)
    assert str(levels(dark, light)) == "7000-7400 of 0-65535"
    assert str(levels(dark // 10, light // 10, format="gray12le")) == "700-740 of 0-4095"
    found = levels(dark, light, (dark + 200).astype(np.uint16))
    assert found is not None
    assert [int(found.to_rgb(gray(picture))[0, 0, 0]) for picture in (dark, light, dark + 200)] == [0, 255, 128]
    assert found.to_rgb(gray(dark)).shape == (40, 40, 3) and found.to_rgb(gray(dark)).dtype == np.uint8


def test_a_picture_that_fills_its_scale_keeps_it() -> None:
    full = np.linspace(0, 65535, 1 << 16).astype(np.uint16).reshape(256, 256)
    found = levels(full)
    assert str(found) == "0-65535 of 0-65535"
    assert found is not None and np.abs(found.to_rgb(gray(full))[..., 0].astype(int) - full / 257).max() <= 0.5


def test_one_value_is_not_stretched() -> None:
    flat = np.full((16, 16), 32768, np.uint16)
    found = levels(flat)
    assert str(found) == "0-65535 of 0-65535"
    assert found is not None and set(found.to_rgb(gray(flat)).ravel().tolist()) == {128}


def test_a_dead_pixel_does_not_take_the_scale() -> None:
    picture = (np.arange(200 * 200).reshape(200, 200) % 300 + 4000).astype(np.uint16)
    picture[7, 7], picture[9, 9] = 65535, 0
    assert str(levels(picture)) == "4000-4299 of 0-65535"
