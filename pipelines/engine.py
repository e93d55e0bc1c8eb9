"""Which executor an ingest uses, as it was asked for."""

from dataclasses import dataclass
from typing import Literal

from vimoclip.errors import UsageError

EngineName = Literal["auto", "in-process", "ray"]


@dataclass(frozen=True)
class Engine:
    """Which executor to use.

    name: `in-process`; `ray`; or `auto`: Ray where this machine has several GPUs, or where one of the others is given.
    workers: on Ray; 0 is one a GPU of the cluster. address: of a running Ray cluster; None starts one on this machine.
    """

    name: EngineName = "auto"
    workers: int = 0
    address: str | None = None

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageError: workers are negative, or Ray's settings are given for an engine that is not Ray.
        """
        if self.workers < 0:
            raise UsageError("--workers cannot be negative.", received=self.workers, expected="1 or more")
        if self.name == "in-process" and (self.workers or self.address):
            given = f"--workers {self.workers}" if self.workers else f"--ray-address {self.address}"
            raise UsageError("One worker in this process is all there is to --engine in-process.", received=given)
