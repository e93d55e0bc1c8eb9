"""The app itself: help that is instant and complete, the version, and no traceback even for a defect."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import app
from tests.cli.runner import vimoclip
from vimoclip import __version__

HEAVY = {"torch", "ray", "lance", "lancedb", "polars", "pyarrow", "open_clip", "cv2", "av", "numpy"}
COMMANDS = {"ingest", "embed", "features", "status", "errors", "label", "verify", "remove", "optimize"}
COMMANDS |= {"export", "doctor", "index", "search", "train_motion", "train_fusion", "ablate", "evaluate", "predict"}
COMMANDS |= {"demo"}


def test_help_names_every_command_and_each_explains_every_option() -> None:
    shown = vimoclip("--help").stdout
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == COMMANDS
    for name in (command.replace("_", "-") for command in COMMANDS):
        assert name in shown
        assert vimoclip(name, "--help").exit_code == 0


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    script = """
import sys
from cli.main import app
try:
    app(["--help"])
except SystemExit:
    print(*sys.modules)
"""
    printed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "ingest" in printed.stdout
    assert not HEAVY & set(printed.stdout.splitlines()[-1].split())


def test_version() -> None:
    assert vimoclip("--version").stdout.strip() == f"vimoclip {__version__}"


def test_a_defect_is_a_message_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("something nobody thought of")

    monkeypatch.setattr("pipelines.status.run", broken)
    result = vimoclip("status", "--store", tmp_path)
    assert result.exit_code == 1
    assert "A defect in ViMoCLIP: RuntimeError: something nobody thought of" in result.stderr


def test_the_module_runs_like_the_script(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "vimoclip", "status", "--store", "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 1
    assert "There is no store" in printed.stderr
