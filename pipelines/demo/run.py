"""Running a demo: render a world, carry out every step on it as a user would, and write a page with the results.

Steps are command lines (steps.py). The caller carries them out in this process, and returns the document that each
prints with --json. Every step continues where it was interrupted, and so does the demo.
"""

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.demo import SizeName, world
from pipelines.demo.costs import Cost, Costs
from pipelines.demo.hard_pairs import HardPair
from pipelines.demo.report import Row, gather, page
from pipelines.demo.steps import DemoPaths, demo_steps
from pipelines.demo.world import SIZES, Size
from vimoclip.atomic import atomic_write
from vimoclip.errors import RunError
from vimoclip.progress import NO_PROGRESS, Progress, count

CarryOut = Callable[[Sequence[str]], Any]
"""Carries out a command, given as the words after `vimoclip`, and returns the document that it prints with --json."""

RENDER = "render"
"""Name of the first step, which is not a command."""


@dataclass(frozen=True)
class DemoRequest:
    """What to make, and where.

    Attributes:
        folder: for everything.
        size: by name, or a size of one's own.
    """

    folder: Path
    size: SizeName | Size = "small"


@dataclass
class DemoReport:
    """What a demo did.

    Attributes:
        page: the HTML file.
        rendered: whether clips or film were rendered in this run.
        documents: what each step printed with --json, by name.
        costs: time and memory of each step, by name.
        rows: of Table 2.
        pairs: hard pairs.
        seconds: how long this run took.
    """

    page: Path
    rendered: bool = False
    documents: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    pairs: list[HardPair] = field(default_factory=list)
    seconds: float = 0.0


def run(request: DemoRequest, carry_out: CarryOut, progress: Progress = NO_PROGRESS) -> DemoReport:
    """Run a demo; whatever `carry_out` raises ends it.

    Args:
        request: what to make, and where.
        carry_out: carries out a step, and shows the progress of it.
        progress: a stage for the rendering, whose items are clips, and a message for each step's command line.

    Raises:
        RunError: the folder holds a demo of another size, or cannot be written.
    """
    began = time.monotonic()
    size = request.size if isinstance(request.size, Size) else SIZES[request.size]
    places = DemoPaths(request.folder)
    costs = Costs(places.costs)
    _check(places, size)
    report = DemoReport(places.report)
    if not (places.videos / "labels.csv").is_file():
        progress.message(f"Rendering {count(size.clips, 'clip')} of a savannah into {places.videos}")
        progress.stage("rendering", size.clips)
    with costs.measured(RENDER, f"{size.clips} clips"):
        report.rendered = world.render(places.videos, places.film, size, progress.advance)
    steps = demo_steps(size, places)
    for step in steps:
        progress.message(f"\n$ {step.line}")
        with costs.measured(step.name, step.line):
            report.documents[step.name] = carry_out(step.command)
    found = gather(places, size, steps, report.documents, costs)
    with atomic_write(places.report) as path:
        path.write_text(page(found), encoding="utf-8")
    report.rows, report.pairs = found.rows, found.pairs
    report.costs = {each.name: each.cost for each in found.steps}
    report.seconds = time.monotonic() - began
    return report


def _check(places: DemoPaths, size: Size) -> None:
    """Refuse a folder with another number of clips."""
    try:
        with (places.videos / "labels.csv").open(encoding="utf-8", newline="") as file:
            clips = {row["filepath"] for row in csv.DictReader(file)}
    except FileNotFoundError:
        return
    if len(clips) != size.clips:
        raise RunError(
            f"{places.folder} holds a demo of another size.",
            received=f"{len(clips)} clips",
            expected=f"{size.clips} clips",
            hint="Name another folder.",
        )
