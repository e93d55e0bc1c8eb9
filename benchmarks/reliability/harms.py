"""What is done to a run, and undone after its end: each harm is a context around the time from the one to the other."""

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import lance
import psutil

from benchmarks.command import finish, start
from vimoclip.store.feature_store import TABLES
from vimoclip.store.verify import verify


@dataclass
class Scene:
    """A command at work. store: what it writes to. arguments: its own. rng: for what there is to choose.

    harmed: whether the harm was done. wrong: what was not as it should be.
    """

    command: subprocess.Popen[str]
    store: Path
    arguments: list[str]
    rng: random.Random
    harmed: bool = False
    wrong: list[str] = field(default_factory=list)


Harm = Callable[[Scene], AbstractContextManager[None]]


def to_driver(number: signal.Signals) -> Harm:
    """A signal to the command itself."""

    @contextlib.contextmanager
    def harm(scene: Scene) -> Iterator[None]:
        os.kill(scene.command.pid, number)
        scene.harmed = True
        yield

    return harm


def to_child(name: str, number: signal.Signals) -> Harm:
    """A signal to one of the processes that the command has started. name: how its title begins, or its module."""

    @contextlib.contextmanager
    def harm(scene: Scene) -> Iterator[None]:
        found = []
        for child in psutil.Process(scene.command.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.name().startswith(name) or name in child.cmdline():
                    found.append(child)
        if found:
            with contextlib.suppress(psutil.NoSuchProcess):
                scene.rng.choice(found).send_signal(number)
                scene.harmed = True
        yield

    return harm


@contextlib.contextmanager
def interrupt(scene: Scene) -> Iterator[None]:
    """Ctrl-C: as a terminal sends it, or as `kill -INT` does."""
    (os.killpg if scene.rng.random() < 0.5 else os.kill)(scene.command.pid, signal.SIGINT)
    scene.harmed = True
    yield


@contextlib.contextmanager
def nothing(scene: Scene) -> Iterator[None]:
    """The harm is in the command's environment."""
    scene.harmed = True
    yield


@contextlib.contextmanager
def full_disk(scene: Scene) -> Iterator[None]:
    """The disk, which must be a small one (see `small_disk`), is filled to the last byte; then room is made."""
    ballast = scene.store.parent / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    scene.harmed = True
    yield
    ballast.unlink()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 64 MB in memory at `folder`."""
    _mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder))
    try:
        yield
    finally:
        _unmount(folder)


@contextlib.contextmanager
def read_only(scene: Scene) -> Iterator[None]:
    """Nothing in the store can be written any more: by its permissions, or for root, who is above them, by a mount."""
    if is_root():
        _mount("--bind", str(scene.store), str(scene.store))
        try:
            _mount("-o", "remount,bind,ro", str(scene.store))
            scene.harmed = True
            yield
        finally:
            _unmount(scene.store)
        return
    modes = {Path(place): os.stat(place).st_mode for place, _, _ in os.walk(scene.store)}
    for place, mode in modes.items():
        place.chmod(mode & ~0o222)
    scene.harmed = True
    yield
    for place, mode in modes.items():
        place.chmod(mode)


def damage(what: str) -> Harm:
    """The command is killed and a file cut short, as when the power fails: `verify` names it, and it is restored from a
    copy. what: `manifest`, the newest of a table; `data`, a file that the newest version of a table reads."""

    @contextlib.contextmanager
    def harm(scene: Scene) -> Iterator[None]:
        scene.command.kill()
        scene.harmed = True
        yield
        tables = {name: scene.store / f"{name}.lance" for name in TABLES}
        data = [name for name, path in tables.items() if lance.dataset(str(path)).get_fragments()]
        name = scene.rng.choice(data if what == "data" else list(tables))
        if what == "manifest":  # versions are numbered from the largest number down
            file = min((tables[name] / "_versions").glob("*.manifest"))
        else:
            fragment = scene.rng.choice(lance.dataset(str(tables[name])).get_fragments())
            file = tables[name] / "data" / fragment.data_files()[0].path
        copy = scene.store.with_name(f"{scene.store.name}-copy")
        shutil.copytree(scene.store, copy)
        os.truncate(file, scene.rng.randrange(file.stat().st_size))
        named = [fault for fault in verify(scene.store) if fault.table == name and "from a copy" in fault.remedy]
        if not named:
            scene.wrong.append(f"verify does not name {file}")
        again = start(scene.arguments)
        said = finish(again)
        if again.returncode not in (0, 1) or "Traceback" in said or "A defect" in said:
            scene.wrong.append(f"on a damaged store it ended with {again.returncode}: {said}")
        shutil.rmtree(scene.store)
        copy.rename(scene.store)

    return harm


@cache
def can_mount() -> bool:
    """Whether this process may mount file systems."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder)):
                return True
        except OSError:
            return False


def _mount(*arguments: str) -> None:
    """Mounted; a place of which a file is just being written is busy, so that is tried again for a while."""
    until = time.monotonic() + 20
    while (done := subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)).returncode:
        if "busy" not in done.stderr or time.monotonic() > until:
            raise OSError(errno.EPERM, done.stderr.strip())
        time.sleep(0.01)


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def is_root() -> bool:
    """Whether permissions bind this process not."""
    return os.geteuid() == 0
