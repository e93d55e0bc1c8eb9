"""The Ray cluster that a run uses: joining it, what it has room for, and whether it is still there.

When the raylet of this machine dies, Ray waits for ever for actors that nobody starts; when the cluster's head dies, it
ends this process after a minute. Both are found out earlier here, by knocking at their ports, and become an error like
any other: what is complete is committed first. Only this file and ray_executor.py import ray.
"""

import contextlib
import logging
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from vimoclip.errors import VimoclipError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # ray reads them when it is imported
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # it says on stdout, which is for JSON, how its processes died


ANSWER_S = 10.0
LOOK_S = 10.0
"""How often to knock, and to look for GPUs that have joined."""
HEAD_S = 30.0
"""How long the head may be out of reach. Ray itself ends this process after 60 s."""
_SAFE = "What is complete is stored; the same command goes on from there"


class RayCluster:
    """The cluster this process is attached to, from its making until `close`."""

    def __init__(self, address: str | None) -> None:
        """Join the cluster at `address`, or start a private one, which ends with this process.

        Raises:
            VimoclipError: no cluster answers there.
        """
        self._private = address is None
        # Workers start in an empty folder: the driver's own would come first on their search path, and a `schemas` or
        # `cli` that happens to lie where the user stands would be imported instead of ours.
        self._empty = tempfile.TemporaryDirectory(prefix="vimoclip-ray-")
        try:
            _connect(address, self._empty.name)
            context = ray.get_runtime_context()
            own = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())  # type: ignore[no-untyped-call]
            self._raylet = str(own["NodeManagerAddress"]), int(own["NodeManagerPort"])
            host, _, port = context.gcs_address.rpartition(":")
            self._head = host.strip("[]"), int(port)
        except BaseException:
            self.close()
            raise
        self._looked = self._head_answered = time.monotonic()

    def close(self) -> None:
        """Leave it."""
        ray.shutdown()
        self._empty.cleanup()

    def room(self, kind: str) -> int:
        """How many there are in the cluster, in use or not. kind: GPU or CPU."""
        return int(ray.cluster_resources().get(kind, 0))  # type: ignore[no-untyped-call]

    def look(self, now: bool = False) -> bool:
        """See every `LOOK_S` seconds, or now, whether the cluster is still there; whether it was looked for and is.

        Raises:
            VimoclipError: it is gone.
        """
        if not now and time.monotonic() - self._looked < LOOK_S:
            return False
        self._looked = time.monotonic()
        if silence := _silence(self._raylet):
            raise VimoclipError(
                "Ray has died on this machine: its process raylet is gone.",
                received=silence,
                hint=f"{_SAFE}{'' if self._private else ', once `ray start` has been run here again'}.",
            )
        if silence := _silence(self._head):
            if self._looked - self._head_answered > HEAD_S:
                raise VimoclipError(
                    "The head of the Ray cluster is gone.",
                    received=f"{silence}, for {self._looked - self._head_answered:.0f} s",
                    hint=f"{_SAFE}{'' if self._private else ', once the cluster is up again'}.",
                )
            return False
        self._head_answered = self._looked
        return True


def _silence(place: tuple[str, int]) -> str:
    """What is heard in place of an answer; nothing when someone answers."""
    try:
        socket.create_connection(place, timeout=ANSWER_S).close()
    except OSError as error:
        return f"{error.strerror or error} by {place[0]}:{place[1]}"
    return ""


def _connect(address: str | None, empty: str) -> None:
    common: dict[str, Any] = {"runtime_env": {"working_dir": empty}, "log_to_driver": False, "configure_logging": False}
    if address is None:
        common["include_dashboard"] = False
    try:
        host, _, port = (address or "").rpartition(":")
        if host and port.isdigit() and "//" not in host:
            socket.create_connection((host, int(port)), timeout=ANSWER_S).close()  # Ray itself tries for five minutes
        with warnings.catch_warnings(), _quiet():
            # Ray's processes are forked only to become other programs at once, which is safe whatever Lance holds.
            warnings.filterwarnings("ignore", message="lance is not fork-safe")
            ray.init(address=address or "local", **common)
    except (ConnectionError, RayError, ValueError, RuntimeError, OSError) as error:
        raise VimoclipError(
            "There is no Ray cluster to work on.",
            received=f"{address or 'a private one'}: {first_line(error)}",
            expected="the address of a running cluster, such as auto or HOST:6379",
            hint="Start one with `ray start --head`, or leave out --ray-address for a private one. One that asks for a "
            "token wants RAY_AUTH_MODE=token here too.",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray warns whoever starts a cluster of how it is secured, and that it can be told otherwise."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def first_line(error: Exception) -> str:
    """What an error says, or its cause does, in at most 200 characters."""
    cause = getattr(error, "cause", None)
    return next(iter(str(cause or error).strip().splitlines()), type(error).__name__)[:200]


# Trainings side by side on a Ray cluster: one request a task, several to a GPU where it is large enough.


Key = TypeVar("Key")
Request = TypeVar("Request")
Report = TypeVar("Report")

WAIT_S = 1.0


class RayRuns:
    """A cluster that runs are given to, from its making until `close`. Attributes: `together`, how many it has room for
    at a time; `threads`, of each: its share of the cores, without which runs on CPUs stand in each other's way, or 0 on
    GPUs."""

    def __init__(self, address: str | None, side_by_side: int, device: str) -> None:
        """side_by_side: runs at a time on a GPU, or on all CPUs where there is none or `device` is cpu.

        Raises:
            VimoclipError: no cluster answers there.
        """
        self._cluster = RayCluster(address)
        on_gpu = device != "cpu" and self._cluster.room("GPU") >= 1
        cpus = 0.0 if on_gpu else max(1.0, self._cluster.room("CPU") / side_by_side)
        self._needs: dict[str, Any] = {"num_gpus": 1 / side_by_side if on_gpu else 0, "num_cpus": cpus}
        self.threads = int(cpus)
        self.together = self._cluster.room("GPU") * side_by_side if on_gpu else int(self._cluster.room("CPU") / cpus)

    def __enter__(self) -> "RayRuns":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; a run that is at work is broken off, and keeps its last epoch."""
        self._cluster.close()

    def map(
        self, function: Callable[[Request], Report], requests: Mapping[Key, Request]
    ) -> Iterator[tuple[Key, Report]]:
        """Every request's report, in the order in which they end.

        Raises:
            VimoclipError: what a run raises, or that its process died; the cluster is gone.
        """
        remote = ray.remote(function).options(max_retries=2, **self._needs)
        waiting = {remote.remote(request): key for key, request in requests.items()}
        while waiting:
            ended, _ = ray.wait(list(waiting), num_returns=1, timeout=WAIT_S)
            self._cluster.look()
            for reference in ended:
                try:
                    report = ray.get(reference)
                except RayTaskError as error:
                    raise (error.cause if isinstance(error.cause, VimoclipError) else error) from None
                except RayError as error:
                    raise VimoclipError(
                        "A training's process has died.",
                        received=first_line(error),
                        hint="Its last epoch is kept; the same command goes on from there. Memory may have run out: "
                        "try fewer with --side-by-side.",
                    ) from error
                yield waiting.pop(reference), report
