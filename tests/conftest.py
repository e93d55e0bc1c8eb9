"""Fixtures that are costly to make, made once a session: a small model, a folder of clips; and the marks of tests.

Nothing heavy is imported at the top, so that one test file starts in a second or two.
"""

import importlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests import object_store

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell ignores it for what it starts in the background, and
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so would every command that a test interrupts

CLIPS = ("walking", "resting", "jumping", "running", "approaching")
TESTS = Path(__file__).parent
SHARED = TESTS.resolve().parents[1] / "shared" / "videos"

FOLDERS = {
    "benchmarks": ("slow",),
    "cli": ("slow",),
    "docs": ("docs", "slow"),
    "end_to_end": ("slow",),
    "pipelines": ("slow",),
}
"""Marks of all tests of a folder."""
FIXTURES = {"server": "s3", "remote": "s3"}
"""Marks of all tests that take a fixture."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by where they lie and what they take; `slow` and `ray` stand in the files too."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        for mark in FOLDERS.get(folder, ()):
            item.add_marker(mark)
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in FIXTURES:
                item.add_marker(FIXTURES[fixture])


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a tiny CLIP model on disk."""
    from tests.models import write_tiny_clip

    return write_tiny_clip(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten short labelled clips of moving shapes. Not to be written to."""
    from tests.clips import write_folder

    folder = tmp_path_factory.mktemp("clips")
    write_folder(folder, clips_per_behaviour=2, frames=10, size=(96, 64))
    return folder


@pytest.fixture(scope="session")
def savannah(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short clips of the savannah of each of CLIPS, `<behaviour>/<n>.mp4`, and labels. Not to be written to."""
    from dataclasses import replace

    from vimoclip.savannah import FPS, plan
    from vimoclip.video.encode import write_clip

    folder, rows = tmp_path_factory.mktemp("savannah"), ["filepath,label,split,species"]
    for scene in plan(2 * len(CLIPS), seed=5, behaviours=CLIPS):
        name = f"{scene.behaviour}/{int((folder / scene.behaviour).is_dir()):03d}.mp4"
        (folder / scene.behaviour).mkdir(exist_ok=True)
        write_clip(folder / name, replace(scene, frames_count=10).frames(), FPS)
        rows.append(f"{name},{scene.behaviour},{scene.split},{'+'.join(scene.species)}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def _server() -> "Iterator[object_store.Server]":
    from tests import object_store

    with object_store.serve() as server:
        yield server


@pytest.fixture
def server(_server: "object_store.Server", monkeypatch: pytest.MonkeyPatch) -> "object_store.Server":
    """An S3 server that the environment names."""
    for name, value in _server.environment.items():
        monkeypatch.setenv(name, value)
    return _server


@pytest.fixture
def remote(server: "object_store.Server", request: pytest.FixtureRequest) -> str:
    """The URI of a place in it where nothing is."""
    from tests import object_store

    return f"s3://{object_store.BUCKET}/{request.node.name.encode().hex()}/store"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for torch: more of them, with other work on the cores, mostly wait where a model is tiny."""
    torch = importlib.import_module("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_videos() -> Path:
    """Real videos, where they are at hand."""
    if not SHARED.is_dir():
        pytest.skip("the shared real videos are not at hand")
    return SHARED


@pytest.fixture(scope="session")
def shared_annotations() -> Path:
    """The published label files of data sets, where they are at hand."""
    folder = SHARED.parent / "annotations"
    if not folder.is_dir():
        pytest.skip("the shared label files are not at hand")
    return folder
