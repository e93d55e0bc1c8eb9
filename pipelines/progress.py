"""How ingest and embed report their progress: rates of the workers, heartbeats for `status`, opening messages."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from schemas.features import arithmetic
from vimoclip.config.store import ClipConfig, FlowConfig, Sampling
from vimoclip.progress import Progress, count, time_in_words
from vimoclip.store.lock import WriteLock

WINDOW_S = 60.0
"""How far back the rate of a worker looks."""


@dataclass(frozen=True)
class WorkerRate:
    """The rate of a worker.

    Attributes:
        name: of the worker, such as `GPU 1 of node7`; empty in this process.
        frames: so far.
        frames_per_s: over the last minute.
    """

    name: str
    frames: int
    frames_per_s: float


class Rates:
    """Counts the frames of each worker, from when it is made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start to count. clock: gives seconds, from any zero."""
        self._clock, self._began = clock, clock()
        self._lately: dict[str, deque[tuple[float, int]]] = {}  # when, and how many, by worker
        self._sums: Counter[str] = Counter()  # of `_lately`
        self._frames: Counter[str] = Counter()

    def add(self, worker: str, frames: int) -> None:
        """Count `frames` more of a worker."""
        now = self._clock()
        self._lately.setdefault(worker, deque()).append((now, frames))
        self._sums[worker] += frames
        self._frames[worker] += frames
        self._forget(worker, now)

    @property
    def frames(self) -> int:
        """How many frames were counted so far."""
        return self._frames.total()

    def workers(self) -> list[WorkerRate]:
        """The rates of the workers that gave frames in the last minute, by name."""
        now = self._clock()
        seconds = max(min(now - self._began, WINDOW_S), 1e-3)
        rates = []
        for name in sorted(self._lately):
            self._forget(name, now)
            if self._sums[name]:
                rates.append(WorkerRate(name, self._frames[name], self._sums[name] / seconds))
        return rates

    def note(self, videos: int) -> str:
        """The rates in words: of all since the start and, where there are several workers, of each lately.

        Args:
            videos: how many are done.

        Returns:
            `17 frames/s, 0.52 videos/s (GPU 0 of node7: 9, GPU 1 of node7: 8)`.
        """
        seconds = max(self._clock() - self._began, 1e-3)
        note = f"{self.frames / seconds:.0f} frames/s, {videos / seconds:.2f} videos/s"
        workers = self.workers()
        if len(workers) > 1:
            note += f" ({', '.join(f'{each.name}: {each.frames_per_s:.0f}' for each in workers)})"
        return note

    def _forget(self, worker: str, now: float) -> None:
        """Drop what is more than a minute old."""
        given = self._lately[worker]
        while given and given[0][0] < now - WINDOW_S:
            self._sums[worker] -= given.popleft()[1]


# Videos that take long.


LONG_S = 5.0
"""After how long a video counts as one that takes long: its file is opened once more, to see how much is to come."""


class LongVideos:
    """Follows the videos in progress, and says of those that take long how many frames are done of about how many."""

    def __init__(
        self, promised: Callable[[str], int | None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Follow none yet.

        Args:
            promised: gives the number of frames that a file promises, by its path; by default, what its header says.
            clock: gives seconds, from any zero.
        """
        self._promised, self._clock = promised or promised_frames, clock
        self._began: dict[str, float] = {}
        self._done: dict[str, int] = {}
        self._total: dict[str, int | None] = {}

    def add(self, video_id: str, path: str, frames: int) -> None:
        """Say that the first `frames` frames of a video's file are done."""
        began = self._began.setdefault(video_id, self._clock())
        self._done[video_id] = frames
        if video_id not in self._total and self._clock() - began >= LONG_S:
            self._total[video_id] = self._promised(path)

    def end(self, video_id: str) -> None:
        """Follow a video no longer; it is done, or begins again."""
        for each in (self._began, self._done, self._total):
            each.pop(video_id, None)

    def items(self) -> float:
        """How much of the videos in progress is done: 0.25 is a quarter of one."""
        return math.fsum(min(self._done[name] / total, 0.99) for name, total in self._total.items() if total)

    def note(self) -> str:
        """What is done of the video that takes longest: `12000 of about 54000 frames of a.mp4`; empty without one."""
        if not self._total:
            return ""
        name = min(self._total, key=lambda each: self._began[each])
        done, total = self._done[name], self._total[name]
        of = f" of about {total}" if total and done <= total else ""
        return f"{done}{of} frames of {name}"


def promised_frames(path: str) -> int | None:
    """How many frames the header of a video promises; None where it does not say, or cannot be read."""
    return read_header(path)[0]


def read_header(path: str) -> tuple[int | None, float | None]:
    """How many frames the header of a video promises, and how many seconds; None where it does not say."""
    import av

    try:
        with av.open(path) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, av.VideoStream):
                return None, None
            if stream.duration is not None and stream.time_base is not None:
                seconds = float(stream.duration * stream.time_base)
            else:
                seconds = (container.duration or 0) / av.time_base
            if stream.frames or not stream.average_rate:
                return stream.frames or None, seconds or None
            return round(seconds * stream.average_rate) or None, seconds or None
    except (av.FFmpegError, OSError, ValueError):
        return None, None


