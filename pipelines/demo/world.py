"""The world of a demo on disk: clips with their labels, and a film of some in a row, with what it shows when."""

import itertools
from collections.abc import Callable
from pathlib import Path

from pipelines.demo.size import WORLD, Size
from tests.clips import write_clip
from vimoclip.savannah import FPS, Scene, Span, plan, write_folder

TEST = "test"
"""The split that nothing is trained on, and no run is evaluated on: the film and the queries are of it."""


WORLD_SEED = 2025
"""The settings of size.py were chosen on the world of seed 0: what the page says is of clips that had no part in it."""


def scenes_of(size: Size) -> list[Scene]:
    """What is rendered."""
    return plan(size.clips, WORLD_SEED, WORLD)


def film_of(size: Size) -> list[Scene]:
    """The scenes of the film: the first clips of the test split, one a behaviour."""
    first: dict[str, Scene] = {}
    for scene in scenes_of(size):
        if scene.split == TEST:
            first.setdefault(scene.behaviour, scene)
    return list(first.values())[: size.in_a_row]


def spans_of(film: list[Scene]) -> list[Span]:
    """What is to be seen in a film, in seconds from its start. Spans of one label that touch are one."""
    spans: list[Span] = []
    start = 0.0
    for scene in film:
        for span in scene.spans:
            moved = Span(span.label, start + span.start_s, start + span.end_s)
            before = next((each for each in spans if (each.label, each.end_s) == (moved.label, moved.start_s)), None)
            if before is not None:
                spans.remove(before)
                moved = Span(moved.label, before.start_s, moved.end_s)
            spans.append(moved)
        start += scene.frames_count / FPS
    return sorted(spans, key=lambda span: (span.start_s, span.label))


def render(videos: Path, film: Path, size: Size, rendered: Callable[[], None]) -> bool:
    """Write what is not there yet; whether anything was not. rendered: told after each clip.

    Raises:
        OSError: it cannot be written.
    """
    todo = not (videos / "labels.csv").is_file(), not film.is_file()
    if todo[0]:
        write_folder(videos, size.clips, WORLD_SEED, WORLD, rendered)
    if todo[1]:
        beside = film.with_name(f".{film.name}")
        write_clip(beside, itertools.chain.from_iterable(scene.frames() for scene in film_of(size)), FPS)
        beside.replace(film)
    return any(todo)
