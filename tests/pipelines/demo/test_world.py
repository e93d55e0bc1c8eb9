"""The world: what is rendered is on every side of the splits, and the film shows what its spans say."""

from collections import defaultdict

import pytest

from pipelines.demo.world import SIZES, TEST, WORLD, Size, film_of, scenes_of, spans_of
from vimoclip.savannah import FPS, PAIRS

SMALL = Size(clips=24, motion_epochs=1, fusion_epochs=1, width=32, seeds=1)


@pytest.mark.parametrize("size", [SMALL, *SIZES.values()])
def test_every_label_is_trained_on(size: Size) -> None:
    shown = defaultdict(set)
    for scene in scenes_of(size):
        for span in scene.spans:
            shown[scene.split].add(span.label)
    assert shown["val"] | shown[TEST] <= shown["train"] == {*WORLD, "standing"}


@pytest.mark.parametrize("size", SIZES.values())
def test_every_pair_is_held_out(size: Size) -> None:
    held_out = [scene.behaviour for scene in scenes_of(size) if scene.split != "train"]
    assert min(held_out.count(behaviour) for pair in PAIRS for behaviour in pair) >= 3


def test_a_film_is_of_clips_that_nothing_was_trained_on() -> None:
    film = film_of(SIZES["small"])
    assert {scene.split for scene in film} == {TEST}
    assert len({scene.behaviour for scene in film}) == len(film) == SIZES["small"].in_a_row


def test_spans_of_a_film_are_those_of_its_clips_one_after_the_other() -> None:
    film = film_of(SIZES["small"])
    spans = spans_of(film)
    before = 0
    for scene in film:
        for frame in range(scene.frames_count):
            own, at = (frame + 0.5) / FPS, (before + frame + 0.5) / FPS
            expected = {span.label for span in scene.spans if span.start_s <= own < span.end_s}
            assert {span.label for span in spans if span.start_s <= at < span.end_s} == expected
        before += scene.frames_count
    assert all(a.label != b.label or a.end_s < b.start_s for a in spans for b in spans if a.start_s < b.start_s)