# What it will take.


MEASURED_S = 20.0
"""For how long frames are counted before it is said what the rest will take."""
WORTH_SAYING_S = 600.0
"""From how long on it is said."""
HEADERS = 32
"""How many files, evenly chosen, are opened to see how many frames are to come."""
FEWER_FPS = 5.0
"""The sampling that is named beside it; half the rate that is stored, where that is not higher."""


class Forecast:
    """Says once, after the first seconds of an ingest, what the rest of it will take, where that is long."""

    def __init__(
        self,
        progress: Progress,
        rates: Rates,
        paths: Sequence[str],
        sampling: Sampling,
        measured_s: float = MEASURED_S,
        worth_saying_s: float = WORTH_SAYING_S,
        clock: Callable[[], float] = time.monotonic,
        header: Callable[[str], tuple[int | None, float | None]] | None = None,
    ) -> None:
        """Wait for the first frames.

        Args:
            progress: gets the message.
            rates: counts the frames.
            paths: of the files to ingest.
            sampling: which of their frames are stored.
            measured_s: for how long frames are counted, from the first on, so that loading models is left out.
            worth_saying_s: from how long on the rest is worth a line.
            clock: gives seconds, from any zero.
            header: gives frames and seconds of a file; by default as its header promises.
        """
        self._progress, self._rates, self._paths, self._sampling = progress, rates, paths, sampling
        self._measured_s, self._worth_saying_s = measured_s, worth_saying_s
        self._clock, self._header = clock, header or read_header
        self._began: tuple[float, int] | None = None  # when, and how many frames there were
        self._over = False

    def update(self) -> None:
        """Look at the clock; to be called whenever frames have come."""
        if self._over or not self._rates.frames:
            return
        if self._began is None:
            self._began = self._clock(), self._rates.frames
        seconds, frames = self._clock() - self._began[0], self._rates.frames - self._began[1]
        if seconds < self._measured_s or not frames:
            return
        self._over, per_s = True, frames / seconds
        total, fps = self._expected()
        left = total - self._rates.frames
        if left / per_s < self._worth_saying_s:
            return
        rate = f"{per_s:.0f}" if per_s >= 10 else f"{per_s:.1f}"
        said = f"About {left:,.0f} frames are left: {time_in_words(left / per_s)} at {rate} frames/s."
        fewer = min(FEWER_FPS, fps / 2)
        if fewer >= 1:
            less = time_in_words(left * fewer / fps / per_s)
            said += f" A store of its own with --fps {fewer:.3g} would take about {less} for the same videos."
        self._progress.message(said)

    def _expected(self) -> tuple[float, float]:
        """How many frames of all files will be stored, and how many a second of video; 0 where headers do not say."""
        step = -(-len(self._paths) // HEADERS)
        found = [self._header(path) for path in self._paths[::step]]
        known = [(frames, seconds) for frames, seconds in found if frames and seconds]
        if not known:
            return 0.0, 0.0
        stored, every = 0.0, self._sampling.every
        for frames, seconds in known:
            stored += frames / every if every else min(frames, seconds * (self._sampling.fps or math.inf))
        return len(self._paths) * stored / len(found), stored / sum(seconds for _, seconds in known)


# Heartbeats: what `status`, in another process, shows of a run in progress.


HEARTBEAT_S = 1.0


class ProgressHeartbeat:
    """Publishes in the write lock how far its holder is."""

    def __init__(self, lock: WriteLock, rates: Rates, videos: int, device: str) -> None:
        """Publish nothing yet.

        Args:
            lock: held on the store.
            rates: of the workers.
            videos: how many there are to do.
            device: the name to show for the worker in this process.
        """
        self._lock, self._rates, self._videos, self._device = lock, rates, videos, device
        self._updated_s = -math.inf

    def update(self, done: int) -> None:
        """Publish that `done` videos are done, at most once every `HEARTBEAT_S` seconds."""
        if time.monotonic() - self._updated_s < HEARTBEAT_S:
            return
        self._updated_s = time.monotonic()
        workers = [asdict(worker) | {"name": worker.name or self._device} for worker in self._rates.workers()]
        self._lock.publish({"workers": workers, "done": done, "videos": self._videos})


# The opening messages of ingest and embed.


def announce_plan(progress: Progress, todo: int, known: int) -> None:
    """Say how many videos are looked into in this run, and how many are known."""
    progress.message(f"{count(todo, 'video')} to look into, {known} known.")


def announce_models(progress: Progress, clip: ClipConfig, flow: FlowConfig | None, device: str) -> None:
    """Say which model embeds, and where; and warn where its weights are random.

    Args:
        progress: gets the messages.
        clip: the settings of the image tower.
        flow: those of the flow; None where none is computed.
        device: where, in words.
    """
    by = f", flow by {flow.estimator}" if flow is not None else ""
    how = arithmetic(clip.precision, clip.memory_format)
    progress.message(f"{clip.model} ({clip.weights}, {how}) on {device}{by}.")
    if clip.weights == "none":
        progress.message("These weights are random: the vectors mean nothing, and only serve to test the pipeline.")
