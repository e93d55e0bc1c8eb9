"""Contact sheets: the frames of a time, their shapes, and where they stand."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vimoclip.errors import ConfigError, VideoError
from vimoclip.video.contact_sheet import FRAME_HEIGHT, WIDEST, Strip, draw, frames_at, spread, write
from vimoclip.video.encode import write_clip


def grey(level: int, size: tuple[int, int] = (96, 64)) -> NDArray[np.uint8]:
    return np.full((size[1], size[0], 3), level, np.uint8)


def levels(count: int) -> Iterator[NDArray[np.uint8]]:
    yield from (grey(20 + 10 * n) for n in range(count))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames at 10 frames/s, each of a grey of its own: frame n is at n / 10 s, and is 20 + 10 n."""
    return write_clip(tmp_path_factory.mktemp("sheet") / "levels.mp4", levels(20), 10.0, options={"crf": "4"})


def test_a_time_shows_the_last_frame_up_to_it(clip: Path) -> None:
    times = [-1.0, 0.0, 0.05, 0.1, 0.19, 1.0, 1.0, 1.91, 60.0]
    shown = [round((frame.mean() - 20) / 10) for frame in frames_at(clip, times)]
    assert shown == [0, 0, 0, 1, 1, 10, 10, 19, 19]
    assert {frame.shape for frame in frames_at(clip, times)} == {(FRAME_HEIGHT, 96 * FRAME_HEIGHT // 64, 3)}
    assert frames_at(clip, []) == []


def test_times_that_fall_and_files_that_are_no_videos_are_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must ascend"):
        frames_at(clip, [1.0, 0.5])
    (tmp_path / "no.mp4").write_bytes(b"text")
    with pytest.raises(VideoError):
        frames_at(tmp_path / "no.mp4", [0.0])


def test_the_middles_of_equal_parts() -> None:
    assert spread(1.0, 3.0, 4) == [1.25, 1.75, 2.25, 2.75]
    assert spread(5.0, 5.0, 2) == [5.0, 5.0]


def test_strips_stand_beside_and_below_each_other_in_order() -> None:
    strips = [Strip(f"strip {n}", "", [grey(40 * n + 10), grey(40 * n + 20)]) for n in range(3)]
    sheet = draw(strips, columns=2)
    found = {}
    for level in sorted({strip.frames[i][0, 0, 0] for strip in strips for i in (0, 1)}):
        ys, xs = np.nonzero((sheet == level).all(2))
        box = (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
        if np.ptp(ys) + 1 == FRAME_HEIGHT:
            found[int(level)] = box
    assert sorted(found) == [10, 20, 50, 60, 90, 100]
    assert found[10][0] == found[20][0] == found[50][0] == found[60][0] < found[90][0] == found[100][0]
    assert found[10][3] < found[20][1] < found[20][3] < found[50][1]  # frames in turn, then the next strip
    assert found[10][1] == found[90][1]  # the third begins a row
    assert sheet.shape[0] > found[100][2] and sheet.shape[1] > found[60][3]


def test_frames_of_every_shape_fit() -> None:
    wide = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (10, 1, 3))
    flat, tall, tiny = (
        draw([Strip("", "", [wide])]),
        draw([Strip("", "", [grey(9, (20, 400))])]),
        draw([Strip("t", "n", [])]),
    )
    assert (
        flat.shape[1] < 2 * 14 + max(WIDEST * FRAME_HEIGHT + 4, 400) and flat.shape[0] == tall.shape[0] == tiny.shape[0]
    )
    middle = flat[-60, :, 0]
    assert (middle == 100).any() and not (middle == 20).any()  # its ends are cut off, its middle is there


def test_text_of_any_length_and_script_is_drawn_in_its_place() -> None:
    short, long = (draw([Strip(title, "note", [grey(0)])]) for title in ("a", "ж\n" * 500))
    assert short.shape == long.shape
    assert (long[14:30] != short[14:30]).any() and (long[60:] == short[60:]).all()


def test_a_sheet_comes_back_from_its_file(tmp_path: Path) -> None:
    sheet = draw([Strip("a", "b", [grey(77)])])
    with Image.open(write(tmp_path / "new" / "sheet.png", sheet)) as file:
        assert file.format == "PNG"
        np.testing.assert_array_equal(np.asarray(file), sheet)
    with pytest.raises(ConfigError, match=r"cannot be written\. Received: .*sheet"):
        write(tmp_path / "new" / "sheet.png" / "below", sheet)
    with pytest.raises(ConfigError, match="needs strips"):
        draw([])
