"""Files that end before what their containers promise, in every container; and whole ones that look odd."""

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vimoclip import awkward
from tests.vimoclip.awkward import VIDEOS
from vimoclip.config.store import Sampling
from vimoclip.errors import VideoError
from vimoclip.frames import VideoDone
from vimoclip.video.decode import FrameChunk, decode
from vimoclip.video.files import EXTENSIONS

COUNT = 40
JPEG: dict[str, Any] = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
PROMISE: dict[str, dict[str, Any]] = {
    "jpeg.avi": JPEG,
    "h264.avi": {},
    "jpeg.mkv": JPEG,
    "h264.mkv": {},
    "vp8.webm": {"codec": "libvpx"},
    "first-index.mp4": {"container": {"movflags": "faststart"}},
    "fragments.mp4": JPEG | {"container": FRAGMENTS},
    "first-index.mov": JPEG | {"container": {"movflags": "faststart"}},
    "h264.flv": {},
    "wmv2.wmv": {"codec": "wmv2"},
    "mpeg2.mxf": {"codec": "mpeg2video", "rate": 25},
    "vp8.ivf": {"codec": "libvpx"},
    "h264.ts": {},
    "h264.m2ts": {"format": "mpegts", "container": {"mpegts_m2ts_mode": "1"}},
    "rgb8.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}
SILENT: dict[str, dict[str, Any]] = {  # they promise nothing, or nothing when nobody closed them
    "live.mkv": {"container": {"live": "1"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "rate": 25},
    "raw.h264": {},
}


def decoded(path: Path, on_corrupt: Any = "keep") -> tuple[str | None, np.ndarray]:
    chunks = []
    for event in decode(path, Sampling(), on_corrupt):
        if isinstance(event, FrameChunk):
            chunks.append(event.frames)
        elif isinstance(event, VideoDone):
            return event.info.broken, np.concatenate(chunks)
    raise AssertionError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole")
    for name, settings in {**PROMISE, **SILENT}.items():
        awkward.write(path / name, COUNT, **settings)
    return path


@pytest.mark.parametrize("name", PROMISE)
def test_a_file_that_was_cut_off_is_named_in_every_container(folder: Path, tmp_path: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    broken, whole = decoded(folder / name)
    assert broken is None and len(whole) == COUNT
    for share in (0.5, 0.82):
        path = tmp_path / f"{share}{Path(name).suffix}"
        path.write_bytes(data[: int(share * len(data)) // 188 * 188 + 50])
        broken, kept = decoded(path)
        assert broken == f"corrupt-after-{len(kept)}-frames"
        assert 2 <= len(kept) < COUNT
        assert np.array_equal(kept, whole[: len(kept)])  # none of them half a picture
        with pytest.raises(VideoError) as caught:
            decoded(path, "fail")
        assert caught.value.kind == broken


@pytest.mark.parametrize("name", SILENT)
def test_without_a_promise_none_is_broken(folder: Path, tmp_path: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: len(data) * 3 // 4])
    broken, kept = decoded(path)
    assert broken is None and COUNT // 3 < len(kept) < COUNT


@pytest.mark.parametrize("name", [n for n in {**PROMISE, **SILENT} if not n.endswith((".ivf", ".gif"))])
def test_what_follows_a_whole_file_does_not_matter(folder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((folder / name).read_bytes() + b"\0" * 7 + b"junk")
    broken, kept = decoded(path)
    assert broken is None and len(kept) == COUNT


@pytest.mark.parametrize("name", ["jpeg.avi", "h264.mkv", "h264.flv", "mpeg2.mxf"])
def test_an_index_that_was_cut_off_costs_no_frame(folder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((folder / name).read_bytes()[:-4])
    broken, kept = decoded(path)
    assert broken is None and len(kept) == COUNT


def test_an_avi_that_nobody_closed_promises_nothing(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "jpeg.avi").read_bytes())
    movi = data.index(b"movi")
    struct.pack_into("<I", data, 4, 0)
    struct.pack_into("<I", data, movi - 4, 0)
    path = tmp_path / "open.avi"
    path.write_bytes(data[: len(data) // 2])
    broken, kept = decoded(path)
    assert len(kept) > 8 and (broken is None or broken == f"corrupt-after-{len(kept)}-frames")


def test_an_avi_whose_header_counts_too_many_frames_is_whole(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "jpeg.avi").read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, COUNT + 9)
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, COUNT + 9)
    (tmp_path / "more.avi").write_bytes(data)
    broken, kept = decoded(tmp_path / "more.avi")
    assert broken is None and len(kept) == COUNT


def test_an_avi_whose_sizes_are_too_large_is_whole(folder: Path, tmp_path: Path) -> None:
    """All frames that the header counts are there."""
    data = bytearray((folder / "jpeg.avi").read_bytes())
    movi = data.index(b"movi")
    struct.pack_into("<I", data, movi - 4, len(data) + 5000)
    (tmp_path / "large.avi").write_bytes(data)
    broken, kept = decoded(tmp_path / "large.avi")
    assert broken is None and len(kept) == COUNT


@pytest.mark.skipif(not VIDEOS.is_dir(), reason="the real videos are not beside the checkout")
def test_no_real_file_is_called_cut_off() -> None:
    broken = []
    for path in sorted((VIDEOS / "awkward").rglob("*")):
        if path.suffix.lower() in EXTENSIONS:
            try:
                *_, done = decode(path, Sampling(every=1000), "keep")
                assert isinstance(done, VideoDone)
                broken += [path.name] if done.info.broken else []
            except VideoError as error:
                assert re.match("too-small", error.kind)
    assert broken == ["corrupted.mp4"]
