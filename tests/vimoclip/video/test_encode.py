"""Cut clips: the right frames, at their own times, from files of every kind."""

from pathlib import Path

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
