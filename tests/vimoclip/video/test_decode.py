"""Decoding: frames, times, sampling, and what is said of files that cannot be decoded."""

import itertools
import math
import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.vimoclip import awkward
from tests.vimoclip.awkward import EMPTY, FILES, FRAMES, HEIGHT, RATE, VIDEOS, WIDTH, Expected, Picture, picture
from vimoclip.config.store import OnCorrupt, Sampling
from vimoclip.errors import VideoError
from vimoclip.frames import VideoDone, VideoInfo, VideoReset
from vimoclip.video.decode import CHUNK_BYTES, CHUNK_FRAMES, DecodeEvent, FrameChunk, Sampler, decode

AWKWARD, INTERACTIONS = VIDEOS / "awkward", VIDEOS / "interactions" / "clips"
CAMERA_TRAPS = sorted(path for path in (VIDEOS / "camera-traps").rglob("*") if path.is_file())
REAL = [  # rotated, falling pts, VP9, AV1, H.263 with oblong pixels, HEVC of 10 bits, GIF, MPEG-2
    *(AWKWARD / "decord" / f"{name}.mov" for name in ("video_0", "video_90", "video_180", "video_270", "unordered")),
    *(AWKWARD / "torchcodec" / name for name in ("av1_video.mkv", "h265_10bits.mp4", "h264_10bits.mp4")),
    *(AWKWARD / "exoplayer_media2" / name for name in ("video_desks.3gp", "video_not_seekable.ts", "video_1.mp4")),
    *(AWKWARD / "moviepy" / name for name in ("transparent.webm", "pigs_in_a_polka.gif")),
    INTERACTIONS / "57_10_3.avi",
    VIDEOS / "lab" / "mouse-reaching.avi",
]
needs_videos = pytest.mark.skipif(not VIDEOS.is_dir(), reason="the real videos are not beside the checkout")


@dataclass(frozen=True)
class Decoded:
    """All events of a video, in one piece; of its chunks, those after the last VideoReset."""

    frames: NDArray[np.uint8]
    source_frame: list[int]
    time_s: list[float]
    stored: list[bool]
    info: VideoInfo
    restarts: int
    chunks: list[FrameChunk]


def collect(path: Path, sampling: Sampling | None = None, on_corrupt: OnCorrupt = "fail") -> Decoded:
    *events, done = decode(path, sampling or Sampling(), on_corrupt)
    assert isinstance(done, VideoDone) and done.video_id == str(path)
    restarts = [n for n, event in enumerate(events) if isinstance(event, VideoReset)]
    chunks = [event for event in events[restarts[-1] + 1 if restarts else 0 :] if isinstance(event, FrameChunk)]
    return Decoded(
        np.concatenate([chunk.frames for chunk in chunks]),
        [int(n) for chunk in chunks for n in chunk.source_frame],
        [float(t) for chunk in chunks for t in chunk.time_s],
        [bool(s) for chunk in chunks for s in chunk.stored],
        done.info,
        len(restarts),
        chunks,
    )


def plain(path: Path) -> tuple[list[Picture], list[int | None], Fraction]:
    """Pictures, pts and time base by the shortest use of PyAV; then upright, all of the first one's size."""
    turns = {
        90: cv2.ROTATE_90_COUNTERCLOCKWISE,
        -90: cv2.ROTATE_90_CLOCKWISE,
        180: cv2.ROTATE_180,
        -180: cv2.ROTATE_180,
    }
    pictures: list[Picture] = []
    pts = []
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        size = None
        for frame in container.decode(stream):
            size = size or (frame.width, frame.height)
            image = np.asarray(frame.to_ndarray(format="rgb24", width=size[0], height=size[1]), np.uint8)
            turn = turns.get(frame.rotation)
            pictures.append(image if turn is None else cv2.rotate(image, turn).astype(np.uint8))
            pts.append(frame.pts)
        assert stream.time_base is not None
        return pictures, pts, stream.time_base


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("awkward")
    awkward.write_all(path)
    return path


