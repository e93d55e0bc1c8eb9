"""Where embedding happens. The driver plans and writes; an executor turns jobs into outcomes and touches no store."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from schemas.features import Feature
from vimoclip.config import RunConfig, StoreConfig
from vimoclip.embedded import Job, Outcome


class Executor(Protocol):
    """What embeds videos. `config`: with everything `auto` resolved. `features`: what its vectors are."""

    config: StoreConfig
    features: list[Feature]

    def embed(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Outcomes of each job (see `vimoclip.worker.EmbedWorker.embed`). `jobs` may be drawn from another thread."""


def in_process(config: StoreConfig, run: RunConfig) -> Executor:
    """The worker itself, on one device of this machine.

    Raises:
        ModelError, ConfigError: see `EmbedWorker`.
    """
    from vimoclip.worker import EmbedWorker  # torch takes seconds to import, and a run with nothing to do needs none

    return EmbedWorker(config, run)
