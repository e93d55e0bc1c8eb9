"""The short form of benchmarks/reliability/run.py: the faults that no other test brings about, once each, on
rendered clips."""

import collections
from pathlib import Path

import pytest

from benchmarks.reliability import inject, run
from benchmarks.reliability.run import run_faults
from tests.clips import write_folder

HERE = [
    "kill -9 of the driver, Ray",
    "kill -9 of the raylet",
    "Ctrl-C, Ray",
    "memory out, Ray",
    "full disk",
    "read-only store",
    "truncated manifest",
    "truncated data file",
]
"""Signals to one process are in test_kill.py and test_together.py, those to actors in test_ray_executor.py, those to
decoders in test_decoder.py."""


def test_every_fault_ends_as_it_should_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PROMPT_S", 10.0)  # two runs share the cores here
    clips = tmp_path / "clips"
    write_folder(clips, clips_per_behaviour=1, frames=160, size=(96, 64))
    (tmp_path / "runs").mkdir()
    outcomes = run_faults(inject.plan_faults(len(HERE), 1, HERE), [clips], tmp_path / "runs", lanes=2)
    assert {outcome.fault.kind for outcome in outcomes} == set(HERE)
    assert [outcome for outcome in outcomes if not (outcome.good or outcome.skipped)] == []


def test_plan_deals_evenly_spreads_over_the_run_and_follows_from_the_seed() -> None:
    plan = inject.plan_faults(100, seed=1)
    counts = collections.Counter(fault.kind for fault in plan)
    assert set(counts) == set(inject.FAULT_KINDS)
    assert set(counts.values()) == {6, 7}
    for kind, count in counts.items():
        parts = sorted(int(fault.at * count) for fault in plan if fault.kind == kind)
        assert parts == list(range(count))
    assert plan == inject.plan_faults(100, seed=1) != inject.plan_faults(100, seed=2)


def test_vectors_are_let_go_of_only_where_memory_ran_out() -> None:
    held = {
        "videos a": "[('reduced_batch', True)]",
        "videos b": "[('reduced_batch', False)]",
        "frames a clip": "1",
        "frames a time_s": "2",
        "frames b clip": "3",
    }
    assert run._reduced(held) == {"a"}
    kept = run._without_vectors(held, {"a"})
    assert kept.keys() == held.keys() - {"frames a clip"}
    assert kept["videos b"] == held["videos b"]
