"""The Ray cluster that a run uses: joining it, its capacity, its health, and trainings side by side on it.

When this machine's raylet dies, Ray waits forever for actors that nothing starts; when the cluster's head dies, Ray
ends this process after a minute. Connecting to their ports finds both out earlier, so that they become ordinary errors
and complete videos are committed first. Only this file and ray_executor.py import ray.
"""

import contextlib
import logging
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from vimoclip.errors import VimoclipError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # ray reads these when it is imported
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # it would report dead processes on stdout, which is for JSON


ANSWER_S = 10.0
LOOK_S = 10.0
"""How often to check the cluster, and to look for GPUs that have joined."""
HEAD_S = 30.0
"""How long the head may be out of reach. Ray itself ends this process after 60 s."""
_SAFE = "What is complete is stored; the same command continues from there"


class RayCluster:
    """The cluster that this process is connected to, until `close`."""

    def __init__(self, address: str | None) -> None:
        """Join the cluster at `address`, or start a private one, which ends with this process.

        Args:
            address: such as `auto` or `HOST:6379`; None starts a private cluster.

        Raises:
            VimoclipError: no cluster answers there.
        """
        self._private = address is None
        # Workers start in an empty folder: the driver's working folder would come first on their search path, and a
        # `schemas` or `cli` in it would be imported instead of ours.
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
        """Leave the cluster."""
        ray.shutdown()
        self._empty.cleanup()

    def room(self, kind: str) -> int:
        """How many of a `kind`, GPU or CPU, the cluster has, in use or not."""
        return int(ray.cluster_resources().get(kind, 0))  # type: ignore[no-untyped-call]

    def look(self, now: bool = False) -> bool:
        """Check that the cluster is still there, unless that was done in the last `LOOK_S` seconds.

        Args:
            now: check in any case.

        Returns:
            Whether it was checked and answered.

        Raises:
            VimoclipError: the cluster is gone.
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
    """Why nothing answers at a host and port; empty where something does."""
    try:
        socket.create_connection(place, timeout=ANSWER_S).close()
    except OSError as error:
        return f"{error.strerror or error} by {place[0]}:{place[1]}"
    return ""


def _connect(address: str | None, empty: str) -> None:
    """Connect Ray to a cluster. empty: the folder that workers start in."""
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
            hint="Start one with `ray start --head`, or leave out --ray-address for a private one. A cluster that asks "
            "for a token needs RAY_AUTH_MODE=token here too.",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Ray's warnings about the security of a new cluster."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or of its cause's, in at most 200 characters."""
    cause = getattr(error, "cause", None)
    return next(iter(str(cause or error).strip().splitlines()), type(error).__name__)[:200]


# Trainings side by side on a Ray cluster: one task per request, several per GPU where it is large enough.


Key = TypeVar("Key")
Request = TypeVar("Request")
Report = TypeVar("Report")

WAIT_S = 1.0
ROOM_S = 300.0
"""How long a group waits for the room that it needs: others may use it, or nodes may still be starting."""
LATE_S = 5.0
"""How long to wait, once a process of a group has failed, for the errors of the others."""


