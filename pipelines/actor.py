"""Actor: an EmbedWorker that is given its jobs one by one, as a Ray actor is. Plain Python: ray_executor.py runs it."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue

from schemas.features import Feature
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.embedding.events import Job, Outcome
from vimoclip.embedding.feature_models import NOTHING_ADDED, Added
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.errors import VimoclipError


@dataclass(frozen=True)
class Described:
    """What an actor says of itself. config: with everything `auto` resolved. gpus: those it sees, as the driver numbers
    them, and empty where it uses none."""

    config: StoreConfig
    features: list[Feature]
    device: str
    gpus: str
    host: str
    pid: int

    @property
    def name(self) -> str:
        """For people: `GPU 1 of node7`."""
        return f"GPU {self.gpus} of {self.host}" if self.gpus else f"process {self.pid} of {self.host}"


class Actor:
    """`give` and `embed` are called from two threads."""

    def __init__(self, config: StoreConfig, run: RunConfig, added: Added = NOTHING_ADDED) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._failure: VimoclipError | None = None
        try:
            self._worker = EmbedWorker(config, run, added)
        except VimoclipError as error:  # what an actor's constructor raises reaches the driver as text only
            self._failure = error

    def describe(self) -> Described:
        """Itself.

        Raises:
            ModelError, ConfigError: see `EmbedWorker`.
        """
        if self._failure is not None:
            raise self._failure
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        worker = self._worker
        return Described(worker.config, worker.features, str(worker.device), gpus, platform.node(), os.getpid())

    def give(self, job: Job | None) -> None:
        """One more video to embed; None is the end of all."""
        self._jobs.put(job)

    def embed(self) -> Iterator[Outcome]:
        """Outcomes of every video given, and Idle while there is none, until the end."""
        yield from self._worker.embed(iter(self._jobs.get, None))
