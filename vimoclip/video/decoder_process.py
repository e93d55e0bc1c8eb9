"""Decoding in a child process: a crash or a hang of a codec costs one video, and decoding overlaps computing.

The child is `python -m vimoclip.video.decoder_process`, started with plain pipes rather than through multiprocessing:
it does not import the caller's `__main__` again, so scripts need no guard, and it leaves no shared memory behind when
everything is killed. It blocks on the pipe when the parent is slow, so memory stays bounded; it exits by itself when
the parent is gone.
"""

import contextlib
import fcntl
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from vimoclip.config.store import RunConfig, Sampling
from vimoclip.errors import VideoError, VimoclipError
from vimoclip.frames import VideoDone
from vimoclip.prefetch import Prefetcher
from vimoclip.video.decode import DecodeEvent, FrameChunk, decode

PREFETCH = 4  # chunks decoded before they are asked for
START_S = 60.0  # a loaded machine may take its time to start a process
IDLE_S = 1.0  # after this long without an event the caller gets None
HEARTBEAT_S = 0.1  # how often the child reports that it still decodes
CLOSE_TIMEOUT_S = 2.0  # how long closing waits for `jobs` to give its next item
_F_SETPIPE_SZ = 1031  # Linux: a pipe of 1 MiB moves frames with a sixteenth of the wake-ups


class Decodable(Protocol):
    """Anything that names a file to decode."""

    @property
    def path(self) -> str:
        """Absolute path of the video file."""


Job = TypeVar("Job", bound=Decodable)


class DecoderProcess:
    """Decodes videos one after another in a child process, a few chunks ahead of the caller.

    Args:
        sampling: which frames are stored.
        run: what to do with corrupt files, and how long to wait for a frame.
    """

    def __init__(self, sampling: Sampling, run: RunConfig) -> None:
        self._sampling, self._run = sampling, run
        self._child: _Child | None = None
        self._given_up: Decodable | None = None

    def give_up(self, job: Decodable) -> None:
        """Stop decoding this job, which a stream has reached: at most a few of its events are still to come."""
        self._given_up = job

    def stream(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, DecodeEvent | VideoError]]:
        """Decode each job in turn.

        Args:
            jobs: drawn in another thread, as decoding gets there; an error that it raises is raised here.

        Yields:
            Each job with its events (see `vimoclip.video.decode.decode`), the last of which is VideoDone or a
            VideoError.
        """
        with contextlib.closing(self.stream_or_idle(jobs)) as items:
            for item in items:
                if item is not None:
                    yield item

    def stream_or_idle(self, jobs: Iterable[Job]) -> Generator[tuple[Job, DecodeEvent | VideoError] | None, None, None]:
        """As `stream`, but yields None after each second without an event: the next job may be long in coming."""
        closing = threading.Event()

        def events() -> Iterator[tuple[Job, DecodeEvent | VideoError]]:
            for job in jobs:
                if closing.is_set():  # the job came late, and must not start another child
                    return
                for event in self._events(job.path):
                    yield job, event
                    if self._given_up is job:
                        self.close()  # the child is in the middle of it
                        break

        ahead = Prefetcher(events(), PREFETCH)
        try:
            while True:
                yield ahead.get(IDLE_S)
        except StopIteration:
            return
        finally:
            closing.set()
            patience = time.monotonic() + CLOSE_TIMEOUT_S
            while not ahead.stop(0.1) and time.monotonic() < patience:
                if (child := self._child) is not None:
                    child.end()  # the thread may be waiting for it
            self.close()

    def _events(self, path: str) -> Iterator[DecodeEvent | VideoError]:
        used = self._child is not None
        events = self._decode(path)
        first = next(events)
        if used and isinstance(first, VideoError) and first.kind == "decoder-crashed":
            # It may have died between two videos, which is neither's fault; a file that kills it does so again.
            self.close()
            events = self._decode(path)
            first = next(events)
        for event in itertools.chain([first], events):
            yield event
            if isinstance(event, VideoError) and event.kind in ("decoder-crashed", "timed-out"):
                self.close()

    def _decode(self, path: str) -> Iterator[DecodeEvent | VideoError]:
        if self._child is None:
            self._child = _Child()
        return self._child.decode(path, self._sampling, self._run)

    def close(self) -> None:
        """End the child. Decoding again starts a new one."""
        child, self._child = self._child, None
        if child is not None:
            child.end()
            child.close()


