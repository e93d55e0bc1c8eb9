"""What the benchmarks share: the machine in one line, which belongs beside every figure, and the command line as its
users run it, in a session of its own, of which nothing may live on.

Of third parties only psutil is imported, and only to look at processes: gpu.py and table2.py run where it is not there.
"""

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 120.0
AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
"""Of Ray's own; they end by themselves a minute after their cluster was killed."""

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_over = threading.Event()


def start(
    arguments: list[str], program: tuple[str, ...] = ("vimoclip",), environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start it. program: the module to run, and what goes before the arguments."""
    with _lock:
        if _over.is_set():
            raise KeyboardInterrupt
        command = subprocess.Popen(
            [sys.executable, "-m", *program, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"NO_COLOR": "1"} | (environment or {}),
            start_new_session=True,
        )
        _running.add(command)
    return command


def finish(command: subprocess.Popen[str], deadline_s: float = DEADLINE_S) -> str:
    """Wait for it; what it said since."""
    try:
        return command.communicate(timeout=deadline_s)[1]
    except subprocess.TimeoutExpired:
        kill_session(command)
        return command.communicate()[1] + "\nIt hung."
    finally:
        _running.discard(command)


def kill_session(command: subprocess.Popen[str]) -> None:
    """Kill it, and all that it has started."""
    import psutil

    for process in _session(command.pid):
        with contextlib.suppress(psutil.Error):
            process.kill()


@contextlib.contextmanager
def all_ended() -> Iterator[None]:
    """Every command that runs is killed, and none can be started meanwhile."""
    with _lock:
        _over.set()
    try:
        for command in list(_running):
            kill_session(command)
        yield
    finally:
        _over.clear()


def survivors(command: subprocess.Popen[str], wait_s: float = 5.0) -> list[str]:
    """What still runs of a command that has ended, after a while; but for Ray's agents."""
    import psutil

    until = time.monotonic() + wait_s
    while True:
        alive = []
        for process in _session(command.pid):
            with contextlib.suppress(psutil.Error):
                if process.name() not in AGENTS and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(f"{process.pid} {process.name()} {' '.join(process.cmdline()[1:4])}")
        if not alive or time.monotonic() > until:
            return alive
        time.sleep(0.05)


def _session(leader: int) -> "list[psutil.Process]":
    """Its processes, the dead among them; Ray gives each of its own a group, and all the same session."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found


class Watch:
    """Reads what a command says while it runs."""

    def __init__(self, command: subprocess.Popen[str], until: Callable[[str], bool]) -> None:
        """until: what line is waited for by `reach`."""
        self._command, self._until = command, until
        self._lines: list[str] = []
        self._reached = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._command.stderr is not None
        for line in self._command.stderr:
            self._lines.append(line)
            if not self._reached.is_set() and self._until(line):
                self._reached.set()
        self._ended.set()
        self._reached.set()

    def reach(self) -> bool:
        """Wait for the line; whether it came and the command still runs."""
        return self._reached.wait(DEADLINE_S) and not self._ended.is_set() and self._command.poll() is None

    def end(self) -> str:
        """Wait for the command's end; all that it said."""
        try:
            self._command.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            kill_session(self._command)
            self._command.wait()
            self._lines.append("It hung.\n")
        finally:
            _running.discard(self._command)
        self._thread.join()
        assert self._command.stderr is not None
        self._command.stderr.close()
        return "".join(self._lines)


def describe_machine() -> str:
    """CPU, cores, date and the versions that matter."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
        flags = next((line for line in lines if line.startswith("flags")), "")
        model += "".join(f" {name}" for name in ("avx512_bf16", "amx_bf16") if name in flags)
    versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "open_clip_torch", "pylance", "av"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    )


def sequence_of(video: str) -> int:
    """The sequence that a clip of UT-Interaction was cut out of: its name is `<number>_<sequence>_<behaviour>`."""
    found = re.match(r"\d+_(\d+)_", PurePosixPath(video).name)
    if found is None:
        raise ValueError(f"{video} does not begin with <number>_<sequence>_, as --by sequence needs")
    return int(found[1])


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"
