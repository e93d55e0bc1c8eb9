"""Vectors that other tools wrote: what a path is taken for, and which vector a stored frame gets."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.videos import Video
from tests.vimoclip.stores import ok_row
from vimoclip.embedding.vector_files import VectorFiles, VideoVectors, open_vectors
from vimoclip.errors import FeatureError, VideoError
from vimoclip.frames import VideoFailed

RNG = np.random.default_rng(0)


def row(frames: int, fps: float) -> Video:
    return ok_row("a.mp4", 1, frames, "0", decoded_frames=frames, duration_s=frames / fps)


def numbered(count: int, width: int = 3) -> np.ndarray:
    """Vectors of which each says its number: (n + 1, 1, 1, …)."""
    values = np.ones((count, width), np.float32)
    values[:, 0] = np.arange(count) + 1
    return values


def chosen(found: VideoVectors, stored: list[int], fps: float = 10.0, frames: int = 10) -> list[int | None]:
    """Which of the numbered vectors each stored frame gets."""
    source = np.array(stored, np.int64)
    made = found.of_frames(row(frames, fps), source, source / fps)
    assert made.values.dtype == np.float16 and made.norm.dtype == np.float32
    raw = made.values.astype(np.float64) * made.norm[:, None]
    return [round(first) - 1 if there else None for first, there in zip(raw[:, 0], made.present, strict=True)]


def only(files: VectorFiles) -> VideoVectors:
    (found,) = files.iter_videos(files.aliases)
    assert isinstance(found, VideoVectors)
    return found


# Which vector a frame gets.


def test_one_vector_a_decoded_frame_or_a_stored_one_needs_no_positions() -> None:
    assert chosen(VideoVectors("a", numbered(10)), [0, 2, 4, 9]) == [0, 2, 4, 9]
    assert chosen(VideoVectors("a", numbered(4)), [0, 2, 4, 9]) == [0, 1, 2, 3]
    with pytest.raises(VideoError, match=r"neither at which times nor at which frames .* a_time_s.npy") as raised:
        chosen(VideoVectors("a", numbered(5)), [0, 2, 4, 9])
    assert raised.value.kind == "bad-vectors"


def test_of_dense_vectors_each_stored_frame_gets_its_own() -> None:
    at = np.arange(10) / 10 + 0.004  # as a tool rounds them
    assert chosen(VideoVectors("a", numbered(10), at), [0, 5, 9]) == [0, 5, 9]


def test_a_vector_of_a_stack_covers_the_frames_around_it_and_no_others() -> None:
    found = VideoVectors("a", numbered(2), np.array([1.5, 4.5]), "frame")
    assert chosen(found, list(range(10))) == [0, 0, 0, 0, 1, 1, 1, None, None, None]
    gap = VideoVectors("a", numbered(4), np.array([0, 1, 8, 9]), "frame")
    assert chosen(gap, list(range(10))) == [0, 1, None, None, None, None, None, None, 2, 3]


@given(
    st.integers(1, 40),
    st.integers(1, 6),
    st.lists(st.integers(0, 39), min_size=1, max_size=12, unique=True).map(sorted),
)
def test_no_nearer_vector_exists_and_reach_is_half_a_spacing(frames: int, step: int, stored: list[int]) -> None:
    stored = sorted({each % frames for each in stored})
    at = np.arange(0, frames, step)
    got = chosen(VideoVectors("a", numbered(len(at)), at.astype(np.float64), "frame"), stored, frames=frames)
    spacing = max([step] if len(at) > 1 else [0], default=0)
    own = float(np.median(np.diff(stored))) if len(stored) > 1 else 0.0
    for frame, vector in zip(stored, got, strict=True):
        distances = np.abs(at - frame)
        if vector is None:
            assert distances.min() > max(spacing, own) / 2
        else:
            assert distances[vector] == distances.min() <= max(spacing, own) / 2


def test_order_does_not_matter_and_a_vector_of_zeros_is_none() -> None:
    values = numbered(10)
    values[3] = 0
    mixed = np.random.default_rng(1).permutation(10)
    found = VideoVectors("a", values[mixed], mixed.astype(np.float64), "frame")
    assert chosen(found, list(range(10))) == [0, 1, 2, None, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("values", "at", "clock", "message"),
    [
        (numbered(10), np.arange(10) + 1.0, "frame", r"outside of the video.*frame 1 to 10.*0 to 9.*count from 0"),
        (numbered(2), np.array([0.0, 90.0]), "time", r"outside of the video.*0 to 90 s"),
        (numbered(2), np.array([-0.5, 0.0]), "time", "outside"),
        (numbered(2), np.array([3.0, 3.0]), "frame", "same frame"),
        (numbered(2), np.array([0.0, np.nan]), "time", "outside"),
        (numbered(2), np.array([0.0]), "time", "one position"),
        (np.full((10, 3), np.nan), None, "time", "not finite"),
        (np.full((10, 3), 1e300), None, "time", "not finite"),
        (np.ones((10, 3, 2)), None, "time", r"holds no vectors.*\(10, 3, 2\)"),
        (np.full((10, 3), "x"), None, "time", "holds no vectors"),
    ],
)
def test_what_cannot_be_vectors_of_this_video_is_refused(values: Any, at: Any, clock: Any, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        chosen(VideoVectors("a", values, at, clock), list(range(10)))


def test_raw_vectors_come_back_from_unit_vectors_and_norms() -> None:
    values = RNG.normal(size=(10, 64)) * 7
    made = VideoVectors("a", values).of_frames(row(10, 10.0), np.arange(10), np.arange(10) / 10)
    raw = made.values.astype(np.float64) * made.norm[:, None]
    assert np.abs(raw - values).max() < 7 * 3 * 2**-10


# What a path is taken for.


def test_a_folder_of_video_features(tmp_path: Path) -> None:
    for name in ("clip_1", "clip"):  # one name begins with the other
        np.save(tmp_path / f"{name}_clip.npy", numbered(10))
        np.save(tmp_path / f"{name}_timestamps_ms.npy", np.arange(10) * 100.0)
        np.save(tmp_path / f"{name}_fps.npy", np.array(10.0))
    files = open_vectors(str(tmp_path), "mine")
    assert dict(files.aliases) == {"clip_1_clip": ("clip_1", "clip_1"), "clip_clip": ("clip", "clip")}
    for found in files.iter_videos(files.aliases):
        assert isinstance(found, VideoVectors) and found.at is not None
        assert (found.clock, found.at[-1]) == ("time", 0.9)


def test_two_streams_of_video_features_are_chosen_by_a_pattern_and_lie_in_the_middle_of_their_stacks(
    tmp_path: Path,
) -> None:
    for key in ("rgb", "flow"):
        np.save(tmp_path / f"a_{key}.npy", numbered(3))
    np.save(tmp_path / "a_timestamps_ms.npy", np.array([640.0, 1280, 1920]))  # where stacks of 0.64 s end
    with pytest.raises(FeatureError, match=r"Several files hold vectors of one video.*a_flow.npy, a_rgb.npy.*pattern"):
        open_vectors(str(tmp_path), "i3d")
    found = only(open_vectors(str(tmp_path / "*_flow.npy"), "i3d"))
    assert found.name == "a_flow" and found.at is not None
    np.testing.assert_allclose(found.at, [0.32, 0.96, 1.6])


def test_a_name_that_ends_like_a_file_of_positions_is_a_name(tmp_path: Path) -> None:
    np.save(tmp_path / "first_frame.npy", numbered(10))
    np.save(tmp_path / "b.npy", numbered(3))
    np.save(tmp_path / "b_frame.npy", np.array([0, 4, 8]))
    (tmp_path / "site").mkdir()
    np.savez(tmp_path / "site" / "c.npz", mine=numbered(2), other=numbered(4), frame=np.array([0, 9]))
    files = open_vectors(str(tmp_path), "mine")
    assert list(files.aliases) == ["b", "first_frame", "site/c"]
    b, first, c = files.iter_videos(files.aliases)
    assert isinstance(b, VideoVectors) and b.at is not None and b.clock == "frame"
    assert isinstance(first, VideoVectors) and first.at is None
    assert isinstance(c, VideoVectors) and len(c.values) == 2 and c.at is not None


def test_one_file_is_one_video_and_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", numbered(10))
    assert only(open_vectors(str(tmp_path / "a.npy"), "mine")).name == "a"
    (tmp_path / "broken.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:100])
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "which.npz", one=numbered(2), two=numbered(2))
    (tmp_path / "empty.npy").touch()
    files = open_vectors(str(tmp_path), "mine")
    read, failed = dict[str, VideoVectors](), dict[str, VideoFailed]()
    for each in files.iter_videos(files.aliases):
        if isinstance(each, VideoFailed):
            failed[each.video_id] = each
        else:
            read[each.name] = each
    assert list(read) == ["a"]
    assert {name: each.kind for name, each in failed.items()} == {
        "broken": "unreadable",
        "empty": "unreadable",
        "objects": "unreadable",
        "which": "bad-vectors",
    }
    assert "Which of these are the vectors? Received: one, two" in failed["which"].message


@pytest.mark.parametrize("column", ["frame", "time_ms"])
def test_parquet(tmp_path: Path, column: str) -> None:
    rows: dict[str, list[Any]] = {"filepath": [], column: [], "embedding": []}
    for name, count in (("site/a.mp4", 5000), ("site/b.mp4", 3)):  # more than are read at once
        rows["filepath"] += [name] * count
        rows[column] += [float(n) for n in range(count)]
        rows["embedding"] += numbered(count).tolist()
    pl.DataFrame(rows).write_parquet(tmp_path / "v.parquet")
    files = open_vectors(str(tmp_path / "v.parquet"), "mine")
    a, b = files.iter_videos(files.aliases)
    assert isinstance(a, VideoVectors) and isinstance(b, VideoVectors) and a.at is not None and b.at is not None
    assert (a.name, a.values.shape, b.name, b.values.shape) == ("site/a.mp4", (5000, 3), "site/b.mp4", (3, 3))
    assert (a.at[-1], a.clock) == ((4999.0, "frame") if column == "frame" else (4.999, "time"))
    assert [each.values.shape for each in files.iter_videos({"site/b.mp4"}) if isinstance(each, VideoVectors)]
    pl.DataFrame(rows).reverse().vstack(pl.DataFrame(rows)).write_parquet(tmp_path / "mixed.parquet")
    with pytest.raises(FeatureError, match=r"do not lie together.*Sort the table by filepath"):
        open_vectors(str(tmp_path / "mixed.parquet"), "mine")


def test_parquet_of_vectors_of_several_widths(tmp_path: Path) -> None:
    rows = {"video": ["a", "a", "b", "c"], "vector": [[1.0, 2.0], [1.0], [3.0, 4.0], None]}
    pl.DataFrame(rows).write_parquet(tmp_path / "v.parquet")
    files = open_vectors(str(tmp_path / "v.parquet"), "mine")
    assert [isinstance(each, VideoFailed) for each in files.iter_videos(files.aliases)] == [True, False, True]


def test_hdf5_of_datasets_and_of_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["site/a.mp4"] = numbered(10)
        group = file.create_group("site/b.mp4")
        group["features"], group["time_s"] = numbered(2), np.array([0.0, 0.5])
    files = open_vectors(str(tmp_path / "v.h5"), "mine")
    a, b = files.iter_videos(files.aliases)
    assert isinstance(a, VideoVectors) and (a.name, a.at) == ("site/a.mp4", None)
    assert isinstance(b, VideoVectors) and b.name == "site/b.mp4" and b.at is not None and b.at[1] == 0.5


def test_paths_that_hold_no_vectors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no vectors")
    pl.DataFrame({"when": [1], "vector": [[1.0]]}).write_parquet(tmp_path / "v.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "v.parquet").read_bytes()[:20])
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["count"] = 3
    for name, message in (
        ("nowhere", "no vectors that can be read"),
        ("notes.txt", "no vectors that can be read"),
        (".", "holds no vectors"),
        ("*.npy", "holds no vectors"),
        ("v.parquet", "lacks a column of videos"),
        ("cut.parquet", "cannot be read"),
        ("v.h5", "holds no vectors"),
    ):
        with pytest.raises(FeatureError, match=message):
            open_vectors(str(tmp_path / name), "mine")


def test_the_hash_is_of_the_vectors_and_their_positions(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", numbered(3))
    hashes = [open_vectors(str(tmp_path), "mine").sha256]
    np.save(tmp_path / "a_frame.npy", np.arange(3))
    hashes.append(open_vectors(str(tmp_path), "mine").sha256)
    np.save(tmp_path / "a.npy", numbered(4))
    hashes.append(open_vectors(str(tmp_path), "mine").sha256)
    assert len(set(hashes)) == 3 and open_vectors(str(tmp_path), "mine").sha256 == hashes[-1]
