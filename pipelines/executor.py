"""Where embedding runs: in this process or on Ray.

The driver plans and writes; an executor turns jobs into outcomes and does not touch the store.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from vimoclip.atomic import defer_interrupts
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.errors import StoreError, UsageError

if TYPE_CHECKING:  # these load numpy and Arrow, which --help does not need
    from schemas.features import Feature
    from vimoclip.embedding.feature_models import ExtraFeatures
    from vimoclip.frames import FrameEvent, VideoJob

EngineName = Literal["auto", "in-process", "ray"]


@dataclass(frozen=True)
class Engine:
    """Which executor to use.

    Attributes:
        name: `in-process`; `ray`; or `auto`: Ray where this machine has several GPUs, or where `workers` or `address`
            is given.
        workers: Ray workers; 0 is one per GPU of the cluster.
        address: of a running Ray cluster; None starts one on this machine.
    """

    name: EngineName = "auto"
    workers: int = 0
    address: str | None = None

    def __post_init__(self) -> None:
        """Check the settings against each other.

        Raises:
            UsageError: `workers` is negative, or Ray's settings are given for an engine that is not Ray.
        """
        if self.workers < 0:
            raise UsageError("--workers cannot be negative.", received=self.workers, expected="1 or more")
        if self.name == "in-process" and (self.workers or self.address):
            given = f"--workers {self.workers}" if self.workers else f"--ray-address {self.address}"
            raise UsageError("--engine in-process has a single worker, in this process.", received=given)


class Executor(Protocol):
    """What embeds videos.

    Attributes:
        config: the store's settings, with every `auto` resolved.
        features: the features that it computes.
        device: where, in words.
    """

    config: StoreConfig
    features: "list[Feature]"

    @property
    def device(self) -> object: ...

    def embed(self, jobs: "Iterable[VideoJob]") -> "Iterator[FrameEvent]":
        """Yield the outcomes of each job (see `vimoclip.embedding.worker.EmbedWorker.embed`).

        Outcomes of several jobs may be mixed, and `jobs` may be drawn from another thread.
        """


@contextlib.contextmanager
def executor(
    config: StoreConfig, run: RunConfig, engine: Engine, added: "ExtraFeatures | None" = None
) -> Iterator[Executor]:
    """Make the executor, and close it when the block ends.

    Args:
        config: the store's settings.
        run: settings of this run.
        engine: which executor.
        added: features to compute beside the store's own, or instead of them.

    Raises:
        ModelError: see `EmbedWorker`.
        ConfigError: see `EmbedWorker`.
        VimoclipError: see `RayExecutor`.
    """
    from vimoclip.embedding.feature_models import NO_EXTRA_FEATURES

    added = added or NO_EXTRA_FEATURES
    if is_ray(run, engine):
        from pipelines.ray_executor import RayExecutor  # takes half a second, and most runs do not need it

        with contextlib.closing(RayExecutor(config, run, engine.workers, engine.address, added)) as made:
            yield made
    else:
        # loads torch, which takes seconds: a run with nothing to do does not need it
        from vimoclip.embedding.worker import make_worker

        yield make_worker(config, run, added)


@contextlib.contextmanager
def consumed(outcomes: "Iterator[FrameEvent]", flush: Callable[[], object]) -> Iterator[None]:
    """Guard a block that writes outcomes: when it fails, flush what is complete; in any case close the outcomes.

    After a KeyboardInterrupt the caller flushes, and after a StoreError nothing may be flushed.
    """
    try:
        yield
    except (KeyboardInterrupt, StoreError):
        raise  # a commit that failed may still have taken place, and must not be made twice
    except BaseException:
        flush()
        raise
    finally:
        with defer_interrupts():
            outcomes.close()  # type: ignore[attr-defined]


def is_ray(run: RunConfig, engine: Engine) -> bool:
    """Whether an engine is Ray, with `auto` resolved; see `Engine`."""
    if engine.name != "auto":
        return engine.name == "ray"
    if engine.workers or engine.address:
        return True
    import torch

    return run.device == "auto" and torch.cuda.device_count() > 1
