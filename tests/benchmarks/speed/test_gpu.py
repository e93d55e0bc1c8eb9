"""The GPU benchmark as a bare machine runs it: a tiny model on the CPU, and none of the packages that a store needs."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed.baseline import compute_baseline, random_flow
from benchmarks.speed.gpu import by_hand
from tests.models import write_tiny_clip
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.import_guard import HOME

LACKING = ("ray", "lance", "lancedb", "polars", "typer", "psutil")
CHEAP = ("dis", "frame-difference")
INGEST = ("--parts", "ingest")
BLOCKER = f"""
import sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LACKING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Lacking())
"""

LINE = re.compile(
    r"^(\S+), (\S+), (?:bf16|fp16|fp32), batches of 8: worker ([\d.]+) frames/s, loop ([\d.]+), alone ([\d.]+); "
    r"worker / loop = ([\d.]+), worker / alone = ([\d.]+)$",
    re.MULTILINE,
)


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python, and whatever Python it starts, cannot import what is lacking."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)  # Python imports it when it starts
    return os.environ | {"PYTHONPATH": str(tmp_path)}


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, check=False)


def rates_of(printed: str) -> dict[tuple[str | None, ...], list[float]]:
    return {found.group(1, 2): [float(number) for number in found.groups()[2:]] for found in LINE.finditer(printed)}


def test_a_network_is_timed_in_the_workers_batches(tiny_model: str, clips: Path) -> None:
    flow = random_flow("raft-small") | {"updates": 1, "batch_size": 4}
    config = StoreConfig.from_dict({"clip": {"model": tiny_model, "batch_size": 8}, "flow": flow})
    worker = EmbedWorker(config, RunConfig(device="cpu", threads=1))
    path = clips / "still" / "000.mp4"
    assert compute_baseline(worker, path) > 0
    assert by_hand(worker, path, 2) > 0


def test_every_cheap_estimator_with_every_model_on_a_bare_machine(
    bare: dict[str, str], tiny_model: str, tmp_path: Path
) -> None:
    for name in LACKING:
        assert f"No module named '{name}'" in python(bare, "-c", f"import {name}").stderr
    models = [tiny_model, write_tiny_clip(tmp_path / "another", seed=2)]
    small = [
        "--device",
        "cpu",
        "--parts",
        "ingest",
        "--size",
        "96x64",
        "--videos",
        "2",
        "--frames",
        "9",
        "--turns",
        "2",
    ]
    done = python(bare, "-m", "benchmarks.speed.gpu", *small, "--models", *models, "--flow", *CHEAP, *INGEST)
    assert done.returncode == 0, done.stderr
    assert "$ python -m benchmarks.speed.gpu --device cpu" in done.stdout
    measured = rates_of(done.stdout)
    assert set(measured) == set(itertools.product(models, CHEAP))
    for worker, loop, least, over_loop, over_alone in measured.values():
        assert min(worker, loop, least) > 0
        assert over_loop == pytest.approx(worker / loop, rel=0.05)
        assert over_alone == pytest.approx(worker / least, rel=0.05)


def test_a_network_on_a_bare_machine(bare: dict[str, str], tiny_model: str) -> None:
    small = [
        "--device",
        "cpu",
        "--parts",
        "ingest",
        "--size",
        "128x128",
        "--videos",
        "1",
        "--frames",
        "3",
        "--turns",
        "1",
    ]
    done = python(bare, "-m", "benchmarks.speed.gpu", *small, "--models", tiny_model, "--flow", "raft-small", *INGEST)
    assert done.returncode == 0, done.stderr
    (rates,) = rates_of(done.stdout).values()
    assert min(rates) > 0


def test_training_on_a_bare_machine(bare: dict[str, str], tiny_model: str) -> None:
    small = ["--device", "cpu", "--size", "96x64", "--videos", "1", "--frames", "13", "--clips", "40", "--width", "16"]
    small += ["--student", tiny_model, "--segments", "2", "--segment", "4", "--flow", "dis", "--budget", "60"]
    done = python(bare, "-m", "benchmarks.speed.gpu", "--parts", "table2", "motion", *small)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["device"] == "cpu" and "ingest" not in found
    rows = found["table2"]
    assert [row["fusion"] for row in rows] == ["cross", "temporal", "embedding", "image", "motion"]
    assert all(row["epoch_s"] > 0 and row["clips"] == 40 and row["measured_steps"] > 0 for row in rows)
    motion = found["motion"]
    assert motion["frames"] == 8 and 0 < motion["busy"] <= 1
    assert motion["resumes"] is True
    assert motion["finite"] == dict.fromkeys(motion["finite"], True) and len(motion["finite"]) == 5
    for check in ("sampled", "after_another"):
        same, count = motion[check]
        assert same == count > 0
    assert motion["sampled"][1] < motion["after_another"][1]


def test_a_budget_cuts_what_is_measured_short_and_says_so(bare: dict[str, str]) -> None:
    small = ["--device", "cpu", "--videos", "1", "--frames", "2", "--size", "96x64", "--clips", "900", "--width", "16"]
    done = python(bare, "-m", "benchmarks.speed.gpu", "--parts", "table2", "--budget", "1", *small)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(0 < row["measured_steps"] < row["steps"] for row in found["table2"])
    assert re.search(r"Table 2, cross: [\d.]+ s an epoch, from \d+ of \d+ steps", done.stdout)
