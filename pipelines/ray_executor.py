"""Embedding on Ray: the in-process worker, in an actor on each GPU or in several on CPUs.

The driver gives every actor two jobs, so that decoding runs ahead into the next video, and takes outcomes from the
actors' streams in whatever order they come. An actor pauses while several of its outcomes have not been taken, so that
neither the object store nor a disk fills up. An actor that dies or hangs is replaced while the others keep working. Its
current video is retried, and is given up once it has cost `MAX_TRIES` actors; its other videos are given out again.
Where the run uses every GPU, a GPU that joins the cluster during the run gets an actor too.
"""

import contextlib
import os
import platform
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from pipelines.ray_cluster import RayCluster, first_line  # first: it sets what ray reads when it is imported
from schemas.features import Feature
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.embedding.feature_models import NO_EXTRA_FEATURES, ExtraFeatures
from vimoclip.embedding.worker import make_worker
from vimoclip.errors import ConfigError, VimoclipError
from vimoclip.frames import FrameBatch, FrameEvent, Idle, VideoDone, VideoFailed, VideoJob, VideoReset
from vimoclip.prefetch import Prefetcher

# The actor: a worker that is given its jobs one by one. Plain Python, which Ray runs.


@dataclass(frozen=True)
class ActorInfo:
    """How an actor describes itself.

    Attributes:
        config: the settings, with every `auto` resolved.
        features: the features that it computes.
        device: its torch device, in words.
        gpus: the GPUs it sees, by the driver's numbers, such as `1`; empty where it uses none.
        host: the name of its machine.
        pid: its process id.
    """

    config: StoreConfig
    features: list[Feature]
    device: str
    gpus: str
    host: str
    pid: int

    @property
    def name(self) -> str:
        """The actor's name for people: `GPU 1 of node7`."""
        return f"GPU {self.gpus} of {self.host}" if self.gpus else f"process {self.pid} of {self.host}"


class Actor:
    """A worker behind a queue of jobs. `give` and `embed` are called from two threads."""

    def __init__(self, config: StoreConfig, run: RunConfig, added: ExtraFeatures = NO_EXTRA_FEATURES) -> None:
        self._jobs: SimpleQueue[VideoJob | None] = SimpleQueue()
        self._failure: VimoclipError | None = None
        if run.device == "auto" and torch.cuda.is_available():  # Ray gave it a GPU: it uses that or says why not
            run = replace(run, device="cuda")
        try:
            self._worker = make_worker(config, run, added)
        except VimoclipError as error:  # Ray would pass it to the driver as text only
            self._failure = error

    def describe(self) -> ActorInfo:
        """Describe the actor.

        Raises:
            ModelError: see `EmbedWorker`, which was made in the constructor.
            ConfigError: likewise.
        """
        if self._failure is not None:
            raise self._failure
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        worker = self._worker
        return ActorInfo(worker.config, worker.features, str(worker.device), gpus, platform.node(), os.getpid())

    def give(self, job: VideoJob | None) -> None:
        """Add a video to embed; None ends the queue."""
        self._jobs.put(job)

    def embed(self) -> Iterator[FrameEvent]:
        """Yield the outcomes of every video given, and Idle while there are none, until the queue ends."""
        yield from self._worker.embed(iter(self._jobs.get, None))


JOBS_PER_ACTOR = 2
"""Jobs that an actor holds: the one it embeds, and the one whose decoding runs ahead."""
MAX_PENDING = 4
"""Outcomes by which an actor may be ahead of the driver."""
IDLE_S = 1.0
MAX_TRIES = 3
START_S = 300.0
"""How long to wait for an actor when there is no other: its GPU may be in use, or its node still starting."""
HANG_S = 30.0
"""How long an actor may be silent beyond the decoder's time limit, which it reports itself. A working actor yields
something every second, if only Idle."""


@dataclass
class _ActorHandle:
    """The driver's end of one actor.

    Attributes:
        actor: Ray's handle.
        about: a reference to the actor's description.
        described: the description; None while the actor is starting.
        stream: the stream of its outcomes; None while it is starting.
        jobs: given and not finished; the first is being embedded.
        started: whether frames of the first job have been passed on.
        heard: when the actor last yielded anything, by `time.monotonic`.
    """

    actor: Any
    about: Any
    described: ActorInfo | None = None
    stream: Any = None
    jobs: deque[VideoJob] = field(default_factory=deque)
    started: bool = False
    heard: float = 0.0


