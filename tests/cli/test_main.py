"""The app itself: help that is instant and complete, the version, and no traceback even for a defect."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import GROUPS, app
from cli.options import ADVANCED
from cli.render import ONE_PANEL
from tests.cli.runner import vimoclip
from vimoclip import __version__

HEAVY = {"torch", "ray", "lance", "lancedb", "polars", "pyarrow", "open_clip", "cv2", "av", "numpy"}
COMMANDS = {"ingest", "embed", "features", "status", "errors", "label", "verify", "remove", "optimize"}
COMMANDS |= {"export", "doctor", "index", "search", "train_motion", "train_fusion", "ablate", "evaluate", "predict"}
COMMANDS |= {"demo", "upgrade"}


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


def test_help_shows_the_commands_in_groups() -> None:
    shown = vimoclip("--help").stdout
    titles = [shown.index(title) for title in GROUPS]
    assert titles == sorted(titles)
    for (title, commands), end in zip(GROUPS.items(), [*titles[1:], len(shown)], strict=True):
        group = shown[shown.index(title) : end]
        assert all(f" {command.__name__.replace('_', '-')} " in group for command in commands)


@pytest.mark.parametrize("command", ["ingest", "embed", "train-motion", "train-fusion", "ablate", "predict"])
def test_long_commands_show_ten_options_first_and_the_rest_as_advanced(command: str) -> None:
    everyday, _, advanced = vimoclip(command, "--help").stdout.partition(ADVANCED)
    assert 1 < len(re.findall(r"^│ (?:\*? +)?--(?!help)", everyday, re.M)) <= ONE_PANEL
    assert "--store" in everyday and "--device" in everyday
    assert "--threads" in advanced and "--json" in advanced


def test_a_short_command_shows_its_options_in_one_panel() -> None:
    shown = vimoclip("index", "--help").stdout
    assert "--threads" in shown and "--no-wait" in shown and ADVANCED not in shown
