"""What is done to a run: the faults, what injects each of them, and a command line that kills itself at a chosen call.

    python -m benchmarks.reliability.inject CALL:WHEN N -- ARGUMENTS

An injector does its harm to a running command, and undoes it after the command's end: it is a context around the time
between the two. As a script this is the target of kills.py: the command line, whose Nth call of one of Table's methods
is cut short by a real SIGKILL to itself. WHEN: before, after or within the call. `count` in the place of CALL:WHEN
kills nothing and counts the calls, into the file VIMOCLIP_CALLS; `none` does neither.
"""

import collections
import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import lance
import psutil

from benchmarks.common import finish, start
from vimoclip.store.snapshot import TABLES
from vimoclip.store.verify import verify


@dataclass
class TargetRun:
    """A command at work. store: what it writes to. arguments: its own. rng: for what there is to choose.

    injected: whether the fault was injected. wrong: what was not as it should be.
    """

    command: subprocess.Popen[str]
    store: Path
    arguments: list[str]
    rng: random.Random
    injected: bool = False
    wrong: list[str] = field(default_factory=list)


Injector = Callable[[TargetRun], AbstractContextManager[None]]


def signal_driver(number: signal.Signals) -> Injector:
    """A signal to the command itself."""

    @contextlib.contextmanager
    def inject(run: TargetRun) -> Iterator[None]:
        os.kill(run.command.pid, number)
        run.injected = True
        yield

    return inject


