"""Costs: of the runs up to the one that finishes a step, kept; and the memory of a process and of those below it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.demo.costs import Costs, PeakMemory

MB = 1_000_000


def test_what_was_finished_keeps_its_cost(tmp_path: Path) -> None:
    with Costs(tmp_path / "costs.json").measured("index", "vimoclip index"):
        pass
    first = Costs(tmp_path / "costs.json")["index"]
    assert first.finished and first.line == "vimoclip index" and first.peak_bytes > MB
    again = Costs(tmp_path / "costs.json")
    with again.measured("index", "vimoclip index"):
        sum(range(100_000))
    assert again["index"] == first == Costs(tmp_path / "costs.json")["index"]


def test_what_was_broken_off_adds_up(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "costs.json")
    with pytest.raises(KeyboardInterrupt), costs.measured("ingest", "a"):
        raise KeyboardInterrupt
    broken = costs["ingest"]
    assert not broken.finished
    with costs.measured("ingest", "a"):
        pass
    assert costs["ingest"].finished and costs["ingest"].seconds > broken.seconds


def test_another_command_is_counted_anew(tmp_path: Path) -> None:
    costs = Costs(tmp_path / "costs.json")
    for line in ("a", "b"):
        with costs.measured("ingest", line):
            pass
    assert costs["ingest"].line == "b"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"ingest": 3}', '{"ingest": {"line": 1}}'])
def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "costs.json").write_text(text)
    costs = Costs(tmp_path / "costs.json")
    with costs.measured("ingest", "a"):
        pass
    assert Costs(tmp_path / "costs.json")["ingest"].finished


def test_the_peak_is_of_this_process_and_those_below_it() -> None:
    with PeakMemory() as before:
        pass
    script = "import time; held = b'x' * 150_000_000; time.sleep(1.5)"
    with PeakMemory() as peak:
        subprocess.run([sys.executable, "-c", script], check=True)
    if sys.platform == "linux":
        assert peak.bytes - before.bytes > 140 * MB
    with PeakMemory() as own:
        held = b"x" * (200 * MB)
        del held
        PeakMemory()  # nothing looks but the thread, and at the end
    assert own.bytes >= before.bytes - 50 * MB
