"""The world of a demo: its size, its clips with their labels, and a film that joins several of them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.demo import SizeName
from schemas.labels import Span
from vimoclip.savannah import FPS, PAIRS, Scene, plan, write_folder
from vimoclip.savannah.behaviours import Behaviour
from vimoclip.video.encode import write_clip

# The size of a demo: small for a first look, full for figures with intervals.


WORLD: tuple[Behaviour, ...] = (*(name for pair in PAIRS for name in pair), "running", "resting")
"""The behaviours that are rendered: the hard pairs, and two that single frames show. Beside these their clips are only
labelled standing, so that every label of the held-out splits is also trained on."""


@dataclass(frozen=True)
class Size:
    """How large a demo is.

    Attributes:
        clips: how many are rendered; they show the behaviours of WORLD in turn.
        motion_epochs: of the training of the motion student.
        fusion_epochs: of the trainings of the ablation.
        width: of TFAM.
        seeds: per row of Table 2.
        in_a_row: clips that the film joins.
    """

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
"""The split that is neither trained nor evaluated on: the film and the queries are from it."""


WORLD_SEED = 2025
"""The settings above were chosen on the world of seed 0, so that the page's figures are from clips that had no part in
that."""


def scenes_of(size: Size) -> list[Scene]:
    """The scenes that are rendered as clips."""
    return plan(size.clips, WORLD_SEED, WORLD)


def film_of(size: Size) -> list[Scene]:
    """The scenes of the film: the first clip of each behaviour in the test split."""
    first: dict[str, Scene] = {}
    for scene in scenes_of(size):
        if scene.split == TEST:
            first.setdefault(scene.behaviour, scene)
    return list(first.values())[: size.in_a_row]


def spans_of(film: list[Scene]) -> list[Span]:
    """What a film shows, in seconds from its start. Spans of the same label that touch are joined."""
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
    """Render the clips and the film, unless they exist.

    Args:
        videos: the folder of the clips.
        film: the file of the film.
        size: of the demo.
        rendered: called after each clip.

    Returns:
        Whether anything was rendered.

    Raises:
        OSError: a file cannot be written.
    """
    todo = not (videos / "labels.csv").is_file(), not film.is_file()
    if todo[0]:
        write_folder(videos, size.clips, WORLD_SEED, WORLD, rendered)
    if todo[1]:
        beside = film.with_name(f".{film.name}")
        write_clip(beside, itertools.chain.from_iterable(scene.frames() for scene in film_of(size)), FPS)
        beside.replace(film)
    return any(todo)