def signal_child(name: str, number: signal.Signals) -> Injector:
    """A signal to one of the processes that the command has started. name: how its title begins, or its module."""

    @contextlib.contextmanager
    def inject(run: TargetRun) -> Iterator[None]:
        found = []
        for child in psutil.Process(run.command.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.name().startswith(name) or name in child.cmdline():
                    found.append(child)
        if found:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.rng.choice(found).send_signal(number)
                run.injected = True
        yield

    return inject


@contextlib.contextmanager
def interrupt(run: TargetRun) -> Iterator[None]:
    """Ctrl-C: as a terminal sends it, or as `kill -INT` does."""
    (os.killpg if run.rng.random() < 0.5 else os.kill)(run.command.pid, signal.SIGINT)
    run.injected = True
    yield


@contextlib.contextmanager
def limit_memory(run: TargetRun) -> Iterator[None]:
    """The limit is in the command's environment, from its start."""
    run.injected = True
    yield


@contextlib.contextmanager
def fill_disk(run: TargetRun) -> Iterator[None]:
    """The disk, which must be a small one (see `small_disk`), is filled to the last byte; then room is made."""
    ballast = run.store.parent / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    run.injected = True
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
def make_read_only(run: TargetRun) -> Iterator[None]:
    """Nothing in the store can be written any more: by its permissions, or for root, who is above them, by a mount."""
    if is_root():
        _mount("--bind", str(run.store), str(run.store))
        try:
            _mount("-o", "remount,bind,ro", str(run.store))
            run.injected = True
            yield
        finally:
            _unmount(run.store)
        return
    modes = {Path(place): os.stat(place).st_mode for place, _, _ in os.walk(run.store)}
    for place, mode in modes.items():
        place.chmod(mode & ~0o222)
    run.injected = True
    yield
    for place, mode in modes.items():
        place.chmod(mode)


def truncate_file(what: str) -> Injector:
    """The command is killed and a file cut short, as when the power fails: `verify` names it, and it is restored from a
    copy. what: `manifest`, the newest of a table; `data`, a file that the newest version of a table reads."""

    @contextlib.contextmanager
    def inject(run: TargetRun) -> Iterator[None]:
        run.command.kill()
        run.injected = True
        yield
        tables = {name: run.store / f"{name}.lance" for name in TABLES}
        data = [name for name, path in tables.items() if lance.dataset(str(path)).get_fragments()]
        name = run.rng.choice(data if what == "data" else list(tables))
        if what == "manifest":  # versions are numbered from the largest number down
            file = min((tables[name] / "_versions").glob("*.manifest"))
        else:
            fragment = run.rng.choice(lance.dataset(str(tables[name])).get_fragments())
            file = tables[name] / "data" / fragment.data_files()[0].path
        copy = run.store.with_name(f"{run.store.name}-copy")
        shutil.copytree(run.store, copy)
        os.truncate(file, run.rng.randrange(file.stat().st_size))
        named = [fault for fault in verify(run.store) if fault.table == name and "from a copy" in fault.remedy]
        if not named:
            run.wrong.append(f"verify does not name {file}")
        again = start(run.arguments)
        said = finish(again)
        if again.returncode not in (0, 1) or "Traceback" in said or "A defect" in said:
            run.wrong.append(f"on a damaged store it ended with {again.returncode}: {said}")
        shutil.rmtree(run.store)
        copy.rename(run.store)

    return inject


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
    """Whether this process is above permissions."""
    return os.geteuid() == 0


RAY = ("--engine", "ray", "--workers", "2")
IN_PROCESS = ("--engine", "in-process")
ACTOR, DECODER = "ray::Actor", "vimoclip.video.decoder_process"


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault. ends: the exit statuses that it may lead to, and what is then said. settings: of the command,
    beside its engine. retry: whether it may fail a video."""

    injector: Injector
    ends: dict[int, str]
    engine: tuple[str, ...] = IN_PROCESS
    settings: tuple[str, ...] = ()
    retry: bool = False


_RESUMES = "the same command continues from there"
FAULT_KINDS = {
    "kill -9 of the driver": FaultKind(signal_driver(signal.SIGKILL), {-signal.SIGKILL: ""}),
    "kill -9 of the driver, Ray": FaultKind(signal_driver(signal.SIGKILL), {-signal.SIGKILL: ""}, RAY),
    "kill -9 of an actor": FaultKind(signal_child(ACTOR, signal.SIGKILL), {0: ""}, RAY),
    "kill -9 of a decoder": FaultKind(signal_child(DECODER, signal.SIGKILL), {0: "", 3: "decoder-crashed"}, retry=True),
    # Its actors outlive it by a second or two: what is left of a run may be done in that.
    "kill -9 of the raylet": FaultKind(signal_child("raylet", signal.SIGKILL), {0: "", 1: _RESUMES}, RAY),
    "Ctrl-C": FaultKind(interrupt, {130: _RESUMES}),
    "Ctrl-C, Ray": FaultKind(interrupt, {130: _RESUMES}, RAY),
    "full disk": FaultKind(fill_disk, {1: "No space is left"}),
    "read-only store": FaultKind(make_read_only, {1: "cannot be written to"}),
    "truncated manifest": FaultKind(truncate_file("manifest"), {-signal.SIGKILL: ""}),
    "truncated data file": FaultKind(truncate_file("data"), {-signal.SIGKILL: ""}),
    "memory out": FaultKind(limit_memory, {0: ""}),
    "memory out, Ray": FaultKind(limit_memory, {0: ""}, RAY),
    "an actor hangs": FaultKind(signal_child(ACTOR, signal.SIGSTOP), {0: ""}, RAY, ("--timeout", "5")),
    "a decoder hangs": FaultKind(
        signal_child(DECODER, signal.SIGSTOP), {0: "", 3: "timed-out"}, settings=("--timeout", "5"), retry=True
    ),
}


@dataclass(frozen=True)
class Fault:
    """One fault. kind: of FAULT_KINDS. at: how far into the run, [0, 1). seed: of whatever else there is to choose."""

    kind: str
    at: float
    seed: int


def plan_faults(count: int, seed: int, kinds: Iterable[str] = FAULT_KINDS) -> list[Fault]:
    """`count` faults, dealt evenly over the kinds; those of a kind are spread over the run, one to each part of it."""
    rng, names = random.Random(seed), list(kinds)
    rng.shuffle(names)
    dealt = collections.Counter(names[n % len(names)] for n in range(count))
    faults = [
        Fault(kind, (n + rng.random()) / own, rng.randrange(1 << 30)) for kind, own in dealt.items() for n in range(own)
    ]
    rng.shuffle(faults)
    return faults


GRACE = timedelta(seconds=6)
"""In place of ten minutes, so that old versions are really dropped beside the reader."""


def target_command(how: str, number: int) -> tuple[str, ...]:
    """What runs the command line as a target, without its arguments; see `benchmarks.common.start`."""
    return "benchmarks.reliability.inject", how, str(number), "--"


def run_target(how: str, number: int, arguments: list[str]) -> None:
    """Run the command line and die at the chosen call. how: `count` only counts them, into the file VIMOCLIP_CALLS."""
    from vimoclip.store import features, table, writer
    from vimoclip.store.table import Table

    features.FLUSH_BYTES = 500  # of some 50 a row
    writer.FLUSH_ROWS, writer.FLUSH_S = 12, 1e9  # many commits, and always at the same rows
    writer.COMPACT_EVERY_COMMITS = 10
    writer.GRACE = GRACE  # type: ignore[attr-defined]  # which it has from table.py
    table.ROWS_TO_INDEX = 20
    call, _, when = how.partition(":")
    calls: collections.Counter[str] = collections.Counter()
    places: dict[str, tuple[type, str]] = {
        name: (Table, name)
        for name in (
            "create",
            "append",
            "upsert",
            "replace",
            "delete",
            "index",
            "compact_and_clean",
            "add_columns",
            "update_rows",
            *(["open"] if call == "open" else []),  # so often that chosen at random it would crowd out the others
        )
    }
    places["cleanup"] = (lance.LanceDataset, "cleanup_old_versions")  # the part of tidy that deletes files

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            if (name, calls[name]) != (call, number):
                return real(*args, **kwargs)
            if when == "before":
                die()
            if when == "within":
                threading.Timer(0.001 * (number % 5), die).start()
            result = real(*args, **kwargs)
            die()
            return result

        return stand_in

    for name, (owner, attribute) in places.items():
        made = wrapped(name, getattr(owner, attribute))
        setattr(owner, attribute, staticmethod(made) if name in ("create", "open") else made)
    from cli.main import app

    try:
        app(arguments)
    finally:
        if call == "count":
            Path(os.environ["VIMOCLIP_CALLS"]).write_text(json.dumps(calls))


if __name__ == "__main__":
    how, number, _, *rest = sys.argv[1:]
    sys.argv[1:] = rest  # the lock names its holder by it
    run_target(how, int(number), rest)
