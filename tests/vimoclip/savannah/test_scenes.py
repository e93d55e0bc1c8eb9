"""Plans are balanced, stable and fair, and scenes say what they show."""

import itertools
from collections import Counter
from pathlib import PurePosixPath

import pytest

from vimoclip.errors import ConfigError
from vimoclip.savannah import BEHAVIOURS, FPS, HABITATS, PAIRS, SPECIES, plan
from vimoclip.savannah.habitats import LIGHTS, WEATHERS
from vimoclip.savannah.scenes import CAMERAS

PLAN = plan(len(BEHAVIOURS) * 10)


def test_asking_for_more_keeps_the_ones_there_were() -> None:
    assert plan(25) == plan(60)[:25]
    assert plan(0) == []
    assert plan(25, seed=1) != plan(25)


def test_behaviours_and_splits_are_balanced() -> None:
    assert Counter(scene.behaviour for scene in PLAN) == dict.fromkeys(BEHAVIOURS, 10)
    for behaviour in BEHAVIOURS:
        splits = Counter(scene.split for scene in PLAN if scene.behaviour == behaviour)
        assert splits == {"train": 6, "test": 2, "val": 2}
    assert len({scene.split for scene in plan(len(BEHAVIOURS))}) == 3


def test_names_and_seeds_are_their_own_and_say_nothing() -> None:
    assert len({scene.name for scene in PLAN}) == len({scene.seed for scene in PLAN}) == len(PLAN)
    for scene in PLAN:
        assert not any(word in scene.name for word in (*BEHAVIOURS, *SPECIES, *HABITATS))
        assert PurePosixPath(scene.name).suffix == ""
    rounds = [
        [scene.behaviour for scene in PLAN[n : n + len(BEHAVIOURS)]] for n in range(0, len(PLAN), len(BEHAVIOURS))
    ]
    assert all(a != b for a, b in itertools.pairwise(rounds))


def test_some_of_the_behaviours() -> None:
    scenes = plan(9, behaviours=("flying", "jumping", "digging"))
    assert Counter(scene.behaviour for scene in scenes) == {"flying": 3, "jumping": 3, "digging": 3}


@pytest.mark.parametrize("pair", PAIRS)
def test_the_looks_of_a_pair_do_not_depend_on_the_behaviour(pair: tuple[str, str]) -> None:
    def looks(behaviour: str) -> list[object]:
        scenes = plan(40, seed=7, behaviours=(behaviour,))
        return [(s.seed, s.species, s.habitat, s.light, s.weather, s.camera, s.facing) for s in scenes]

    assert looks(pair[0]) == looks(pair[1])


def test_everything_is_seen() -> None:
    assert {name for scene in PLAN for name in scene.species} == set(SPECIES)
    assert {scene.habitat for scene in PLAN} == set(HABITATS)
    assert {scene.light for scene in PLAN} == set(LIGHTS)
    assert {scene.weather for scene in PLAN} == set(WEATHERS)
    assert {scene.camera for scene in PLAN} == set(CAMERAS)
    assert {scene.facing for scene in PLAN} == {-1, 1}
    assert {len(scene.species) for scene in PLAN} == {1, 2}
    assert all(scene.habitat == "waterhole" for scene in PLAN if scene.behaviour == "drinking")


def test_spans_are_in_the_clip() -> None:
    for scene in PLAN:
        assert scene.behaviour in [span.label for span in scene.spans]
        assert all(0 <= span.start_s < span.end_s <= scene.frames_count / FPS for span in scene.spans)
        assert all(span.label in BEHAVIOURS for span in scene.spans)
        starts = [(span.label, span.start_s) for span in scene.spans]
        assert len(set(starts)) == len(starts)  # a label file takes one end for a label and a start
    assert sum(len(scene.spans) > 1 for scene in PLAN) > 30


def test_captions_name_what_is_seen() -> None:
    for scene in PLAN:
        caption = scene.caption
        assert caption[0].isupper() and caption.endswith(".") and caption.count(".") == 1 and "{" not in caption
        assert all(name in caption for name in scene.species)
        assert scene.habitat in caption and scene.light in caption
        word = {
            "retreating": "walking away",
            "approaching": "approaching the camera",
            "head shaking": "shaking its head",
        }
        assert word.get(scene.behaviour, scene.behaviour) in caption
        assert ("another" in caption) == (len(scene.species) != len(set(scene.species)))
    assert len({scene.caption for scene in PLAN}) > 0.6 * len(PLAN)


@pytest.mark.parametrize(
    ("count", "behaviours", "message"),
    [(-1, BEHAVIOURS, "-1"), (3, ("barking",), "barking"), (3, (), "at least one"), (3, ("flying", "flying"), "once")],
)
def test_bad_plans_are_refused(count: int, behaviours: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(count, behaviours=behaviours)