def kind_of(path: Path, on_corrupt: OnCorrupt = "fail") -> str:
    with pytest.raises(VideoError) as caught:
        collect(path, on_corrupt=on_corrupt)
    return caught.value.kind


@pytest.mark.parametrize("name", [name for name, (_, expected) in FILES.items() if expected.kind is None])
def test_a_file_that_decodes(folder: Path, name: str) -> None:
    decoded = collect(folder / name)
    info = decoded.info
    got = Expected(None, info.decoded_frames, (info.width, info.height), info.time_source, decoded.restarts)
    assert got == FILES[name][1]
    assert decoded.frames.shape == (got.frames, got.size[1], got.size[0], 3)
    assert decoded.source_frame == list(range(got.frames)) and all(decoded.stored)
    assert info.broken is None
    if name != "empty-packet.mp4" and not name.startswith("exif"):  # plain PyAV gives up, or leaves it mirrored
        pictures, pts, time_base = plain(folder / name)
        assert np.array_equal(decoded.frames, np.stack(pictures))
        if info.time_source == "pts" and name != "dropped.avi":  # whose pts PyAV makes up
            first = pts[0]
            assert first is not None
            assert decoded.time_s == [float((t - first) * time_base) for t in pts if t is not None]


@pytest.mark.parametrize("name", [name for name, (_, expected) in FILES.items() if expected.kind is not None])
def test_a_file_that_does_not_decode(folder: Path, name: str) -> None:
    with pytest.raises(VideoError) as caught:
        list(decode(folder / name, Sampling()))
    assert re.sub(r"\d+", "N", caught.value.kind) == FILES[name][1].kind
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_what_is_no_file_is_unreadable(tmp_path: Path) -> None:
    assert kind_of(tmp_path) == "unreadable"
    assert kind_of(tmp_path / "absent.mp4") == "unreadable"
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "absent.mp4")
    assert kind_of(tmp_path / "dangling.mp4") == "unreadable"


@needs_videos
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_frames_of_real_files_are_those_of_a_plain_decode(path: Path) -> None:
    pictures, pts, time_base = plain(path)
    decoded = collect(path)
    assert np.array_equal(decoded.frames, np.stack(pictures))
    times = [t for t in pts if t is not None]
    usable = len(times) == len(pts) and all(a < b for a, b in itertools.pairwise(times))
    # AVI with B-frames: PyAV makes up its pts, which fall; the file's own times are its dts, but for the last frames.
    assert decoded.info.time_source == ("pts" if usable else "repaired")
    if usable:
        assert decoded.time_s == [float((t - times[0]) * time_base) for t in times]
    else:
        assert decoded.time_s == [n / 30 for n in range(len(pts))] and decoded.info.repaired_times <= 2


def test_a_lossless_clip_gives_the_very_pixels(folder: Path) -> None:
    assert np.array_equal(collect(folder / "lossless.mkv").frames, np.stack([picture(n) for n in range(FRAMES)]))


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("matrix", "kr", "kb"), [(1, 0.2126, 0.0722), (6, 0.299, 0.114)])
def test_colours_follow_the_matrix_and_range_of_the_file(
    tmp_path: Path, matrix: int, kr: float, kb: float, full_range: bool
) -> None:
    red, green, blue = 200.0, 90.0, 30.0
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    scaled = (
        (luma, 128 + u, 128 + v) if full_range else (16 + luma * 219 / 255, 128 + u * 224 / 255, 128 + v * 224 / 255)
    )
    yuv = (round(scaled[0]), round(scaled[1]), round(scaled[2]))
    awkward.solid(tmp_path / "solid.mkv", yuv, matrix=matrix, full_range=full_range)
    frames = collect(tmp_path / "solid.mkv").frames.reshape(-1, 3)
    assert np.abs(frames - np.array([red, green, blue])).max() <= 3


