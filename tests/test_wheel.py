"""The wheel: what is in it, and that what it installs works from a folder that holds namesakes of ours."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import torch

from tests.clips import render
from vimoclip.config.store import ClipConfig
from vimoclip.import_guard import HOME, PACKAGES
from vimoclip.models.backbones import TINY, TINY_FOLDER, TINY_WEIGHTS
from vimoclip.models.clip import ClipTeacher
from vimoclip.store.feature_store import FeatureStore
from vimoclip.video.encode import write_clip

pytestmark = pytest.mark.slow

OURS = ("vimoclip", *PACKAGES)
REPORT = HOME / "pipelines" / "demo"  # with a template and a style sheet
DECOYS = ("cli.py", "schemas/__init__.py", "pipelines/__init__.py", "av.py")


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run without PYTHONPATH, which might name the sources."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def pip(folder: Path, *arguments: str) -> None:
    done = run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the project, built from a copy: building leaves files among the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*OURS, "tests", "benchmarks"):
        shutil.copytree(HOME / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HOME / name, folder / "source")
    pip(folder, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "./source")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """A fresh environment with the wheel in it; what the project depends on it takes from ours."""
    folder = wheel.parent / "environment"
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    # After the new packages; and .pth files in the folder that it adds, such as an editable install's, are not read.
    Path(paths["purelib"], "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip(folder, "--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    return folder


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """A folder to stand in, with namesakes of ours and of PyAV that must not be imported."""
    for name in DECOYS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the wrong one was imported')")
    return tmp_path


def test_it_holds_our_four_packages_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    code = {path for name in OURS for path in (HOME / name).rglob("*.py")}
    data = {*TINY_FOLDER.iterdir(), *(path for path in REPORT.glob("page.*") if path.suffix != ".py")}
    typed = {HOME / name / "py.typed" for name in OURS}
    assert len(data) > 4 and held == {path.relative_to(HOME).as_posix() for path in code | data | typed}


def test_the_tiny_model_comes_with_it(environment: Path, tmp_path: Path) -> None:
    code = (
        "import torch; from vimoclip.models.clip import ClipTeacher; from vimoclip.config.store import ClipConfig; "
        "teacher = ClipTeacher(ClipConfig('vimoclip-tiny'), torch.device('cpu')); "
        "print(teacher.config.weights, teacher.weights_sha256)"
    )
    done = run([str(environment / "bin" / "python"), "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    ours = ClipTeacher(ClipConfig(TINY), torch.device("cpu"))
    assert done.stdout.split() == [TINY_WEIGHTS, ours.weights_sha256]


def test_it_is_what_python_finds(environment: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(OURS)}; print(*[m.__file__ for m in ({', '.join(OURS)})], sep='\\n')"
    done = run([str(environment / "bin" / "python"), "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    found = [Path(line) for line in done.stdout.splitlines()]
    assert [path.parent.name for path in found] == list(OURS)
    assert all(path.is_relative_to(environment) for path in found), found


def test_import_names_what_was_found_instead(environment: Path, decoys: Path) -> None:
    done = run([str(environment / "bin" / "python"), "-c", "import vimoclip"], decoys)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("vimoclip.errors.ShadowedError: Another `schemas` would be imported")
    assert str(decoys / "schemas" / "__init__.py") in last
    assert str(environment) in last


@pytest.mark.parametrize("engine", ["in-process", "ray"])
def test_ingest_where_namesakes_are(environment: Path, decoys: Path, tiny_model: str, engine: str) -> None:
    (decoys / "videos").mkdir()
    for n in range(2):
        write_clip(decoys / "videos" / f"{n}.mp4", render("drifting", n, 6, (96, 64)), 24.0)
    script = str(environment / "bin" / "vimoclip")
    done = run([script, "ingest", "videos", "--clip-model", tiny_model, "--engine", engine], decoys)
    assert done.returncode == 0, done.stderr
    store = FeatureStore.open(decoys / "vimoclip-store")
    assert len(store.live_takes()) == 2
