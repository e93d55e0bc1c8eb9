"""A folder of the user's with the name of one of ours is named, and never imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vimoclip.errors import ShadowedError
from vimoclip.import_guard import HOME, PACKAGES, check_not_shadowed


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(HOME)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_ours_are_found() -> None:
    check_not_shadowed(*PACKAGES)


def test_none_at_all_is_said() -> None:
    with pytest.raises(ShadowedError, match=r"Another `no_such_package`.*Received: none"):
        check_not_shadowed("no_such_package")


@pytest.mark.parametrize("name", ["schemas/__init__.py", "schemas.py"])
def test_import_vimoclip_names_what_was_found_instead(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("raise SystemExit('the wrong one was imported')")
    done = python(tmp_path, "-c", "import vimoclip")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("vimoclip.errors.ShadowedError: Another `schemas` would be imported")
    assert str(tmp_path / name) in last
    assert str(HOME / "schemas") in last


def test_the_command_line_names_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "cli.py").write_text("raise SystemExit('the wrong one was imported')")
    done = python(tmp_path, "-m", "vimoclip", "status")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Another `cli` would be imported instead")
    assert str(tmp_path / "cli.py") in done.stderr


def test_a_folder_without_code_is_in_nobodys_way(tmp_path: Path) -> None:
    for name in PACKAGES:
        (tmp_path / name).mkdir()
    assert python(tmp_path, "-c", "import vimoclip, pipelines.ingest_plan, cli.main").returncode == 0
