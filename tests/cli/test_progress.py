"""The bar of long commands: what a terminal shows of it, and what a log does."""

import io

import pytest
from rich.console import Console

from cli import progress, render
from cli.progress import ProgressBar


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> io.StringIO:
    """What is written to stderr from now on."""
    file = io.StringIO()
    monkeypatch.setattr(render, "err", Console(file=file, force_terminal=terminal, width=120, color_system=None))
    return file


def run(bar: ProgressBar) -> None:
    bar.stage("planning")
    bar.stage("ingesting", 40)
    bar.advance(0, "17 frames/s (GPU [0]: 9)")
    bar.advance(12)
    bar.message("failed (unreadable): [b]/a.mp4")
    bar.stage("index of motion")
    bar.advance()


def test_a_terminal_shows_the_stage_that_is_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    file = shown(monkeypatch, terminal=True)
    with ProgressBar() as bar:
        run(bar)
        bar.stage("ingesting", 40)
        bar.advance(12, "17 frames/s (GPU [0]: 9)")
    said = file.getvalue()
    assert "failed (unreadable): [b]/a.mp4" in said
    last = said.rindex("12/40 17 frames/s (GPU [0]: 9)")
    assert said.index("index of motion") < said.rindex("ingesting") < last
    assert "index" not in said[last:]


def test_a_log_has_the_messages_and_now_and_then_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    file = shown(monkeypatch, terminal=False)
    with ProgressBar() as bar:
        run(bar)
    assert file.getvalue() == "failed (unreadable): [b]/a.mp4\n"
    file = shown(monkeypatch, terminal=False)
    monkeypatch.setattr(progress, "LINE_S", -1.0)
    with ProgressBar() as bar:
        run(bar)
    assert file.getvalue().splitlines() == [
        "ingesting: 0 of 40, 17 frames/s (GPU [0]: 9)",
        "ingesting: 12 of 40, 17 frames/s (GPU [0]: 9)",
        "failed (unreadable): [b]/a.mp4",
        "index of motion: 1",
    ]
