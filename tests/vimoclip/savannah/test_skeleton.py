"""Legs reach where the pose says, segments keep their lengths, and parts hang together."""

import math

import pytest

from vimoclip.savannah.drawing import apply
from vimoclip.savannah.gaits import hold, walk
from vimoclip.savannah.skeleton import Pose, pose_parts
from vimoclip.savannah.species import SPECIES, species


@pytest.mark.parametrize("name", SPECIES)
def test_feet_are_where_the_pose_says(name: str) -> None:
    who = species(name)
    pose = Pose(sink=9.0, feet={leg.name: (6.0, 3.0) for leg in who.legs})
    placed = dict(
        zip((part.name for part in who.parts), pose_parts(who.parts, who.legs, who.stance, pose), strict=True)
    )
    for leg in who.legs:
        foot = apply(placed[f"{leg.name}-lower"], (leg.lengths[1], 0.0))
        assert foot == pytest.approx((leg.hip[0] + 6, -3), abs=1e-6)
        hip, knee = apply(placed[f"{leg.name}-upper"], (0.0, 0.0)), apply(placed[f"{leg.name}-lower"], (0.0, 0.0))
        assert hip == pytest.approx((leg.hip[0], leg.hip[1] + 9 - who.stance))
        assert math.dist(hip, knee) == pytest.approx(leg.lengths[0])
        middle = ((hip[0] + foot[0]) / 2, (hip[1] + foot[1]) / 2)
        assert (knee[0] - middle[0]) * leg.knee > 0  # bent forward or backward, as it should be


@pytest.mark.parametrize("name", SPECIES)
def test_a_foot_out_of_reach_is_reached_for(name: str) -> None:
    who = species(name)
    pose = Pose(feet={leg.name: (900.0, 0.0) for leg in who.legs})
    placed = dict(
        zip((part.name for part in who.parts), pose_parts(who.parts, who.legs, who.stance, pose), strict=True)
    )
    for leg in who.legs:
        foot = apply(placed[f"{leg.name}-lower"], (leg.lengths[1], 0.0))
        hip = apply(placed[f"{leg.name}-upper"], (0.0, 0.0))
        assert math.dist(hip, foot) == pytest.approx(sum(leg.lengths), abs=0.01)
        assert foot[0] > hip[0]


@pytest.mark.parametrize("name", SPECIES)
def test_parts_turn_about_their_joints(name: str) -> None:
    who = species(name)
    still = pose_parts(who.parts, who.legs, who.stance, hold(who, "stand"))
    turned = pose_parts(who.parts, who.legs, who.stance, walk(who, 0.1, 0.0))
    named = {part.name: n for n, part in enumerate(who.parts)}
    for placed in (still, turned):
        for n, part in enumerate(who.parts):
            if part.parent:
                joint = apply(placed[named[part.parent]], part.joint)
                assert apply(placed[n], (0.0, 0.0)) == pytest.approx(joint)


@pytest.mark.parametrize("name", SPECIES)
def test_every_leg_has_its_parts_and_every_parent_exists(name: str) -> None:
    who = species(name)
    names = [part.name for part in who.parts]
    assert len(set(names)) == len(names)
    assert {part.parent for part in who.parts} - {""} <= set(names)
    assert {f"{leg.name}-{piece}" for leg in who.legs for piece in ("upper", "lower")} <= set(names)
    assert who.name == name
