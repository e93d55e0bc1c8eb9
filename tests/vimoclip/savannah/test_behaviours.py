"""The pairs differ in motion, and in nothing that one frame shows."""

import itertools

import numpy as np
import pytest

from vimoclip.savannah.behaviours import (
    BEHAVIOURS,
    CASTS,
    PAIRS,
    SIZE,
    STEADY,
    Behaviour,
    FrameSpan,
    Setting,
    perform,
)
from vimoclip.savannah.skeleton import Track
from vimoclip.savannah.species import SPECIES

FRAMES = 48


def act(
    behaviour: Behaviour, seed: int, cast: tuple[str, ...] | None = None, facing: int = 1, pan: int = 0
) -> tuple[list[Track], list[FrameSpan]]:
    setting = Setting(FRAMES, facing, pan, 86.0)
    return perform(behaviour, cast or CASTS[behaviour][0], setting, np.random.default_rng(seed))


def places(track: Track) -> np.ndarray:
    return np.array([(moment.x, moment.y, moment.scale, moment.lift) for moment in track.moments])


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs_have_the_same_casts(pair: tuple[Behaviour, Behaviour]) -> None:
    assert CASTS[pair[0]] == CASTS[pair[1]]


def test_every_behaviour_and_every_species_is_seen() -> None:
    assert set(CASTS) == set(BEHAVIOURS) and len(BEHAVIOURS) >= 12
    assert {name for casts in CASTS.values() for cast in casts for name in cast} == set(SPECIES)


@pytest.mark.parametrize("facing", [1, -1])
def test_stalking_is_walking_at_a_fifth_of_the_speed(facing: int) -> None:
    for seed in range(10):
        walk, stalk = (places(act(name, seed, facing=facing)[0][0]) for name in ("walking", "stalking"))
        speeds = [np.diff(each[:, 0]) * facing for each in (walk, stalk)]
        assert np.allclose(speeds[0], 5 * speeds[1])
        assert 2.2 < speeds[0][0] < 2.8
        assert np.array_equal(walk[:, 1:], stalk[:, 1:])


def test_walking_and_stalking_are_at_the_same_places() -> None:
    for pan in (0, 1):
        spread = []
        for name in ("walking", "stalking"):
            xs = [places(act(name, seed, pan=pan)[0][0])[:, 0] - pan * (np.arange(FRAMES) - 24) for seed in range(150)]
            spread.append(np.quantile(np.concatenate(xs), (0.1, 0.25, 0.5, 0.75, 0.9)))
        assert np.abs(spread[0] - spread[1]).max() < 14


def test_their_poses_are_the_same_in_the_course_of_the_way() -> None:
    walk, stalk = (act(name, 3)[0][0].moments for name in ("walking", "stalking"))
    middle = FRAMES // 2
    for n in range(-4, 5):
        first, second = walk[middle + n].pose, stalk[middle + 5 * n].pose
        assert first.turns == pytest.approx(second.turns)
        for leg, foot in first.feet.items():
            assert foot == pytest.approx(second.feet[leg])


def test_a_flight_is_level_and_a_jump_is_a_parabola() -> None:
    for seed in range(10):
        fly, jump = (places(act(name, seed)[0][0]) for name in ("flying", "jumping"))
        assert np.ptp(fly[:, 3]) == 0
        assert np.array_equal(fly[:, :3], jump[:, :3])
        bends = np.diff(jump[:, 3], 2)
        falling = np.median(bends)
        assert falling < -0.5
        landings = ~np.isclose(bends, falling)
        assert 2 <= landings.sum() <= 10 and (bends[landings] > falling).all()


def test_flights_are_as_high_as_jumps() -> None:
    heights = []
    for name in ("flying", "jumping"):
        lifts = [places(act(name, seed)[0][0])[:, 3] for seed in range(200)]
        heights.append(np.quantile(np.concatenate(lifts), (0.1, 0.25, 0.5, 0.75, 0.9)))
    assert np.abs(heights[0] - heights[1]).max() < 8


def test_their_wings_beat_alike() -> None:
    fly, jump = (act(name, 5)[0][0] for name in ("flying", "jumping"))
    assert [moment.pose for moment in fly.moments] == [moment.pose for moment in jump.moments]


