"""What is taken for a video although its name does not say so."""

import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.vimoclip import awkward
from vimoclip.video.probe import looks_like_video


@pytest.mark.parametrize(
    ("suffix", "settings"),
    [
        ("mp4", {}),
        ("mkv", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("h264", {}),
        ("ts", {}),
        ("avi", {}),
        ("flv", {}),
        ("wmv", {"codec": "wmv2"}),
        ("ivf", {"codec": "libvpx"}),
        ("mxf", {"codec": "mpeg2video", "rate": 25}),
        ("mpg", {"codec": "mpeg2video", "rate": 25}),
        ("nut", {"codec": "ffv1", "pix_fmt": "bgr0"}),
        ("y4m", {"codec": "rawvideo"}),
        ("gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ],
)
def test_a_video_is_known_without_its_suffix(tmp_path: Path, suffix: str, settings: dict[str, Any]) -> None:
    awkward.write(tmp_path / f"a.{suffix}", **settings)
    assert looks_like_video(tmp_path / f"a.{suffix}")
    for name in ("a", "a.dat", "a.001", "a.txt", "a.mp3"):
        (tmp_path / f"a.{suffix}").rename(tmp_path / name)
        assert looks_like_video(str(tmp_path / name))
        (tmp_path / name).rename(tmp_path / f"a.{suffix}")


def test_what_is_not_a_video_is_not_taken_for_one(tmp_path: Path) -> None:
    awkward.text(tmp_path / "text")
    (tmp_path / "utf-16").write_text("This is no video.\n" * 300, encoding="utf-16")
    (tmp_path / "table.csv").write_text("video,label\na.mp4,groom\n")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\na.ts\n")
    (tmp_path / "concat").write_text("ffconcat version 1.0\nfile a.mp4\n")
    awkward.audio_only(tmp_path / "sound.mp4")
    awkward.audio_only(tmp_path / "sound.mkv", codec="pcm_s16le")
    awkward.audio_only(tmp_path / "cover.mp4", cover=True)
    awkward.write(tmp_path / "still.mp4", 1)
    awkward.write(tmp_path / "no-moov.mp4")
    awkward.no_moov(tmp_path / "no-moov.mp4")
    awkward.zero_bytes(tmp_path / "empty")
    image = Image.fromarray(awkward.picture(0))
    for kind in ("png", "jpeg", "tiff", "bmp", "webp", "gif"):
        image.save(tmp_path / f"picture.{kind}")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "b")
    np.save(tmp_path / "array.npy", np.arange(10_000))
    np.arange(100_000, dtype=np.float32).tofile(tmp_path / "floats.dat")
    (tmp_path / "zeros").write_bytes(bytes(50_000))
    for seed in range(5):
        (tmp_path / f"noise-{seed}").write_bytes(random.Random(seed).randbytes(60_000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    taken = [path.name for path in [*tmp_path.iterdir(), tmp_path / "absent"] if looks_like_video(path)]
    assert not taken