def test_ten_bits_look_like_eight(folder: Path) -> None:
    ten, eight = (collect(folder / name).frames.astype(np.float64) for name in ("10-bit.mp4", "plain.mp4"))
    assert np.abs(ten - eight).mean() < 4


def test_a_change_of_size_is_scaled_back_to_the_first(folder: Path) -> None:
    frames = collect(folder / "two-sizes.ts").frames
    after = picture(FRAMES - 1, 2 * WIDTH, 2 * HEIGHT)
    error = np.abs(frames[-1].astype(np.float64) - cv2.resize(after, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    assert error.mean() < 10
    assert np.abs(frames[-1].astype(np.float64) - picture(FRAMES - 1)).mean() > error.mean()  # else nothing changed


@pytest.mark.parametrize("name", awkward.NAMES)
def test_a_name_never_matters(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    awkward.write_names(tmp_path, folder / "plain.mp4")
    monkeypatch.chdir(tmp_path)
    assert collect(Path(name)).info == collect(folder / "plain.mp4").info  # as a relative path, dash and all


def test_a_name_that_is_not_unicode(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes((folder / "plain.mp4").read_bytes())
    assert collect(path).info.decoded_frames == FRAMES


# Sampling


def in_slots(times: list[Fraction], fps: Fraction) -> list[int]:
    """The first frame of each slot of 1/fps, of rising times that are right to half a millisecond."""
    slots = [math.floor((t + Fraction(1, 2000)) * fps) for t in times]
    return [n for n, slot in enumerate(slots) if n == 0 or slot > slots[n - 1]]


@given(
    gaps=st.lists(st.integers(1, 400), max_size=60),
    ticks=st.integers(1, 600),
    fps=st.fractions(Fraction(1, 50), 300, max_denominator=100),
)
@example(gaps=[599], ticks=600, fps=Fraction(1))  # just before a slot begins
@example(gaps=[28, 1], ticks=100, fps=Fraction(100))  # 0.29 * 100 is 28.999999999999996
def test_the_sampler_takes_the_first_frame_of_each_slot(gaps: list[int], ticks: int, fps: Fraction) -> None:
    times = [Fraction(t, ticks) for t in itertools.accumulate(gaps, initial=0)]
    sampler = Sampler(Sampling(fps=float(fps)))
    assert [n for n, t in enumerate(times) if sampler.stores(n, float(t))] == in_slots(times, fps)


@given(rate=st.integers(1, 240), fps=st.integers(1, 240), frames=st.integers(1, 300))
def test_an_even_video_gives_as_many_frames_as_slots(rate: int, fps: int, frames: int) -> None:
    sampler = Sampler(Sampling(fps=fps))
    stored = sum(sampler.stores(n, n / rate) for n in range(frames))
    assert stored == (frames if fps >= rate else int((Fraction(frames - 1, rate) + Fraction(1, 2000)) * fps) + 1)


@pytest.mark.parametrize("rate", [30, Fraction(30000, 1001), 60, 25])
@pytest.mark.parametrize("fps", [5, 15, 30])
def test_a_clock_of_milliseconds_changes_no_choice(tmp_path: Path, rate: Fraction, fps: float) -> None:
    chosen = []
    for name in ("exact.mp4", "milliseconds.mkv"):
        awkward.write(tmp_path / name, 90, rate=rate)
        decoded = collect(tmp_path / name, Sampling(fps=fps))
        chosen.append([n for n, stored in zip(decoded.source_frame, decoded.stored, strict=True) if stored])
    assert chosen[0] == chosen[1]
    step = max(1.0, rate / fps)
    assert all(abs(n - step * i) <= 1 for i, n in enumerate(chosen[0]))  # evenly, to the frame


@given(every=st.integers(1, 50), times=st.lists(st.floats(0, 1e6), max_size=200))
def test_every_counts_frames_and_ignores_times(every: int, times: list[float]) -> None:
    sampler = Sampler(Sampling(every=every))
    assert [n for n, t in enumerate(times) if sampler.stores(n, t)] == list(range(0, len(times), every))


@pytest.mark.parametrize(
    "name", ["plain.mp4", "uneven.mkv", "late-start.mkv", "falling-late.mkv", "far-ahead.mkv", "rotated-90.mp4"]
)
@pytest.mark.parametrize(
    "sampling",
    [Sampling(every=n) for n in (1, 2, 3, 16, 17, 100)] + [Sampling(fps=f) for f in (0.5, 3, 5, 7.5, 60)],
    ids=str,
)
def test_a_sampled_video_is_a_subset_with_the_frames_before(folder: Path, name: str, sampling: Sampling) -> None:
    whole, part = collect(folder / name), collect(folder / name, sampling)
    if sampling.every is not None:
        expected = list(range(0, len(whole.frames), sampling.every))
    else:
        assert sampling.fps is not None
        times = [Fraction(t).limit_denominator(1000) for t in whole.time_s]
        expected = in_slots(times, Fraction(sampling.fps))
    before = {n - 1 for n in expected if n > 0}
    assert part.source_frame == sorted(before | set(expected))
    assert [n for n, stored in zip(part.source_frame, part.stored, strict=True) if stored] == expected
    assert part.time_s == [whole.time_s[n] for n in part.source_frame]
    assert np.array_equal(part.frames, whole.frames[part.source_frame])
    assert part.info == whole.info


@needs_videos
@pytest.mark.parametrize("path", CAMERA_TRAPS, ids=lambda path: path.name)
def test_camera_trap_clips_at_five_a_second(path: Path) -> None:
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        pts = [frame.pts for frame in container.decode(stream)]
        known = [t for t in pts if t is not None]
        assert len(known) == len(pts) and all(a < b for a, b in itertools.pairwise(known))
        expected = in_slots([(t - known[0]) * stream.time_base for t in known], Fraction(5))
    decoded = collect(path, Sampling(fps=5))
    assert [n for n, stored in zip(decoded.source_frame, decoded.stored, strict=True) if stored] == expected
    assert decoded.info.decoded_frames == len(pts)


# Times


def test_presentation_times_count_from_the_first_frame(folder: Path) -> None:
    uneven = collect(folder / "uneven.mkv")
    assert uneven.time_s == pytest.approx([n * (n + 3) / 2 / RATE for n in range(FRAMES)], abs=1e-3)
    last = uneven.time_s[-1]
    assert uneven.info.fps == pytest.approx((FRAMES - 1) / last)
    assert uneven.info.duration_s == pytest.approx(last + last / (FRAMES - 1))
    with av.open(str(folder / "late-start.mkv")) as container:
        assert next(container.decode(video=0)).time == pytest.approx(50, abs=1)
    assert collect(folder / "late-start.mkv").time_s == pytest.approx([n / RATE for n in range(FRAMES)], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "times", "count", "at"),
    [
        # Frame 1 says 0.3 and two frames contradict it; the others keep the times that the file gives them. (Before,
        # all 60 lost theirs to n / rate, which equals them only where a video is even.)
        ("falling-early.mkv", {1: 0.05, 2: 0.1, 3: 0.2}, 1, "1"),
        ("falling-late.mkv", {}, 1, "50"),
        ("far-ahead.mkv", {}, 1, "15"),
        ("far-ahead-early.mkv", {}, 1, "3"),
        ("equal.mkv", {}, 3, "20, 40-41"),
    ],
)
def test_a_time_that_cannot_be_is_repaired_alone(
    folder: Path, name: str, times: dict[int, float], count: int, at: str
) -> None:
    decoded = collect(folder / name)
    assert decoded.time_s == pytest.approx([times.get(n, n / RATE) for n in range(60)], abs=1e-9)
    assert decoded.info.fps == pytest.approx(RATE) and decoded.info.duration_s == pytest.approx(60 / RATE)
    assert (decoded.info.repaired_times, decoded.info.repaired_at) == (count, at)


def test_an_uneven_video_keeps_its_times_beside_one_that_is_wrong(tmp_path: Path) -> None:
    true = [n * (n + 3) // 2 for n in range(FRAMES)]
    for n, wrong in ((5, true[4]), (9, 0), (12, 9000), (0, 9000), (FRAMES - 1, true[FRAMES - 2])):
        times = [wrong if k == n else t for k, t in enumerate(true)]
        path = tmp_path / f"{n}.mkv"
        awkward.write(path, codec="mjpeg", pix_fmt="yuvj420p", times=times)
        decoded = collect(path)
        others = [k for k in range(FRAMES) if k != n]
        off = decoded.time_s[others[0]] - true[others[0]] / RATE
        assert [decoded.time_s[k] - off for k in others] == pytest.approx([true[k] / RATE for k in others], abs=1e-3)
        assert decoded.time_s[0] == 0 and all(a < b for a, b in itertools.pairwise(decoded.time_s))
        assert (decoded.info.repaired_times, decoded.info.repaired_at) == (1, str(n))


@pytest.mark.parametrize("name", ["dropped.avi", "dropped-b-frames.avi"])
def test_frames_that_a_camera_dropped_keep_their_place(folder: Path, name: str) -> None:
    assert collect(folder / name).time_s == pytest.approx([n / 10 for n in [*range(10), *range(30, 40)]])


def test_a_thousand_frames_a_second_and_more(tmp_path: Path) -> None:
    for rate, name in ((1000, "a.avi"), (1000, "a.mp4"), (8000, "a.mov"), (10_000, "a.mp4")):
        awkward.write(tmp_path / name, codec="mjpeg", pix_fmt="yuvj420p", rate=rate)
        decoded = collect(tmp_path / name)
        assert decoded.time_s == pytest.approx([n / rate for n in range(FRAMES)]) and decoded.info.time_source == "pts"
        assert decoded.info.fps == pytest.approx(rate)


def test_times_that_stand_still_on_a_coarse_clock_lie_between(folder: Path) -> None:
    decoded = collect(folder / "2000-a-second.mkv")
    assert decoded.time_s == pytest.approx([n / 2000 for n in range(FRAMES)], abs=0.001)
    assert all(a < b for a, b in itertools.pairwise(decoded.time_s))


def test_where_the_first_frame_is_in_the_file(folder: Path) -> None:
    inner = collect(folder / "within-a-group.ts").info
    assert inner.first_frame_s is not None and inner.container_start_s is not None
    assert inner.first_frame_s - inner.container_start_s == pytest.approx(2.5)
    late = collect(folder / "late-start.mkv").info
    assert late.first_frame_s == late.container_start_s == pytest.approx(50, abs=1)
    raw = collect(folder / "raw.h264").info
    assert raw.first_frame_s is None


def test_what_was_handed_out_and_still_holds_is_not_taken_back(tmp_path: Path) -> None:
    """Frame 40 is known to be wrong when frames 0 to 31 are out: what is decoded again begins after them."""
    awkward.moved(tmp_path / "late.mkv", {40: 500})
    awkward.moved(tmp_path / "plain.mkv", {})
    for sampling in (Sampling(), Sampling(every=7)):
        late, plain = collect(tmp_path / "late.mkv", sampling), collect(tmp_path / "plain.mkv", sampling)
        assert late.restarts == 0 and late.source_frame == plain.source_frame and late.stored == plain.stored
        assert late.time_s == plain.time_s and np.array_equal(late.frames, plain.frames)


def test_a_single_frame_lasts_one_period(folder: Path) -> None:
    info = collect(folder / "one-frame.mp4").info
    assert info.fps == RATE and info.duration_s == pytest.approx(1 / RATE)
    assert collect(folder / "no-rate.mkv").info.duration_s == pytest.approx(1 / 25)  # assumed


def test_a_restart_takes_back_what_was_handed_out(folder: Path) -> None:
    events: list[DecodeEvent] = list(decode(folder / "far-ahead.mkv", Sampling()))
    (at,) = [n for n, event in enumerate(events) if isinstance(event, VideoReset)]
    before = [n for event in events[:at] if isinstance(event, FrameChunk) for n in event.source_frame]
    after = [n for event in events[at:] if isinstance(event, FrameChunk) for n in event.source_frame]
    assert before == list(range(16)) and after == list(range(60))  # the chunk with frame 15, then everything
    assert isinstance(events[-1], VideoDone)
    for name in ("falling-early.mkv", "falling-late.mkv", "far-ahead-early.mkv"):
        assert not any(isinstance(event, VideoReset) for event in decode(folder / name, Sampling()))


@needs_videos
@pytest.mark.parametrize("path", sorted(INTERACTIONS.glob("*.avi"))[:6], ids=lambda path: path.name)
def test_real_falling_times(path: Path) -> None:
    decoded = collect(path, Sampling(every=10))
    # By the file's own dts; before, the pts that PyAV makes up were tried and given up for n / rate.
    assert (decoded.info.time_source, decoded.info.repaired_times) == ("repaired", 1)
    assert decoded.time_s == [n / 30 for n in decoded.source_frame]


# Upright


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotation_flag_turns_the_picture(folder: Path, degrees: int) -> None:
    straight, turned = collect(folder / "plain.mp4").frames, collect(folder / f"rotated-{degrees}.mp4").frames
    assert np.array_equal(turned, np.rot90(straight, degrees // 90, axes=(1, 2)))


@pytest.mark.parametrize("name", ["broken-matrix.mp4", "rotated-45.mp4"])
def test_other_rotations_are_left_alone(folder: Path, name: str) -> None:
    with av.open(str(folder / name)) as container:
        assert next(container.decode(video=0)).rotation not in (0, 90, 180, -90, -180)
    assert np.array_equal(collect(folder / name).frames, collect(folder / "plain.mp4").frames)


@pytest.mark.parametrize(
    "matrix", [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1), (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, -1, 0)]
)
def test_every_display_matrix_of_right_angles_is_followed(
    folder: Path, tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    """ISO/IEC 14496-12: a pixel at (x, y) is shown at (a x + c y, b x + d y), wherever that then is moved to."""
    a, b, c, d = matrix
    shutil.copy(folder / "plain.mp4", tmp_path / "turned.mp4")
    fixed = [16, 16, 30, 16, 16, 30, 16, 16, 30]
    values = [value << bits for value, bits in zip((a, b, 0, c, d, 0, 0, 0, 1), fixed, strict=True)]
    awkward.patch(tmp_path / "turned.mp4", b"tkhd", 40, struct.pack(">9i", *values))
    frames = collect(folder / "plain.mp4").frames
    ys, xs = np.mgrid[: frames.shape[1], : frames.shape[2]]
    shown_x, shown_y = a * xs + c * ys, b * xs + d * ys
    shown_x, shown_y = shown_x - shown_x.min(), shown_y - shown_y.min()
    expected = np.zeros((len(frames), shown_y.max() + 1, shown_x.max() + 1, 3), np.uint8)
    expected[:, shown_y, shown_x] = frames
    decoded = collect(tmp_path / "turned.mp4")
    assert np.array_equal(decoded.frames, expected)
    assert (decoded.info.width, decoded.info.height) == (expected.shape[2], expected.shape[1])


@pytest.mark.parametrize("name", ["exif.avi", "exif.mkv"])
def test_side_data_that_nobody_knows_decides_nothing(folder: Path, name: str) -> None:
    """EXIF in the first JPEG; it says that the picture is mirrored, which is side data that is known."""
    with av.open(str(folder / name)) as container:
        frame = next(container.decode(video=0))
        assert len(frame.side_data) == 2 and frame.side_data.get("DISPLAYMATRIX") is not None
    awkward.write(folder / "without.avi", codec="mjpeg", pix_fmt="yuvj420p")
    assert np.array_equal(collect(folder / name).frames, collect(folder / "without.avi").frames[:, :, ::-1])


@pytest.mark.parametrize("pix_fmt", ["gray16le", "gray12le", "gray10le"])
def test_deep_pictures_are_scaled_by_what_they_hold(tmp_path: Path, pix_fmt: str) -> None:
    top = 2 ** int(pix_fmt[4:6]) - 1
    awkward.deep(tmp_path / "dim.mkv", pix_fmt, top // 10, top // 9)
    awkward.deep(tmp_path / "full.mkv", pix_fmt, 0, top)
    dim, full = collect(tmp_path / "dim.mkv"), collect(tmp_path / "full.mkv")
    assert (dim.info.levels, full.info.levels) == (f"{top // 10}-{top // 9} of 0-{top}", f"0-{top} of 0-{top}")
    assert dim.frames.min() == 0 and dim.frames.max() == 255 and dim.restarts == full.restarts == 0
    assert np.abs(dim.frames.astype(int) - full.frames).max() <= 256 / (top // 9 - top // 10) + 1
    part = collect(tmp_path / "dim.mkv", Sampling(every=4))
    assert np.array_equal(part.frames[part.stored], dim.frames[::4])


def test_one_shade_of_deep_gray(tmp_path: Path) -> None:
    awkward.deep(tmp_path / "flat.mkv", low=30000, high=30000)
    flat = collect(tmp_path / "flat.mkv")
    assert flat.info.levels == "0-65535 of 0-65535" and set(flat.frames.ravel().tolist()) == {117}


def test_deep_colour_keeps_its_formats_range(folder: Path) -> None:
    assert collect(folder / "10-bit.mp4").info.levels is None


@needs_videos
@pytest.mark.parametrize("degrees", [90, 270])
def test_print_on_real_turned_files_reads_upright(degrees: int) -> None:
    """The key marked AltGr of video_0.mov is found in the turned files, and less so when they are turned once more."""
    folder = AWKWARD / "decord"
    straight, turned = (
        cv2.cvtColor(collect(folder / f"video_{d}.mov").frames[0], cv2.COLOR_RGB2GRAY) for d in (0, degrees)
    )
    key = straight[250:278, 452:516]

    def likeness(image: Picture) -> float:
        scaled = [cv2.resize(key, None, fx=scale / 10, fy=scale / 10) for scale in range(6, 14)]
        return max(float(cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED).max()) for template in scaled)

    upright, *others = [likeness(np.ascontiguousarray(np.rot90(turned, k))) for k in range(4)]
    assert upright > max(others) + 0.08


def test_pixels_that_are_not_square(folder: Path, tmp_path: Path) -> None:
    assert collect(folder / "wide-pixels.mp4").info.pixel_aspect == pytest.approx(8 / 3)

    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        stream.set_display_rotation(90)

    awkward.write(tmp_path / "turned.mp4", prepare=prepare)
    turned = collect(tmp_path / "turned.mp4")
    assert turned.info.pixel_aspect == pytest.approx(0.5)  # wide pixels stand on end
    assert {chunk.pixel_aspect for chunk in turned.chunks} == {turned.info.pixel_aspect}


# Damage


@needs_videos
def test_a_real_file_that_breaks() -> None:
    path = AWKWARD / "decord" / "corrupted.mp4"
    assert kind_of(path) == "corrupt-after-28-frames"
    kept = collect(path, on_corrupt="keep")
    assert (kept.info.broken, kept.info.decoded_frames) == ("corrupt-after-28-frames", 28)
    assert kept.frames.shape == (28, 720, 1280, 3) and kept.source_frame == list(range(28))


def test_a_file_cut_off_after_its_index_keeps_whole_frames_only(folder: Path, tmp_path: Path) -> None:
    kept = collect(folder / "half-mdat.mp4", on_corrupt="keep")
    n = kept.info.decoded_frames
    assert 5 < n < FRAMES - 5 and kept.info.broken == f"corrupt-after-{n}-frames"
    awkward.write(tmp_path / "whole.mp4", codec="mjpeg", pix_fmt="yuvj420p")
    assert np.array_equal(kept.frames, collect(tmp_path / "whole.mp4").frames[:n])
    assert kept.info.duration_s == pytest.approx(n / RATE)


def test_an_empty_packet_is_a_dropped_frame_and_not_the_end(folder: Path, tmp_path: Path) -> None:
    awkward.write(tmp_path / "whole.mp4", codec="mjpeg", pix_fmt="yuvj420p")
    whole, dropped = collect(tmp_path / "whole.mp4"), collect(folder / "empty-packet.mp4")
    rest = [n for n in range(FRAMES) if n != EMPTY]
    assert np.array_equal(dropped.frames, whole.frames[rest])
    assert dropped.time_s == [whole.time_s[n] for n in rest]


def test_what_cannot_be_decoded_at_all_is_not_kept(folder: Path) -> None:
    for name in ("encrypted.mp4", "no-moov.mp4", "giant.mov", "unknown-matrix.mp4"):
        assert kind_of(folder / name, on_corrupt="keep") == FILES[name][1].kind


# Manners


def test_chunks_are_bounded_and_whole(tmp_path: Path) -> None:
    awkward.repeat(tmp_path / "large.mkv", 20, (1280, 960))
    awkward.repeat(tmp_path / "small.mkv", 40, (64, 48))
    large, small = collect(tmp_path / "large.mkv"), collect(tmp_path / "small.mkv")
    assert [len(chunk.frames) for chunk in large.chunks] == [3] * 6 + [2]  # the third passes 8 MiB
    assert [len(chunk.frames) for chunk in small.chunks] == [16, 16, 8]
    sparse = collect(tmp_path / "small.mkv", Sampling(every=2))
    assert max(len(chunk.frames) for chunk in sparse.chunks) <= CHUNK_FRAMES + 1
    for chunk in large.chunks + small.chunks + sparse.chunks:
        assert chunk.frames.dtype == np.uint8 and chunk.frames.flags.c_contiguous
        assert chunk.frames.nbytes < CHUNK_BYTES + 2 * chunk.frames[0].nbytes
        columns = (chunk.source_frame, chunk.time_s, chunk.stored)
        assert [str(column.dtype) for column in columns] == ["int64", "float64", "bool"]
        assert {len(chunk.source_frame), len(chunk.time_s), len(chunk.stored)} == {len(chunk.frames)}


def test_every_decoded_frame_is_a_sign_of_life(folder: Path) -> None:
    seen: list[int] = []
    list(decode(folder / "plain.mp4", Sampling(every=1000), on_frame=lambda: seen.append(1)))
    assert len(seen) == FRAMES


def test_no_file_and_no_thread_is_left_behind(folder: Path) -> None:
    def once() -> None:
        for name, (_, expected) in FILES.items():
            if expected.kind is None:
                collect(folder / name)
            else:
                kind_of(folder / name)
        early = decode(folder / "far-ahead.mkv", Sampling())
        next(early)
        early.close()  # type: ignore[attr-defined]

    once()
    files, tasks = set(os.listdir("/proc/self/fd")), set(os.listdir("/proc/self/task"))
    once()
    # Nothing new; what other libraries keep for a while may end meanwhile.
    assert set(os.listdir("/proc/self/fd")) <= files
    assert set(os.listdir("/proc/self/task")) <= tasks


def test_decoding_says_nothing(folder: Path) -> None:
    """FFmpeg complains about every one of these to stderr, unless it is told not to."""
    script = """
import sys
from pathlib import Path
from vimoclip.config.store import Sampling
from vimoclip.errors import VideoError
from vimoclip.video.decode import decode
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        list(decode(path, Sampling(), "keep"))
    except VideoError:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, str(folder)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
