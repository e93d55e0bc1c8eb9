"""The progress bar of long commands, on stderr, with the lines above it that stay."""

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from cli import render
from vimoclip.progress import Progress, time_in_words

LINE_S = 30.0
"""How often a line takes the place of the bar where stderr is not a terminal."""
ESTIMATE_AFTER_S = 10.0
"""How long a stage runs before such a line says how long the rest will take."""


class ProgressBar(Progress):
    """A context manager that shows how far a command is.

    Where stderr is not a terminal it prints a line every `LINE_S` seconds instead of a bar.
    """

    def __init__(self) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=render.err,
            transient=True,
            disable=not render.err.is_terminal,
        )
        self._stage: TaskID | None = None
        self._last_line_s = self._stage_began_s = time.monotonic()
        self._items, self._part = 0, 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the bar for good; messages are still printed. A terminal can show only one bar at a time."""
        self._bar.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """Start the bar over: elapsed time, speed and note are the stage's own."""
        if self._stage is not None:
            self._bar.remove_task(self._stage)
        self._stage = self._bar.add_task(name, total=total, note="")
        self._stage_began_s = time.monotonic()
        self._items, self._part = 0, 0.0

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Move the bar, and change its note where one is given."""
        assert self._stage is not None, "an operation begins with a stage"
        self._items += n
        self._bar.update(self._stage, completed=self._items + self._part)
        if note is not None:
            self._bar.update(self._stage, note=note)
        if not render.err.is_terminal and time.monotonic() - self._last_line_s > LINE_S:
            self._last_line_s = time.monotonic()
            render.line(self._line())

    def partial(self, items: float) -> None:
        """Move the bar by the items in progress too."""
        assert self._stage is not None, "an operation begins with a stage"
        self._part = items
        self._bar.update(self._stage, completed=self._items + items)

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        render.line(text)

    def _line(self) -> str:
        """The bar as text: `ingesting: 12 of 40, 17 frames/s, 0.52 videos/s, 54 s left`."""
        (stage,) = self._bar.tasks
        of = f" of {stage.total:.0f}" if stage.total is not None else ""
        note = f", {stage.fields['note']}" if stage.fields["note"] else ""
        elapsed_s = time.monotonic() - self._stage_began_s
        left = ""
        if stage.total and 0 < stage.completed < stage.total and elapsed_s >= ESTIMATE_AFTER_S:
            left = f", {time_in_words(elapsed_s * (stage.total - stage.completed) / stage.completed)} left"
        return f"{stage.description}: {self._items}{of}{note}{left}"