class RayExecutor:
    """Embeds on a Ray cluster; see `pipelines.executor.Executor` for its attributes."""

    def __init__(
        self,
        config: StoreConfig,
        run: RunConfig,
        workers: int = 0,
        address: str | None = None,
        added: ExtraFeatures = NO_EXTRA_FEATURES,
    ) -> None:
        """Connect to the cluster, and start the actors.

        Args:
            config: the store's settings.
            run: settings of this run.
            workers: how many actors; 0 is one per GPU of the cluster, including GPUs that join later, or one where
                there are none.
            address: the address of a running cluster; None starts a private one on this machine, which ends with this
                process.
            added: features to compute beside the store's own, or instead of them.

        Raises:
            ModelError: see `EmbedWorker`.
            ConfigError: see `EmbedWorker`; or the cluster lacks the GPUs, or cores, for that many workers.
            VimoclipError: no cluster answers, or no actor can be started.
        """
        self._run = run
        self._handles: list[_ActorHandle] = []
        self._failed_starts = 0
        self._every_gpu = False
        self.config, self._added = config, added
        self.features: list[Feature] = []
        self._cluster = RayCluster(address)
        try:
            on_gpu = run.device != "cpu" and self._cluster.room("GPU") >= 1
            room = self._cluster.room("GPU" if on_gpu else "CPU")
            every_gpu = on_gpu and not workers
            workers = workers or (room if on_gpu else 1)
            if workers > room:
                raise ConfigError(
                    "The cluster has no room for that many workers.",
                    received=f"--workers {workers}",
                    expected=f"at most {room}, one a {'GPU' if on_gpu else 'core'} of the cluster",
                )
            kind: Any = ray.remote(Actor)
            self._kind = kind.options(max_concurrency=2, num_gpus=int(on_gpu), num_cpus=int(not on_gpu))
            # The first actor decides what `auto` means, so that every vector in the store is made alike.
            self._start()
            first = self.actors[0]
            self.config, self.features = first.config, first.features
            towers = ExtraFeatures.of(self.features, added.alone)
            self._added = replace(towers, students=added.students, stored_flow=added.stored_flow)
            for _ in range(workers - 1):
                self._start()
            self.device = f"{workers} Ray workers, the first on {first.device} ({first.name})"
            self._every_gpu = every_gpu
        except BaseException:
            self.close()
            raise

    @property
    def actors(self) -> list[ActorInfo]:
        """The description of each actor, once all have started.

        Raises:
            VimoclipError: an actor does not start, or would compute other vectors than the first.
        """
        until = time.monotonic() + START_S
        while any(handle.described is None for handle in self._handles):
            self._join(until)
        return [handle.described for handle in self._handles if handle.described is not None]

    def close(self) -> None:
        """End the actors, and leave the cluster; a private cluster ends too."""
        for handle in self._handles:
            with contextlib.suppress(RayError):
                ray.kill(handle.actor)
        self._handles = []
        self._cluster.close()

    def _start(self) -> None:
        actor = self._kind.remote(self.config, self._run, self._added)
        self._handles.append(_ActorHandle(actor, actor.describe.remote()))

    def _join(self, until: float) -> None:
        """Wait a moment for starting actors, at the latest until `until`, and open their streams.

        Raises:
            VimoclipError: it is past that time; actors die while they start; one would compute other vectors than the
                first; or the cluster is gone.
        """
        self._look()
        waiting = [handle for handle in self._handles if handle.described is None]
        alone = len(waiting) == len(self._handles)  # otherwise the others yield outcomes meanwhile
        ready, _ = ray.wait([handle.about for handle in waiting], num_returns=1, timeout=IDLE_S if alone else 0)
        if not ready and time.monotonic() > until:
            raise VimoclipError(
                "The Ray cluster has given no worker.",
                received=f"nothing for {START_S:.0f} s",
                expected="a free GPU, or a core where there is none",
                hint="`ray status` shows who uses them; everything committed is safe.",
            )
        for handle in [handle for handle in waiting if handle.about in ready]:
            try:
                described: ActorInfo = _get(handle.about)
            except RayError as error:
                self._failed_starts += 1
                if self._failed_starts == MAX_TRIES:
                    raise VimoclipError(
                        "Ray workers die before they have begun.",
                        received=first_line(error),
                        hint="Run `vimoclip doctor` on every node; everything committed is safe.",
                    ) from error
                self._replace(handle)
                continue
            self._check(described)
            embed = handle.actor.embed.options(num_returns="streaming", _generator_backpressure_num_objects=MAX_PENDING)
            handle.described, handle.stream, handle.heard = described, embed.remote(), time.monotonic()
            self._failed_starts = 0

    def _check(self, described: ActorInfo) -> None:
        """Refuse an actor that would compute other vectors than the first."""
        for own, new in zip(self.features, described.features, strict=False):
            if own.fingerprint != new.fingerprint:
                raise VimoclipError(
                    f"{described.name} would give other vectors than the first worker.",
                    received=f"{new.name} with weights {new.weights_sha256[:8]}… in {new.precision}",
                    expected=f"weights {own.weights_sha256[:8]}… in {own.precision}",
                    hint="Put the same weights and versions on every node.",
                )

    def _look(self) -> None:
        """From time to time, check that the cluster is still there, and start actors on GPUs that have joined it."""
        if self._cluster.look() and self._every_gpu:
            for _ in range(self._cluster.room("GPU") - len(self._handles)):
                self._start()

    def embed(self, jobs: Iterable[VideoJob]) -> Iterator[FrameEvent]:
        """Yield the outcomes of each job, those of several mixed. `jobs` is drawn from another thread.

        Raises:
            VimoclipError: the cluster is gone, or actors can no longer be started.
        """
        source = Prefetcher(jobs, len(self._handles))
        retries: deque[VideoJob] = deque()
        deaths: Counter[str] = Counter()
        joined = time.monotonic()
        try:
            while self._give(source, retries):
                self._look()
                if any(handle.described is None for handle in self._handles):
                    self._join(joined + START_S)
                if any(handle.described is not None for handle in self._handles):
                    joined = time.monotonic()
                    yield from self._take(retries, deaths)
                yield Idle()
        finally:
            source.stop(0)

    def _give(self, source: Prefetcher[VideoJob], retries: deque[VideoJob]) -> bool:
        """Hand jobs to the actors that lack some; whether any work is left."""
        more = True
        for share in range(JOBS_PER_ACTOR):  # one each before any actor gets a second
            for handle in self._handles:
                if handle.described is None or len(handle.jobs) > share:
                    continue
                try:
                    job = retries.popleft() if retries else source.get(0)
                except StopIteration:
                    more, job = False, None
                if job is not None:
                    handle.jobs.append(job)
                    handle.actor.give.remote(job)
        return more or bool(retries) or any(handle.jobs for handle in self._handles)

    def _take(self, retries: deque[VideoJob], deaths: Counter[str]) -> Iterator[FrameEvent]:
        """Yield the outcomes that the actors have now; the jobs of lost actors go to `retries`."""
        streams = [handle.stream for handle in self._handles if handle.described is not None]
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        if not ready:
            ready, _ = ray.wait(streams, num_returns=1, timeout=IDLE_S)
        for handle in [handle for handle in self._handles if handle.stream in ready]:
            assert handle.described is not None
            try:
                outcome: FrameEvent = _get(next(handle.stream))
            except RayError as error:
                yield from self._lost(handle, f"it died: {first_line(error)}", retries, deaths)
                continue
            handle.heard = time.monotonic()
            if isinstance(outcome, Idle):
                continue
            handle.started = isinstance(outcome, FrameBatch)
            if isinstance(outcome, FrameBatch):
                outcome = replace(outcome, worker=handle.described.name)
            elif isinstance(outcome, VideoDone | VideoFailed):
                handle.jobs.popleft()
                outcome = replace(outcome, attempts=outcome.attempts + deaths[outcome.video_id])
            yield outcome
        patience_s = self._run.timeout_s + HANG_S
        for handle in list(self._handles):
            if handle.jobs and handle.heard < time.monotonic() - patience_s:
                yield from self._lost(handle, f"it said nothing for {patience_s:.0f} s", retries, deaths)

    def _lost(
        self, handle: _ActorHandle, how: str, retries: deque[VideoJob], deaths: Counter[str]
    ) -> Iterator[FrameEvent]:
        """Replace a lost actor; its current video is retried, or given up."""
        self._replace(handle)
        if not handle.jobs:
            return
        job = handle.jobs.popleft()
        retries.extend(handle.jobs)
        deaths[job.video_id] += 1
        if handle.started:
            yield VideoReset(job.video_id)
        if deaths[job.video_id] < MAX_TRIES:
            retries.append(job)
        else:
            message = f"{MAX_TRIES} workers were lost at this video, and it was given up. Of the last one: {how}."
            yield VideoFailed(job.video_id, "worker-lost", message, attempts=MAX_TRIES)

    def _replace(self, handle: _ActorHandle) -> None:
        self._cluster.look(now=True)  # actors die with their raylet
        with contextlib.suppress(RayError):
            ray.kill(handle.actor)
        self._handles.remove(handle)
        self._start()


def _get(reference: Any) -> Any:
    """The value behind a reference. An error that our own code raised in the actor is raised here unchanged."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, VimoclipError):
            raise error.cause from None
        raise
