"""Ray: the very worker that runs in-process, in an actor on each GPU or in several on CPUs.

The driver gives every actor two jobs, so that decoding runs ahead into the next video, and takes outcomes from the
actors' streams in whatever order they come. An actor holds back when a few of its outcomes have not been taken: neither
the object store nor a disk fills. An actor that dies or hangs is replaced, and the others go on meanwhile. The video it
was at is tried again, and is given up when it has cost `MAX_TRIES` actors; the other videos it held are as if never
given. Where every GPU was asked for, one that joins the cluster while a run goes on gets an actor too.
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
from ray.exceptions import RayError, RayTaskError

from pipelines.ray_cluster import RayCluster, first_line  # first: it sets what ray reads when it is imported
from schemas.features import Feature
from vimoclip.config.store import RunConfig, StoreConfig
from vimoclip.embedding.feature_models import NO_EXTRA_FEATURES, ExtraFeatures
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.errors import ConfigError, VimoclipError
from vimoclip.frames import FrameBatch, FrameEvent, Idle, VideoDone, VideoFailed, VideoJob, VideoReset
from vimoclip.prefetch import Prefetcher

# Actor: an EmbedWorker that is given its jobs one by one, as a Ray actor is. Plain Python: ray_executor.py runs it.


@dataclass(frozen=True)
class ActorInfo:
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

    def __init__(self, config: StoreConfig, run: RunConfig, added: ExtraFeatures = NO_EXTRA_FEATURES) -> None:
        self._jobs: SimpleQueue[VideoJob | None] = SimpleQueue()
        self._failure: VimoclipError | None = None
        try:
            self._worker = EmbedWorker(config, run, added)
        except VimoclipError as error:  # what an actor's constructor raises reaches the driver as text only
            self._failure = error

    def describe(self) -> ActorInfo:
        """Itself.

        Raises:
            ModelError, ConfigError: see `EmbedWorker`.
        """
        if self._failure is not None:
            raise self._failure
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        worker = self._worker
        return ActorInfo(worker.config, worker.features, str(worker.device), gpus, platform.node(), os.getpid())

    def give(self, job: VideoJob | None) -> None:
        """One more video to embed; None is the end of all."""
        self._jobs.put(job)

    def embed(self) -> Iterator[FrameEvent]:
        """Outcomes of every video given, and Idle while there is none, until the end."""
        yield from self._worker.embed(iter(self._jobs.get, None))


JOBS_PER_ACTOR = 2  # an actor holds: the one it embeds, and the one whose decoding runs ahead
MAX_PENDING = 4  # outcomes an actor may be ahead of the driver
IDLE_S = 1.0
MAX_TRIES = 3
START_S = 300.0
"""How long to wait for an actor when there is no other: its GPU may be in use, or its node still starting."""
HANG_S = 30.0
"""How long an actor may be silent, on top of the decoder's own time limit, which it reports itself. One that works says
something every second, be it that it has nothing to say."""


@dataclass
class _ActorHandle:
    """The driver's end of one actor. about: a reference to what it will say of itself.

    described, stream: once it has. jobs: given and not finished, the first of them being embedded. started: whether
    frames of that one have been passed on. heard: when the actor last said anything.
    """

    actor: Any
    about: Any
    described: ActorInfo | None = None
    stream: Any = None
    jobs: deque[VideoJob] = field(default_factory=deque)
    started: bool = False
    heard: float = 0.0


class RayExecutor:
    """Embeds on a Ray cluster. Attributes: as `pipelines.executor.Executor`."""

    def __init__(
        self,
        config: StoreConfig,
        run: RunConfig,
        workers: int = 0,
        address: str | None = None,
        added: ExtraFeatures = NO_EXTRA_FEATURES,
    ) -> None:
        """Connect, and start the actors.

        workers: how many; 0 is one for each GPU of the cluster, those included that join it later, or one where there
        is none. address: of a running cluster; None starts a private one on this machine, which ends with this process.

        Raises:
            ModelError, ConfigError: see `EmbedWorker`; or more workers than the cluster has GPUs, or cores, for.
            VimoclipError: no cluster answers there, or no actor can be started.
        """
        self._run = run
        self._hands: list[_ActorHandle] = []
        self._stillborn = 0
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
                    "There is no room for so many workers.",
                    received=f"--workers {workers}",
                    expected=f"at most {room}, one a {'GPU' if on_gpu else 'core'} of the cluster",
                )
            kind: Any = ray.remote(Actor)
            self._kind = kind.options(max_concurrency=2, num_gpus=int(on_gpu), num_cpus=int(not on_gpu))
            # The first decides what `auto` means, so that every vector in the store is made alike.
            self._start()
            first = self.actors[0]
            self.config, self.features = first.config, first.features
            self._added = replace(ExtraFeatures.of(self.features, added.alone), students=added.students)
            for _ in range(workers - 1):
                self._start()
            self.device = f"{workers} Ray workers, the first on {first.device} ({first.name})"
            self._every_gpu = every_gpu
        except BaseException:
            self.close()
            raise

    @property
    def actors(self) -> list[ActorInfo]:
        """What each actor says of itself; those that are still starting are waited for.

        Raises:
            VimoclipError: one does not start, or would give other vectors than the first.
        """
        until = time.monotonic() + START_S
        while any(hand.described is None for hand in self._hands):
            self._join(until)
        return [hand.described for hand in self._hands if hand.described is not None]

    def close(self) -> None:
        """End the actors, and leave the cluster; a private one ends too."""
        for hand in self._hands:
            with contextlib.suppress(RayError):
                ray.kill(hand.actor)
        self._hands = []
        self._cluster.close()

    def _start(self) -> None:
        actor = self._kind.remote(self.config, self._run, self._added)
        self._hands.append(_ActorHandle(actor, actor.describe.remote()))

    def _join(self, until: float) -> None:
        """Wait a moment for actors that are starting, and open their streams. until: when to wait no longer.

        Raises:
            VimoclipError: it is past that time; they die before they have begun; one would give other vectors; or the
                cluster is gone.
        """
        self._look()
        waiting = [hand for hand in self._hands if hand.described is None]
        alone = len(waiting) == len(self._hands)  # otherwise the others have something to say
        ready, _ = ray.wait([hand.about for hand in waiting], num_returns=1, timeout=IDLE_S if alone else 0)
        if not ready and time.monotonic() > until:
            raise VimoclipError(
                "The Ray cluster has given no worker.",
                received=f"nothing for {START_S:.0f} s",
                expected="a free GPU, or a core where there is none",
                hint="`ray status` shows who uses them; everything committed is safe.",
            )
        for hand in [hand for hand in waiting if hand.about in ready]:
            try:
                described: ActorInfo = _get(hand.about)
            except RayError as error:
                self._stillborn += 1
                if self._stillborn == MAX_TRIES:
                    raise VimoclipError(
                        "Ray workers die before they have begun.",
                        received=first_line(error),
                        hint="Run `vimoclip doctor` on every node; everything committed is safe.",
                    ) from error
                self._replace(hand)
                continue
            self._check(described)
            embed = hand.actor.embed.options(num_returns="streaming", _generator_backpressure_num_objects=MAX_PENDING)
            hand.described, hand.stream, hand.heard = described, embed.remote(), time.monotonic()
            self._stillborn = 0

    def _check(self, described: ActorInfo) -> None:
        for own, new in zip(self.features, described.features, strict=False):
            if own.fingerprint != new.fingerprint:
                raise VimoclipError(
                    f"{described.name} would give other vectors than the first worker.",
                    received=f"{new.name} with weights {new.weights_sha256[:8]}… in {new.precision}",
                    expected=f"weights {own.weights_sha256[:8]}… in {own.precision}",
                    hint="Put the same weights and versions on every node.",
                )

    def _look(self) -> None:
        """Now and then, see that the cluster is still there, and give a GPU that has joined it an actor."""
        if self._cluster.look() and self._every_gpu:
            for _ in range(self._cluster.room("GPU") - len(self._hands)):
                self._start()

    def embed(self, jobs: Iterable[VideoJob]) -> Iterator[FrameEvent]:
        """Outcomes of each job, those of several mixed. `jobs` is drawn from another thread.

        Raises:
            VimoclipError: the cluster is gone, or gives no actor any more.
        """
        source = Prefetcher(jobs, len(self._hands))
        again: deque[VideoJob] = deque()
        died: Counter[str] = Counter()
        joined = time.monotonic()
        try:
            while self._give(source, again):
                self._look()
                if any(hand.described is None for hand in self._hands):
                    self._join(joined + START_S)
                if any(hand.described is not None for hand in self._hands):
                    joined = time.monotonic()
                    yield from self._take(again, died)
                yield Idle()
        finally:
            source.stop(0)

    def _give(self, source: Prefetcher[VideoJob], again: deque[VideoJob]) -> bool:
        """Hand out what there is to those who hold too little; whether anything is left to wait for."""
        more = True
        for share in range(JOBS_PER_ACTOR):  # one each before anyone gets a second
            for hand in self._hands:
                if hand.described is None or len(hand.jobs) > share:
                    continue
                try:
                    job = again.popleft() if again else source.get(0)
                except StopIteration:
                    more, job = False, None
                if job is not None:
                    hand.jobs.append(job)
                    hand.actor.give.remote(job)
        return more or bool(again) or any(hand.jobs for hand in self._hands)

    def _take(self, again: deque[VideoJob], died: Counter[str]) -> Iterator[FrameEvent]:
        """What the actors have to say now; the jobs of those that are lost go to `again`."""
        streams = [hand.stream for hand in self._hands if hand.described is not None]
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        if not ready:
            ready, _ = ray.wait(streams, num_returns=1, timeout=IDLE_S)
        for hand in [hand for hand in self._hands if hand.stream in ready]:
            assert hand.described is not None
            try:
                outcome: FrameEvent = _get(next(hand.stream))
            except RayError as error:
                yield from self._lost(hand, f"it died: {first_line(error)}", again, died)
                continue
            hand.heard = time.monotonic()
            if isinstance(outcome, Idle):
                continue
            hand.started = isinstance(outcome, FrameBatch)
            if isinstance(outcome, FrameBatch):
                outcome = replace(outcome, worker=hand.described.name)
            elif isinstance(outcome, VideoDone | VideoFailed):
                hand.jobs.popleft()
                outcome = replace(outcome, attempts=outcome.attempts + died[outcome.video_id])
            yield outcome
        patience_s = self._run.timeout_s + HANG_S
        for hand in list(self._hands):
            if hand.jobs and hand.heard < time.monotonic() - patience_s:
                yield from self._lost(hand, f"it said nothing for {patience_s:.0f} s", again, died)

    def _lost(self, hand: _ActorHandle, how: str, again: deque[VideoJob], died: Counter[str]) -> Iterator[FrameEvent]:
        """Replace an actor; its first video is tried again, or given up."""
        self._replace(hand)
        if not hand.jobs:
            return
        job = hand.jobs.popleft()
        again.extend(hand.jobs)
        died[job.video_id] += 1
        if hand.started:
            yield VideoReset(job.video_id)
        if died[job.video_id] < MAX_TRIES:
            again.append(job)
        else:
            message = f"{MAX_TRIES} workers were lost at this video, and it was given up. Of the last one: {how}."
            yield VideoFailed(job.video_id, "worker-lost", message, attempts=MAX_TRIES)

    def _replace(self, hand: _ActorHandle) -> None:
        self._cluster.look(now=True)  # no actor outlives its raylet
        with contextlib.suppress(RayError):
            ray.kill(hand.actor)
        self._hands.remove(hand)
        self._start()


def _get(reference: Any) -> Any:
    """The value behind a reference. What our own code raised over there is raised here as it is."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, VimoclipError):
            raise error.cause from None
        raise
