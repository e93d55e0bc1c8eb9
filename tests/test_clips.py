"""The shapes move as promised, and the files hold what was drawn."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests import clips
from tests.clips import BEHAVIOURS, COLOURS, Behaviour
from vimoclip.errors import ConfigError
from vimoclip.video.encode import write_clip

SIZE = (128, 96)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_same_seed_same_frames(behaviour: Behaviour) -> None:
    first = list(clips.render(behaviour, 7, 12, SIZE))
    assert len(first) == 12
    assert all(frame.shape == (96, 128, 3) and frame.dtype == np.uint8 for frame in first)
    np.testing.assert_array_equal(first, list(clips.render(behaviour, 7, 12, SIZE)))
    assert not np.array_equal(first[0], next(clips.render(behaviour, 8, 12, SIZE)))


@pytest.mark.parametrize("seed", range(8))
def test_drifting_moves_by_exactly_its_velocity(seed: int) -> None:
    frames = list(clips.render("drifting", seed, 6, SIZE))
    places = clips.trajectory("drifting", seed, 6, SIZE)
    step = clips.velocity(seed, SIZE)
    assert step != 0
    np.testing.assert_array_equal(np.diff(places[:, 0]), step)
    inner = int(places[0, 2] / 4)  # a square inside every one of the shapes
    patches = []
    for frame, (x, y, _) in zip(frames, places.astype(int), strict=True):
        patches.append(frame[y - inner : y + inner + 1, x - inner : x + inner + 1])
    assert patches[0].std() > 5  # textured: otherwise the next line would hold for any small step
    np.testing.assert_array_equal(patches, [patches[0]] * 6)


def test_drifting_goes_both_ways() -> None:
    assert {int(np.sign(clips.velocity(seed))) for seed in range(20)} == {-1, 1}


def test_a_long_drift_leaves_and_comes_back() -> None:
    places = clips.trajectory("drifting", 3, 400, SIZE)
    jumps = np.flatnonzero(np.diff(places[:, 0]) != clips.velocity(3, SIZE))
    assert len(jumps) > 1
    frames = list(clips.render("drifting", 3, 400, SIZE))
    empty = frames[jumps[0]].astype(int)
    # On both sides of a jump hardly anything of the shape is to be seen.
    assert np.mean(np.abs(frames[jumps[0] + 1] - empty) > 20) < 0.02
    assert np.mean(np.abs(frames[jumps[0] + 20] - empty) > 20) > 0.02


def test_the_others_move_as_they_are_called() -> None:
    for seed in range(10):
        assert np.ptp(clips.trajectory("still", seed, 48, SIZE), axis=0).max() == 0
        circle = np.diff(clips.trajectory("circling", seed, 48, SIZE)[:, :2], axis=0)
        speed = np.hypot(*circle.T)
        assert speed.min() > 1
        np.testing.assert_allclose(speed, speed[0])
        bounce = clips.trajectory("bouncing", seed, 48, SIZE)
        assert np.ptp(bounce[:, 0]) == 0
        assert np.ptp(bounce[:, 1]) > 15
        growth = clips.trajectory("growing", seed, 48, SIZE)
        assert np.ptp(growth[:, :2], axis=0).max() == 0
        assert np.diff(growth[:, 2]).min() > 0
        assert growth[-1, 2] == 4 * growth[0, 2]


@pytest.mark.parametrize("size", [(320, 240), (32, 32), (33, 97), (640, 64)])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_shape_stays_inside(behaviour: Behaviour, size: tuple[int, int]) -> None:
    frames = 24 if behaviour != "drifting" else 1
    for seed in range(10):
        x, y, r = clips.trajectory(behaviour, seed, frames, size).T
        assert np.min([x - r, y - r]) >= 0
        assert np.max(x + r) <= size[0] - 1
        assert np.max(y + r) <= size[1] - 1


def test_still_is_still_and_its_background_too() -> None:
    frames = list(clips.render("still", 5, 4, SIZE))
    np.testing.assert_array_equal(frames, [frames[0]] * 4)
    moving = np.array(list(clips.render("growing", 5, 4, SIZE)))
    assert np.mean(np.ptp(moving, axis=0) == 0) > 0.5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"behaviour": "flying"}, "flying"),
        ({"frames": 0}, "at least 1"),
        ({"size": (320, 16)}, "(320, 16)"),
        ({"fps": 0.0}, "above 0"),
    ],
)
def test_wrong_arguments_are_named_at_the_call(arguments: dict[str, Any], named: str) -> None:
    every: dict[str, Any] = {"behaviour": "still", "seed": 0, **arguments}
    with pytest.raises(ConfigError) as caught:
        clips.render(**every)
    assert named in str(caught.value)


def test_a_clip_decodes_to_what_was_drawn(tmp_path: Path) -> None:
    drawn = list(clips.render("circling", 1, 10, SIZE, 29.97))
    path = write_clip(tmp_path / "a.mp4", drawn, 29.97)
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(29.97, abs=1e-3)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == 10
    for before, after in zip(drawn, decoded, strict=True):
        assert np.abs(before.astype(int) - after).mean() < 8
    again = write_clip(tmp_path / "b.mp4", iter(drawn), 29.97)
    assert path.read_bytes() == again.read_bytes()


def test_other_codecs_and_sides(tmp_path: Path) -> None:
    frames = list(clips.render("still", 1, 3, (97, 65)))
    with pytest.raises(ConfigError, match="97x65"):
        write_clip(tmp_path / "odd.mp4", frames, 24)
    with pytest.raises(ConfigError, match="at least one"):
        write_clip(tmp_path / "empty.mp4", [], 24)
    path = write_clip(tmp_path / "odd.mkv", frames, 24, codec="ffv1", pix_fmt="bgr0")
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_array_equal(decoded, frames)


def test_a_folder_and_its_labels(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    paths = clips.write_folder(folder, 4, 5, SIZE, 24.0, seed=2)
    assert sorted(folder.rglob("*.mp4")) == sorted(paths)
    assert len(paths) == 4 * len(BEHAVIOURS)
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == len(paths)
    for path in paths:
        with av.open(str(path)) as container:
            sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
        assert sizes == [SIZE] * 5
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [folder / row["filepath"] for row in rows] == paths
    assert all(row["filepath"].startswith(row["label"] + "/") for row in rows)
    assert list(rows[0]) == ["filepath", "label", "split", "colour"]
    for behaviour in BEHAVIOURS:
        assert {row["split"] for row in rows if row["label"] == behaviour} == {"train", "val", "test"}
    assert {row["colour"] for row in rows} <= set(COLOURS)


def test_more_clips_keep_the_first_ones() -> None:
    few, many = clips.plan(2, seed=1), clips.plan(3, seed=1)
    assert set(few) < set(many)
    assert len({clip.seed for clip in many + clips.plan(3, seed=2)}) == 2 * len(many)
