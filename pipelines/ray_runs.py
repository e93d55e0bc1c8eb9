"""Trainings side by side on a Ray cluster: one request a task, several to a GPU where it is large enough."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pipelines.ray_cluster import RayCluster, first_line  # first: it sets what ray reads when it is imported

# isort: split
import ray
from ray.exceptions import RayError, RayTaskError

from vimoclip.errors import VimoclipError

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