def test_getting_up_is_lying_down_backwards() -> None:
    for seed in range(10):
        (down, bouts), (up, their) = act("lying down", seed), act("getting up", seed)
        assert down[0].moments == up[0].moments[::-1]
        assert [name for name, _, _ in bouts] == ["standing", "lying down", "resting"]
        assert [name for name, _, _ in their] == ["resting", "getting up", "standing"]
        for (_, start, end), (_, first, last) in zip(bouts, their[::-1], strict=True):
            assert (first, last) == (FRAMES - end, FRAMES - start)
        sinks = [moment.pose.sink for moment in down[0].moments]
        assert sinks[-1] - sinks[0] > 30
        _, start, end = bouts[1]
        moving = np.flatnonzero(np.abs(np.diff(sinks)) > 0.3)
        assert start - 1 <= moving[0] and moving[-1] <= end


def test_retreating_is_approaching_backwards() -> None:
    for seed in range(10):
        come, go = (places(act(name, seed)[0][0]) for name in ("approaching", "retreating"))
        np.testing.assert_allclose(come, go[::-1])
        assert 2 < come[-1, 2] / come[0, 2] < 2.6
        # What is nearer stands lower, and by as much as it is larger, seen from the horizon.
        np.testing.assert_allclose((come[:, 1] - 86) / come[:, 2], (come[0, 1] - 86) / come[0, 2])


@pytest.mark.parametrize("facing", [1, -1])
def test_who_chases_comes_closer_and_who_follows_does_not(facing: int) -> None:
    for seed in range(10):
        (last, first), _ = act("chasing", seed, facing=facing)
        gap = (places(first)[:, 0] - places(last)[:, 0]) * facing
        assert gap[0] > gap[-1] + 50 and gap[-1] > 50 and np.all(np.diff(gap) < 0)
        (last, first), _ = act("following", seed, facing=facing)
        gap = (places(first)[:, 0] - places(last)[:, 0]) * facing
        assert np.ptp(gap) < 1e-9 and 55 < gap[0] < 130


def test_their_distances_are_alike_in_single_frames() -> None:
    gaps = []
    for name in ("chasing", "following"):
        acts = [act(name, seed)[0] for seed in range(150)]
        each = [places(first)[:, 0] - places(last)[:, 0] for last, first in acts]
        gaps.append(np.quantile(np.concatenate(each), (0.1, 0.25, 0.5, 0.75, 0.9)))
    assert np.abs(gaps[0] - gaps[1]).max() < 10


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_bouts_are_in_the_clip_and_never_overlap_with_themselves(behaviour: Behaviour) -> None:
    for seed in range(20):
        cast = CASTS[behaviour][seed % len(CASTS[behaviour])]
        double = behaviour in STEADY and behaviour != "drinking" and seed % 2 == 1
        tracks, bouts = act(behaviour, seed, (*cast, cast[0]) if double else cast)
        assert len(tracks) == (2 if double else len(cast)) and all(len(track.moments) == FRAMES for track in tracks)
        assert behaviour in [name for name, _, _ in bouts]
        assert all(0 <= start < end <= FRAMES for _, start, end in bouts)
        assert [start for _, start, _ in bouts] == sorted(start for _, start, _ in bouts)
        for name in {name for name, _, _ in bouts}:
            own = [(start, end) for other, start, end in bouts if other == name]
            assert all(end < start for (_, end), (start, _) in itertools.pairwise(own))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_animals_are_in_the_frame(behaviour: Behaviour) -> None:
    for seed in range(20):
        for track in act(behaviour, seed)[0]:
            x = places(track)[:, 0]
            assert ((x > -10) & (x < SIZE[0] + 10)).mean() > 0.9
            assert 0 < x[FRAMES // 2] < SIZE[0]


def test_other_clip_lengths() -> None:
    for behaviour in BEHAVIOURS:
        for frames in (1, 2, 5):
            setting = Setting(frames, 1, 0, 86.0)
            tracks, bouts = perform(behaviour, CASTS[behaviour][0], setting, np.random.default_rng(1))
            assert all(len(track.moments) == frames for track in tracks)
            assert all(0 <= start <= end <= frames for _, start, end in bouts)
