"""The comparison with ffprobe: what counts as equal, as repaired and as wrong. ffprobe itself is not needed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reliability import frame_times
from benchmarks.reliability.frame_times import GENERATED, compare, summed
from tests.vimoclip import awkward


@pytest.fixture
def equal(tmp_path: Path) -> Path:
    path = tmp_path / "equal.mkv"
    awkward.moved(path, {20: 19})
    return path


def said(monkeypatch: pytest.MonkeyPatch, times: list[float | None]) -> None:
    monkeypatch.setattr(frame_times, "ffprobes", lambda path: times)


def test_a_time_that_was_repaired_may_differ_and_no_other(equal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth: list[float | None] = [7 + n / 10 for n in range(60)]
    truth[20] = 7 + 1.9
    said(monkeypatch, truth)
    row = compare(equal, "equal.mkv")
    assert (row.frames, row.source, row.equal, row.repaired, row.differ, row.right) == (60, "repaired", 59, 1, 1, True)
    truth[40] = 7 + 4.05
    assert not compare(equal, "equal.mkv").right
    truth[40], truth[50] = 7 + 4.0, None
    row = compare(equal, "equal.mkv")
    assert (row.equal, row.untimed, row.right) == (58, 1, True)
    said(monkeypatch, truth[:59])
    assert not compare(equal, "equal.mkv").right


def test_a_sum_of_files_is_wrong_if_times_differ(equal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, [n / 10 for n in range(60)])
    row = compare(equal, "equal.mkv")
    both = summed("all", [row, row])
    assert (both.name, both.frames, both.equal, both.right) == ("all: 2 files", 120, 120, True)


def test_ffprobes_answer_is_read(equal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"streams": [{"time_base": "1/1000"}], "frames": [{"best_effort_timestamp": 100}, {}]}
    done = subprocess.CompletedProcess([], 0, stdout=json.dumps(answer))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert frame_times.ffprobes(equal) == [0.1, None]


def test_the_script_runs(
    equal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(GENERATED) >= 30
    said(monkeypatch, [n / 10 for n in range(60)])
    monkeypatch.setattr(frame_times, "GENERATED", {"made.mkv": lambda path: awkward.moved(path, {})})
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(sys, "argv", ["frame_times", str(equal.parent), "--json", str(tmp_path / "rows.json")])
    assert frame_times.main() == 0
    assert "1 real and 1 generated files, wrong: none" in capsys.readouterr().out
    assert [row["frames"] for row in json.loads((tmp_path / "rows.json").read_text())] == [60, 60]