class RayRuns:
    """A cluster that carries out requests, until `close`.

    Attributes:
        gpus: the GPUs of the cluster that runs use; 0 where they use CPUs.
        together: how many runs it has room for at a time.
        threads: CPU threads per run, its share of the cores, so that runs on CPUs do not slow each other down; 0 on
            GPUs.
    """

    def __init__(self, address: str | None, side_by_side: int, device: str, on_cpus: int | None = None) -> None:
        """Join the cluster.

        Args:
            address: see `RayCluster`.
            side_by_side: runs at a time on each GPU.
            device: as in `RunConfig`.
            on_cpus: runs at a time on all CPUs, where there are no GPUs or `device` is `cpu`; None is `side_by_side`.

        Raises:
            VimoclipError: no cluster answers there.
        """
        self._cluster = RayCluster(address)
        self.gpus = 0 if device == "cpu" else self._cluster.room("GPU")
        cpus = 0.0 if self.gpus else max(1.0, self._cluster.room("CPU") / (on_cpus or side_by_side))
        self._needs: dict[str, Any] = {"num_gpus": 1 / side_by_side if self.gpus else 0, "num_cpus": cpus}
        self.threads = int(cpus)
        self.together = self.gpus * side_by_side if self.gpus else int(self._cluster.room("CPU") / cpus)

    def __enter__(self) -> "RayRuns":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; runs in progress stop, and keep their last epochs."""
        self._cluster.close()

    def map(
        self, function: Callable[[Request], Report], requests: Mapping[Key, Request]
    ) -> Iterator[tuple[Key, Report]]:
        """Call a function on every request, on the cluster.

        Yields:
            (key, report), in the order in which the calls end.

        Raises:
            VimoclipError: as the function raises it; a process has died; or the cluster is gone.
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
                        hint="Its last epoch is kept; the same command continues from there. Memory may have run out: "
                        "try fewer with --side-by-side.",
                    ) from error
                yield waiting.pop(reference), report

    def group(self, function: Callable[[Request], Report], requests: Sequence[Request]) -> list[Report]:
        """Call a function on all requests at the same time, each with a GPU, or its share of the cores, to itself.

        None begins before there is room for all. The calls work together, so none is tried again by itself: when one
        fails, the others, which would wait for it, are ended too.

        Returns:
            The reports, in the order of the requests.

        Raises:
            VimoclipError: as the function raises it; the cluster has no room for all of them within `ROOM_S`; a process
                has died; or the cluster is gone.
        """
        place = placement_group([self._bundle] * len(requests))
        self._wait_for(place)
        waiting: dict[Any, int] = {}
        reports: dict[int, Report] = {}
        try:
            for rank, request in enumerate(requests):
                where = PlacementGroupSchedulingStrategy(place, placement_group_bundle_index=rank)
                remote = ray.remote(function).options(max_retries=0, scheduling_strategy=where, **self._needs)
                waiting[remote.remote(request)] = rank
            while waiting:
                ended, _ = ray.wait(list(waiting), num_returns=1, timeout=WAIT_S)
                self._cluster.look()
                failures = _take_reports(ended, waiting, reports)
                if failures:  # that of another may be the cause: what one process does is an error of all
                    late, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=LATE_S) if waiting else ([], [])
                    raise _cause(failures | _take_reports(late, waiting, reports), len(requests))
        finally:
            for reference in waiting:
                with contextlib.suppress(RayError):
                    ray.cancel(reference, force=True)
            with contextlib.suppress(RayError):
                remove_placement_group(place)
        return [reports[rank] for rank in range(len(requests))]

    @property
    def _bundle(self) -> dict[str, float]:
        needs = {"GPU": self._needs["num_gpus"], "CPU": self._needs["num_cpus"]}
        return {kind: amount for kind, amount in needs.items() if amount}

    def _wait_for(self, place: Any) -> None:
        """Wait until a placement group has its room; raises VimoclipError after `ROOM_S`."""
        until = time.monotonic() + ROOM_S
        while not place.wait(WAIT_S):
            self._cluster.look()
            if time.monotonic() > until:
                remove_placement_group(place)
                raise VimoclipError(
                    "The Ray cluster has no room for all processes of the training at once.",
                    received=f"nothing for {ROOM_S:.0f} s",
                    expected=f"{place.bundle_count} free {'GPUs' if self.gpus else 'shares of the cores'}",
                    hint="`ray status` shows who uses them; the same command with fewer --workers needs fewer.",
                )


def _take_reports(ended: list[Any], waiting: dict[Any, int], reports: dict[int, Any]) -> dict[int, Exception]:
    """Move the reports of calls that have ended from `waiting`; the errors of those that failed, by rank."""
    failures: dict[int, Exception] = {}
    for reference in ended:
        rank = waiting.pop(reference)
        try:
            reports[rank] = ray.get(reference)
        except RayError as error:
            failures[rank] = error
    return failures


def _cause(failures: dict[int, Exception], world: int) -> Exception:
    """The error that explains the others: our own; else a process that died; else the first."""
    own = [error.cause for error in failures.values() if isinstance(error, RayTaskError)]
    if (said := next((error for error in own if isinstance(error, VimoclipError)), None)) is not None:
        return said
    died = {rank: error for rank, error in failures.items() if not isinstance(error, RayTaskError)}
    rank, error = next(iter((died or failures).items()))
    made = VimoclipError(
        f"A process of the training has {'died' if died else 'failed'}, and the others were ended.",
        received=f"process {rank} of {world}: {first_line(error)}",
        hint="The last state is kept; the same command continues from there. If memory has run out, take fewer "
        "--workers, or --set training.batch_size with fewer clips.",
    )
    made.__cause__ = error
    return made
