"""The world of a demo on disk: clips with their labels, and a film of some in a row, with what it shows when."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.demo import SizeName
from schemas.labels import Span
from vimoclip.savannah import FPS, PAIRS, Scene, plan, write_folder
from vimoclip.savannah.behaviours import Behaviour
from vimoclip.video.encode import write_clip

# How large a demo is: a small one for a first look, a full one with intervals.


WORLD: tuple[Behaviour, ...] = (*(name for pair in PAIRS for name in pair), "running", "resting")
"""What is rendered: the hard pairs, and two behaviours that single frames show. Their clips have no other label but
standing, so that no label is in the held-out splits alone."""


@dataclass(frozen=True)
class Size:
    """clips: rendered, of WORLD in turn. motion_epochs, fusion_epochs: of the two trainings. width: of TFAM. seeds: of
    each row of Table 2. in_a_row: clips of the film that is predicted."""

    clips: int
    motion_epochs: int
    fusion_epochs: int
    width: int
    seeds: int
    in_a_row: int = 12


SIZES: dict[SizeName, Size] = {
    "small": Size(clips=144, motion_epochs=7, fusion_epochs=30, width=128, seeds=1),
    "full": Size(clips=360, motion_epochs=6, fusion_epochs=20, width=128, seeds=5),
}


TEST = "test"
"""The split that nothing is trained on, and no run is evaluated on: the film and the queries are of it."""


WORLD_SEED = 2025
"""The settings of world.py were chosen on the world of seed 0: what the page says is of clips that had no part in it.
"""


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
