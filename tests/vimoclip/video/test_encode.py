"""Cut clips: the right frames, at their own times, from files of every kind."""

from pathlib import Path

import av
import numpy as np
import pytest

from tests.vimoclip.awkward import FRAMES, RATE, picture, write
from vimoclip.config.store import Sampling
from vimoclip.errors import SearchError, VideoError
from vimoclip.search.results import Hit, Hits, export_clips
from vimoclip.video.decode import FrameChunk, decode
from vimoclip.video.encode import cut_clip


def frames(path: Path) -> tuple[np.ndarray, np.ndarray]:
    chunks = [event for event in decode(path, Sampling()) if isinstance(event, FrameChunk)]
    return np.concatenate([chunk.frames for chunk in chunks]), np.concatenate([chunk.time_s for chunk in chunks])


def test_the_frames_shown_in_the_span(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    assert cut_clip(tmp_path / "a.mp4", 0.5, 1.2, tmp_path / "new folder" / "cut.mp4") == 7
    shown, time_s = frames(tmp_path / "new folder" / "cut.mp4")
    assert time_s == pytest.approx(np.arange(7) / RATE, abs=1e-3)
    for n, frame in enumerate(shown, start=5):
        differences = [np.abs(frame.astype(int) - picture(k)).mean() for k in range(FRAMES)]
        assert np.argmin(differences) == n
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["cut.mp4"]


def length_s(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


@pytest.mark.parametrize(
    ("start_s", "end_s", "count", "first"),
    [
        (0.5, 1.2, 7, 5),
        (0.5, 0.6, 1, 5),
        (0.5, 1.25, 8, 5),  # the last frame is shown for half of its time
        (0.55, 1.05, 6, 5),  # frame 5 is on the screen when the span begins
        (0.52, 0.57, 1, 5),  # between two frames
        (1.8, 2.0, 2, 18),
    ],
)
def test_a_clip_lasts_as_long_as_its_span(tmp_path: Path, start_s: float, end_s: float, count: int, first: int) -> None:
    write(tmp_path / "a.mp4")
    assert cut_clip(tmp_path / "a.mp4", start_s, end_s, tmp_path / "cut.mp4") == count
    assert length_s(tmp_path / "cut.mp4") == pytest.approx(end_s - start_s, abs=1e-4)
    shown, time_s = frames(tmp_path / "cut.mp4")
    assert time_s[0] == 0
    assert np.argmin([np.abs(shown[0].astype(int) - picture(k)).mean() for k in range(FRAMES)]) == first


def test_a_clip_ends_with_its_video(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    assert cut_clip(tmp_path / "a.mp4", (FRAMES - 2) / RATE, 60, tmp_path / "cut.mp4") == 2
    assert length_s(tmp_path / "cut.mp4") == pytest.approx(2 / RATE, abs=1e-4)


def test_few_frames_a_second_and_a_long_gap_keep_their_times(tmp_path: Path) -> None:
    """Two frames a second: a bout of half a second is one frame, which is shown for all of it."""
    write(tmp_path / "slow.mp4", rate=2)
    assert cut_clip(tmp_path / "slow.mp4", 1.0, 1.5, tmp_path / "cut.mp4") == 1
    assert length_s(tmp_path / "cut.mp4") == pytest.approx(0.5, abs=1e-4)
    assert cut_clip(tmp_path / "slow.mp4", 1.25, 3.25, tmp_path / "cut.mp4") == 5
    assert length_s(tmp_path / "cut.mp4") == pytest.approx(2, abs=1e-4)
    assert frames(tmp_path / "cut.mp4")[1] == pytest.approx([0, 0.25, 0.75, 1.25, 1.75], abs=1e-4)


def test_odd_sides_and_times_by_rate(tmp_path: Path) -> None:
    write(tmp_path / "odd.avi", codec="mjpeg", pix_fmt="yuvj420p", size=(65, 49))
    assert cut_clip(tmp_path / "odd.avi", 0, 0.3, tmp_path / "cut.mp4") == 3
    assert frames(tmp_path / "cut.mp4")[0].shape == (3, 48, 64, 3)


def test_what_cannot_be_cut(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    with pytest.raises(VideoError):
        cut_clip(tmp_path / "nowhere.mp4", 0, 1, tmp_path / "cut.mp4")
    with pytest.raises(SearchError, match="No frame lies in the span"):
        cut_clip(tmp_path / "a.mp4", 50, 51, tmp_path / "cut.mp4")
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchError, match="cannot be written"):
        cut_clip(tmp_path / "a.mp4", 0, 1, tmp_path / "file" / "cut.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "file"]


def hit(video_id: str, path: Path) -> Hit:
    return Hit(video_id, 0.0, 0.5, 0.9, 99.0, (), (0.0, 0.5), None, str(path))


def test_all_hits_under_names_that_any_disk_takes(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    ids = ["x' OR '1'='1.mp4", "a/猫 🐈.MP4", "new\nline.mp4", "-dash.mp4", "../up.mp4", "n" * 300 + ".mp4"]
    found = (*(hit(video_id, tmp_path / "a.mp4") for video_id in ids), hit("gone.mp4", tmp_path / "gone.mp4"))
    hits = Hits("x", {}, found, 9, True, None, ())
    written, without = export_clips(hits, tmp_path / "out")
    assert sorted(map(str, (tmp_path / "out").iterdir())) == written
    assert len(written) == len(ids)
    assert "猫" in written[1]
    assert [video_id for video_id, _ in without] == ["gone.mp4"]