class _Child:
    """The parent's end of one child process."""

    def __init__(self) -> None:
        jobs_read, jobs_write = os.pipe()
        events_read, events_write = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(events_write, _F_SETPIPE_SZ, 1 << 20)
        home = str(Path(__file__).resolve().parents[2])
        search = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
        try:
            # -P: a `vimoclip` or `av` folder in the working directory must not be imported instead of the real one.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vimoclip.video.decoder_process", str(jobs_read), str(events_write)],
                pass_fds=(jobs_read, events_write),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": search},
            )
        except BaseException:
            os.close(jobs_write)
            os.close(events_read)
            raise
        finally:
            os.close(jobs_read)
            os.close(events_write)
        self._jobs = Connection(jobs_write, readable=False)
        self._events = Connection(events_read, writable=False)
        self._greet()

    def _greet(self) -> None:
        """Wait for the first sign of life: a child that cannot even start must not be blamed on a video."""
        try:
            if self._events.poll(START_S) and self._events.recv() is None:
                return
        except (EOFError, OSError):
            pass
        self.end()
        self.close()
        raise VimoclipError(
            "The decoding process cannot be started.",
            received=f"exit status {self._process.returncode}",
            hint="Run `vimoclip doctor`; everything committed is safe.",
        )

    def decode(self, path: str, sampling: Sampling, run: RunConfig) -> Iterator[DecodeEvent | VideoError]:
        name = Path(path).name
        try:
            self._jobs.send((path, sampling, run.on_corrupt))
            while True:
                event = self._receive(run.timeout_s)
                if event is None:
                    continue
                yield event
                if isinstance(event, VideoDone | VideoError):
                    return
        except TimeoutError:
            yield VideoError(
                "timed-out", f"{name} gave no frame for {run.timeout_s:g} s and was given up.",
                hint="Give it longer with --timeout and --retry-failed.",
            )  # fmt: skip
        except (EOFError, OSError):
            self._process.wait()
            code = self._process.returncode
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            what = f"The decoder died on {name}."
            yield VideoError("decoder-crashed", what, received=how, hint="Re-encode the file.")

    def _receive(self, timeout_s: float) -> DecodeEvent | VideoError | None:
        """The next event, or None for a sign of life."""
        self._wait(timeout_s)
        header: Any = self._events.recv()  # a few hundred bytes, which arrive at once
        if not isinstance(header, tuple):
            return header  # type: ignore[no-any-return]
        shape, *columns = header
        frames = np.empty(shape, np.uint8)
        rest = frames.data.cast("B")
        while rest:
            self._wait(timeout_s)
            count = os.readv(self._events.fileno(), [rest])
            if not count:
                raise EOFError
            rest = rest[count:]
        return FrameChunk(frames, *columns)

    def _wait(self, timeout_s: float) -> None:
        if not self._events.poll(timeout_s):
            raise TimeoutError

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self._jobs.close()
        self._events.close()


def _serve(jobs: Connection, events: Connection) -> None:
    """The child: decode what is asked for until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides when we end
    waiting: queue.Queue[Any] = queue.Queue()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                waiting.put(jobs.recv())
        os._exit(0)  # the parent is gone, and the main thread may be inside a codec

    threading.Thread(target=listen, daemon=True).start()
    events.send(None)
    beat = time.monotonic()

    def on_frame() -> None:
        nonlocal beat
        if time.monotonic() - beat > HEARTBEAT_S:
            beat = time.monotonic()
            events.send(None)

    with contextlib.suppress(BrokenPipeError):
        while True:
            path, sampling, on_corrupt = waiting.get()
            try:
                for event in decode(path, sampling, on_corrupt, on_frame):
                    if isinstance(event, FrameChunk):
                        frames = np.ascontiguousarray(event.frames)
                        columns = (event.source_frame, event.time_s, event.stored, event.pixel_aspect)
                        events.send((frames.shape, *columns))
                        rest = frames.data.cast("B")
                        while rest:
                            rest = rest[os.write(events.fileno(), rest) :]
                    else:
                        events.send(event)
            except VideoError as error:
                events.send(error)
            except Exception as error:  # a fault of ours; the parent ends this process when it hears "decoder-crashed"
                what = f"The decoder failed on {Path(path).name}."
                events.send(VideoError("decoder-crashed", what, received=repr(error), hint="Re-encode the file."))


if __name__ == "__main__":
    # so that pickled classes belong to vimoclip.video.decoder_process, not to __main__
    from vimoclip.video import decoder_process  # noqa: PLW0406

    decoder_process._serve(Connection(int(sys.argv[1]), writable=False), Connection(int(sys.argv[2]), readable=False))
