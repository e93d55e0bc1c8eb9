"""Where embedding happens. The driver plans and writes; an executor turns jobs into outcomes and touches no store."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from vimoclip.atomic import defer_interrupts
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.errors import StoreError, UsageError

if TYPE_CHECKING:  # numpy and Arrow, for which --help, which names the engines, need not wait
    from schemas.features import Feature
    from vimoclip.embedding.feature_models import ExtraFeatures
    from vimoclip.frames import FrameEvent, VideoJob

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


class Executor(Protocol):
    """What embeds videos. `config`: with everything `auto` resolved. `features`: what its vectors are. `device`: for
    people to read."""

    config: StoreConfig
    features: "list[Feature]"

    @property
    def device(self) -> object: ...

    def embed(self, jobs: "Iterable[VideoJob]") -> "Iterator[FrameEvent]":
        """Outcomes of each job (see `vimoclip.embedding.worker.EmbedWorker.embed`), those of several jobs mixed or not.

        `jobs` may be drawn from another thread.
        """


@contextlib.contextmanager
def executor(
    config: StoreConfig, run: RunConfig, engine: Engine, added: "ExtraFeatures | None" = None
) -> Iterator[Executor]:
    """The executor, until the block ends. added: features beside the store's own, or instead of them; None is none.

    Raises:
        ModelError, ConfigError: see `EmbedWorker`. VimoclipError: see `RayExecutor`.
    """
    from vimoclip.embedding.feature_models import NO_EXTRA_FEATURES

    added = added or NO_EXTRA_FEATURES
    if is_ray(run, engine):
        from pipelines.ray_executor import RayExecutor  # half a second, and most runs need none

        with contextlib.closing(RayExecutor(config, run, engine.workers, engine.address, added)) as made:
            yield made
    else:
        # with torch, which takes seconds: a run with nothing to do needs none
        from vimoclip.embedding.worker import EmbedWorker

        yield EmbedWorker(config, run, added)


@contextlib.contextmanager
def consumed(outcomes: "Iterator[FrameEvent]", flush: Callable[[], object]) -> Iterator[None]:
    """While the block writes outcomes down: whatever ends it, what is complete is flushed, and the executor is left in
    order. After a KeyboardInterrupt whoever catches it flushes."""
    try:
        yield
    except (KeyboardInterrupt, StoreError):
        raise  # of a commit that failed nobody knows whether it took place: it must not be made twice
    except BaseException:
        flush()
        raise
    finally:
        with defer_interrupts():
            outcomes.close()  # type: ignore[attr-defined]


def is_ray(run: RunConfig, engine: Engine) -> bool:
    """Whether that is Ray: see `Engine`."""
    if engine.name != "auto":
        return engine.name == "ray"
    if engine.workers or engine.address:
        return True
    import torch

    return run.device == "auto" and torch.cuda.device_count() > 1
