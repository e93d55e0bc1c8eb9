"""The bar of long commands: what a terminal shows of it, and what a log does."""

import io

import pytest
from rich.console import Console

from cli import progress, render
from cli.progress import ProgressBar
from vimoclip.progress import time_in_words


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


def test_what_is_done_of_one_long_item_moves_the_bar_and_gives_a_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    file = shown(monkeypatch, terminal=False)
    monkeypatch.setattr(progress, "LINE_S", -1.0)
    with ProgressBar() as bar:
        bar.stage("ingesting", 1)
        now += 5
        bar.partial(0.01)
        bar.advance(0, "100 of about 10000 frames of a.mp4")
        now += 595
        bar.partial(0.25)
        bar.advance(0, "2500 of about 10000 frames of a.mp4")
        now += 1800
        bar.partial(0.99)
        bar.advance(0)
        now += 20
        bar.advance(1)
        bar.partial(0)
        assert bar._bar.tasks[0].completed == 1
    assert file.getvalue().splitlines() == [
        "ingesting: 0 of 1, 100 of about 10000 frames of a.mp4",
        "ingesting: 0 of 1, 2500 of about 10000 frames of a.mp4, 30 min left",
        "ingesting: 0 of 1, 2500 of about 10000 frames of a.mp4, 24 s left",
        "ingesting: 1 of 1, 2500 of about 10000 frames of a.mp4",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (54, "54 s"), (91, "2 min"), (3600, "60 min"), (7830, "2 h 10 min")]
)
def test_durations_in_words(seconds: float, said: str) -> None:
    assert time_in_words(seconds) == said
