"""Feet do not slide, cycles close, and postures are what they are called."""

import math

import pytest

from vimoclip.savannah import gaits
from vimoclip.savannah.drawing import apply
from vimoclip.savannah.skeleton import Pose, pose_parts
from vimoclip.savannah.species import SPECIES, species

WALKERS = [name for name in SPECIES if species(name).build != "flyer"]


@pytest.mark.parametrize("name", WALKERS)
def test_a_foot_on_the_ground_stays_where_it_is(name: str) -> None:
    who = species(name)
    step = 0.01
    down = {leg.name: 0 for leg in who.legs}
    for n in range(100):
        before, after = gaits.walk(who, n * step, 0.3).feet, gaits.walk(who, (n + 1) * step, 0.3).feet
        for leg in who.legs:
            if before[leg.name][1] == after[leg.name][1] == 0:
                # The body has gone forward by as much as the foot has gone back below it.
                assert before[leg.name][0] - after[leg.name][0] == pytest.approx(step * who.stride)
                down[leg.name] += 1
    assert all(60 <= count <= 64 for count in down.values())


@pytest.mark.parametrize("name", WALKERS)
@pytest.mark.parametrize("gait", ["walk", "run"])
def test_cycles_close(name: str, gait: str) -> None:
    who = species(name)

    def pose(cycles: float) -> Pose:
        return gaits.walk(who, cycles, 0.5) if gait == "walk" else gaits.run(who, cycles, 90)

    first, again, half = pose(0.2), pose(1.2), pose(0.7)
    for leg in who.legs:
        assert again.feet[leg.name] == pytest.approx(first.feet[leg.name])
        assert half.feet[leg.name] != pytest.approx(first.feet[leg.name])
    assert again.turns == pytest.approx(first.turns)


@pytest.mark.parametrize("name", ["zebra", "elephant", "giraffe", "ostrich", "hare"])
def test_a_grazing_mouth_is_near_the_ground_and_a_standing_one_is_not(name: str) -> None:
    who = species(name)
    tip = "trunk4" if name == "elephant" else "head"
    length = max(x for shape in who.named[tip].shapes for x, _ in shape.points)

    def height(pose: Pose) -> float:
        placed = pose_parts(who.parts, who.legs, who.stance, pose)
        maps = dict(zip((part.name for part in who.parts), placed, strict=True))
        return -apply(maps[tip], (length, 0.0))[1]

    assert height(gaits.hold(who, "low")) < 14
    if name != "elephant":
        assert height(gaits.hold(who, "stand")) > 60


def test_wings_never_collapse_and_beat_up_and_down() -> None:
    opened = [gaits.beat(species("eagle"), n / 200).scales["spread"][1] for n in range(200)]
    assert min(abs(each) for each in opened) >= 0.1
    assert max(opened) > 0.9 and min(opened) < -0.5


def test_blending_goes_from_one_pose_to_the_other() -> None:
    who = species("lion")
    first, second = gaits.shake(who, 0.3, 0.1), gaits.dig(who, 0.3, 0.1)
    for weight, end in ((0.0, first), (1.0, second)):
        mixed = gaits.blend(first, second, weight)
        assert mixed.sink == pytest.approx(end.sink) and mixed.pitch == pytest.approx(end.pitch)
        assert mixed.turns == pytest.approx(end.turns)
        for leg in who.legs:
            assert mixed.feet.get(leg.name, (0, 0)) == pytest.approx(end.feet.get(leg.name, (0, 0)))
    assert gaits.blend(first, second, 0.5).sink == pytest.approx((first.sink + second.sink) / 2)


def test_ease_is_smooth_at_both_ends() -> None:
    assert [gaits.ease(x) for x in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0, 0, 0.5, 1, 1]
    assert gaits.ease(0.01) < 0.001 and math.isclose(gaits.ease(0.3) + gaits.ease(0.7), 1)
