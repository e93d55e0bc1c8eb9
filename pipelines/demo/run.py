"""`vimoclip demo`: render a world, carry out every step on it as a user would, and write a page of what came out.

Steps are command lines (steps.py) and are carried out in one process by whoever asks for a demo, who hands back the
document that each prints with --json. Each of them goes on where it was stopped, and so does the demo.
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
from vimoclip.progress import NO_PROGRESS, Progress

CarryOut = Callable[[Sequence[str]], Any]
"""Carries out a command, words after `vimoclip`, and hands back the document that it prints with --json."""

RENDER = "render"


@dataclass(frozen=True)
class DemoRequest:
    """folder: for all that is made. size: by name, or another one."""

    folder: Path
    size: SizeName | Size = "small"


@dataclass
class DemoReport:
    """page: the HTML file. rendered: whether anything was, in this run. documents: what each step said, by name. costs:
    see costs.py. rows, pairs: of the page's tables. seconds: of this run."""

    page: Path
    rendered: bool = False
    documents: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    pairs: list[HardPair] = field(default_factory=list)
    seconds: float = 0.0


def run(request: DemoRequest, carry_out: CarryOut, progress: Progress = NO_PROGRESS) -> DemoReport:
    """All of it.

    Args:
        request: what to make, and where.
        carry_out: carries out a step.
        progress: the clips that are rendered are a stage; a message is a step's command line. How far a step is,
            `carry_out` shows as it likes.

    Raises:
        RunError: the folder holds a demo of another size, or cannot be written. And what `carry_out` raises.
    """
    began = time.monotonic()
    size = request.size if isinstance(request.size, Size) else SIZES[request.size]
    places = DemoPaths(request.folder)
    costs = Costs(places.costs)
    _check(places, size)
    report = DemoReport(places.report)
    if not (places.videos / "labels.csv").is_file():
        progress.message(f"Rendering {size.clips} clips of a savannah into {places.videos}")
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
