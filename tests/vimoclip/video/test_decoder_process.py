"""Decoding in a child: the same events; a crash, a hang or the death of either side costs no more than it must."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.vimoclip import awkward
from tests.vimoclip.awkward import FILES, FRAMES, VIDEOS
from vimoclip.config.store import RunConfig, Sampling
from vimoclip.errors import VideoError
from vimoclip.frames import VideoDone, VideoInfo
from vimoclip.video.decode import DecodeEvent, FrameChunk, decode
from vimoclip.video.decoder_process import DecoderProcess

pytestmark = pytest.mark.slow

HOME = Path(__file__).resolve().parents[3]
KINDS = {"no-video-stream", "no-frames", "corrupt-after-N-frames", "encrypted", "too-small", "unreadable"}


@dataclass(frozen=True)
class Clip:
    path: str


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("awkward")
    awkward.write_all(path)
    return path


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 frames, 138 MB of pixels: far more than the pipe and the queue hold."""
    path = tmp_path_factory.mktemp("long") / "long.mkv"
    awkward.repeat(path, 600, (320, 240))
    return path


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Whatever a test does, no child, thread or open file may outlast it."""
    files = set(os.listdir("/proc/self/fd"))
    yield
    assert children() == []
    assert [t.name for t in threading.enumerate() if t.name == "vimoclip-prefetch"] == []
    assert set(os.listdir("/proc/self/fd")) == files


def children() -> list[psutil.Process]:
    """Those that decode, and those that nobody waited for."""
    return [
        child
        for child in psutil.Process().children()
        if is_zombie(child) or "vimoclip.video.decoder_process" in child.cmdline()
    ]


def is_zombie(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_ZOMBIE)


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def comparable(event: DecodeEvent | VideoError) -> object:
    if isinstance(event, FrameChunk):
        columns = (event.source_frame.tolist(), event.time_s.tolist(), event.stored.tolist(), event.pixel_aspect)
        return event.frames.shape, event.frames.tobytes(), columns
    if isinstance(event, VideoError):
        return event.kind, str(event), event.what, event.hint
    return event


def in_process(path: Path, sampling: Sampling, run: RunConfig) -> list[object]:
    events = []
    try:
        for event in decode(path, sampling, run.on_corrupt):
            events.append(comparable(event))
    except VideoError as error:
        events.append(comparable(error))
    return events


def ends(decoder: DecoderProcess, jobs: list[Clip]) -> list[VideoInfo | VideoError]:
    events = [event for _, event in decoder.stream(jobs) if isinstance(event, VideoDone | VideoError)]
    return [event.info if isinstance(event, VideoDone) else event for event in events]


@pytest.mark.parametrize("run", [RunConfig(), RunConfig(on_corrupt="keep")], ids=lambda run: run.on_corrupt)
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(fps=3)], ids=["all", "sampled"])
def test_the_events_are_those_of_decoding_in_process(folder: Path, sampling: Sampling, run: RunConfig) -> None:
    jobs = [Clip(str(folder / name)) for name in FILES]
    got: dict[Clip, list[object]] = {}
    pids = set()
    for job, event in DecoderProcess(sampling, run).stream(jobs):
        got.setdefault(job, []).append(comparable(event))
        pids |= {child.pid for child in children()}
    assert list(got) == jobs
    assert len(pids) == 1  # broken videos are no reason for another child
    for job in jobs:
        assert got[job] == in_process(Path(job.path), sampling, run), job


def test_odd_names_go_through_the_pipe(folder: Path, tmp_path: Path) -> None:
    paths = awkward.write_names(tmp_path, folder / "plain.mp4")
    paths.append(tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    paths[-1].write_bytes(paths[0].read_bytes())
    outcomes = ends(DecoderProcess(Sampling(every=10), RunConfig()), [Clip(str(path)) for path in paths])
    assert [isinstance(end, VideoInfo) and end.decoded_frames for end in outcomes] == [FRAMES] * len(paths)


def test_no_jobs_need_no_child() -> None:
    before = {child.pid for child in psutil.Process().children()}
    assert list(DecoderProcess(Sampling(), RunConfig()).stream(list[Clip]())) == []
    assert {child.pid for child in psutil.Process().children()} == before


def test_jobs_are_drawn_as_decoding_gets_there(long_clip: Path) -> None:
    drawn = []

    def jobs() -> Iterator[Clip]:
        for n in range(3):
            drawn.append(n)
            yield Clip(str(long_clip))

    stream = DecoderProcess(Sampling(), RunConfig()).stream(jobs())
    next(stream)
    time.sleep(1)
    assert drawn == [0]
    close(stream)


def close(stream: Iterator[object]) -> None:
    stream.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_costs_one_video(folder: Path, long_clip: Path, number: signal.Signals) -> None:
    jobs = [Clip(str(folder / "plain.mp4")), Clip(str(long_clip)), Clip(str(folder / "uneven.mkv"))]
    got: dict[Clip, list[DecodeEvent | VideoError]] = {}
    for job, event in DecoderProcess(Sampling(), RunConfig()).stream(jobs):
        if job == jobs[1] and job not in got:
            (child,) = children()
            os.kill(child.pid, number)
        got.setdefault(job, []).append(event)
    assert list(got) == jobs
    crash = got[jobs[1]][-1]
    assert isinstance(crash, VideoError) and crash.kind == "decoder-crashed" and number.name in str(crash)
    for job in (jobs[0], jobs[2]):
        done = got[job][-1]
        assert isinstance(done, VideoDone) and done.info.decoded_frames == FRAMES


def test_a_child_that_dies_between_two_videos_costs_none(folder: Path) -> None:
    go_on = threading.Event()

    def jobs() -> Iterator[Clip]:
        yield Clip(str(folder / "plain.mp4"))
        go_on.wait()
        yield Clip(str(folder / "uneven.mkv"))

    outcomes = []
    for _, event in DecoderProcess(Sampling(), RunConfig()).stream(jobs()):
        if isinstance(event, VideoDone | VideoError):
            outcomes.append(event)
            (child,) = children()
            child.kill()
            assert eventually(partial(is_zombie, child))
            go_on.set()
    assert [type(outcome) for outcome in outcomes] == [VideoDone, VideoDone]


def test_a_hang_in_the_middle_of_a_chunk_is_timed_out(folder: Path, long_clip: Path) -> None:
    jobs = [Clip(str(long_clip)), Clip(str(folder / "uneven.mkv"))]
    outcomes, stopped = [], 0.0
    for _, event in DecoderProcess(Sampling(), RunConfig(timeout_s=2.5)).stream(jobs):
        if not stopped:
            assert eventually(lambda: blocked(*children()))  # the pipe holds the first MiB of a chunk of 4
            os.kill(children()[0].pid, signal.SIGSTOP)
            stopped = time.monotonic()
        if isinstance(event, VideoDone | VideoError):
            outcomes.append((event, time.monotonic() - stopped))
    (late, waited), (done, _) = outcomes
    assert isinstance(late, VideoError) and late.kind == "timed-out" and "long.mkv" in str(late)
    assert 2.4 < waited < 5
    assert isinstance(done, VideoDone) and done.info.decoded_frames == FRAMES


def blocked(child: psutil.Process) -> bool:
    """Whether it waits for room in the pipe, as far as one can see: asleep, and not using the processor."""
    before = child.cpu_times()
    time.sleep(0.2)
    return bool(before == child.cpu_times() and child.status() == psutil.STATUS_SLEEPING)


def test_a_file_that_never_gives_a_byte_is_timed_out(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")  # opening it for reading waits for a writer
    jobs = [Clip(str(tmp_path / "pipe.mp4")), Clip(str(folder / "plain.mp4"))]
    late, info = ends(DecoderProcess(Sampling(), RunConfig(timeout_s=2.5)), jobs)
    assert isinstance(late, VideoError) and late.kind == "timed-out"
    assert isinstance(info, VideoInfo)


def test_slow_decoding_is_no_hang(tmp_path: Path) -> None:
    """Nothing is stored for longer than the timeout, and yet every frame is decoded in time."""
    path = tmp_path / "slow.mkv"
    awkward.repeat(path, 120, (4000, 3000))
    started = time.monotonic()
    list(decode(path, Sampling(every=1000)))
    timeout_s = (time.monotonic() - started) / 2
    (info,) = ends(DecoderProcess(Sampling(every=1000), RunConfig(timeout_s=timeout_s)), [Clip(str(path))])
    assert isinstance(info, VideoInfo) and info.decoded_frames == 120


def test_what_jobs_raise_is_raised(folder: Path) -> None:
    class OwnError(Exception):
        pass

    def jobs() -> Iterator[Clip]:
        yield Clip(str(folder / "plain.mp4"))
        raise OwnError("no more")

    seen = []
    with pytest.raises(OwnError, match="no more"):
        for _, event in DecoderProcess(Sampling(), RunConfig()).stream(jobs()):
            seen.append(event)
    assert isinstance(seen[-1], VideoDone)  # what came before is not lost


@pytest.mark.parametrize("after", [1, 3])
def test_closing_early_ends_the_child(long_clip: Path, after: int) -> None:
    stream = DecoderProcess(Sampling(), RunConfig()).stream([Clip(str(long_clip))] * 2)
    for _ in range(after):
        next(stream)
    assert len(children()) == 1
    started = time.monotonic()
    close(stream)
    assert time.monotonic() - started < 3
    assert children() == []


def test_closing_while_jobs_are_awaited_starts_no_other_child(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vimoclip.video.decoder_process.CLOSE_TIMEOUT_S", 0.3)
    go_on = threading.Event()

    def jobs() -> Iterator[Clip]:
        yield Clip(str(folder / "plain.mp4"))
        go_on.wait()
        yield Clip(str(folder / "uneven.mkv"))

    stream = DecoderProcess(Sampling(), RunConfig()).stream(jobs())
    while not isinstance(next(stream)[1], VideoDone):
        pass
    close(stream)
    go_on.set()
    assert eventually(lambda: "vimoclip-prefetch" not in {thread.name for thread in threading.enumerate()})
    assert children() == []


def test_an_exception_of_the_consumer_ends_the_child(long_clip: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in DecoderProcess(Sampling(), RunConfig()).stream([Clip(str(long_clip))]):
            1 / 0  # noqa: B018


def test_a_decoder_serves_again_after_it_was_closed(folder: Path) -> None:
    decoder = DecoderProcess(Sampling(), RunConfig())
    for _ in range(2):
        (info,) = ends(decoder, [Clip(str(folder / "plain.mp4"))])
        assert isinstance(info, VideoInfo)
    decoder.close()


def test_two_decoders_at_once(long_clip: Path, folder: Path) -> None:
    first = DecoderProcess(Sampling(), RunConfig()).stream([Clip(str(long_clip))])
    next(first)
    (info,) = ends(
        DecoderProcess(Sampling(), RunConfig()), [Clip(str(folder / "plain.mp4"))]
    )  # the other is not in its way
    assert isinstance(info, VideoInfo)
    close(first)


PARENT = """
import sys, time
from dataclasses import dataclass
from vimoclip.config.store import RunConfig, Sampling
from vimoclip.video.decoder_process import DecoderProcess

@dataclass(frozen=True)
class Clip:
    path: str

# No `if __name__ == "__main__"`: a child that imported this again would decode for ever.
for job, event in DecoderProcess(Sampling(), RunConfig()).stream([Clip(path) for path in sys.argv[2:]]):
    print(type(event).__name__, getattr(event, "kind", ""), flush=True)
    if sys.argv[1] == "stall":
        time.sleep(600)
"""


def start(tmp_path: Path, *arguments: str, cwd: Path | None = None) -> "subprocess.Popen[str]":
    script = tmp_path / "script.py"
    script.write_text(PARENT)
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd or tmp_path,
        env=os.environ | {"PYTHONPATH": str(HOME)},
    )  # fmt: skip


def test_the_child_of_a_killed_parent_ends_by_itself(long_clip: Path, tmp_path: Path) -> None:
    with start(tmp_path, "stall", str(long_clip)) as parent:
        assert parent.stdout is not None and parent.stdout.readline().startswith("FrameChunk")
        (child,) = psutil.Process(parent.pid).children()
        assert eventually(lambda: blocked(child))  # on a full pipe
        parent.kill()
        parent.wait()
        assert eventually(lambda: not child.is_running() or is_zombie(child))


def test_the_child_ends_when_its_parent_dies_while_it_is_idle(folder: Path, tmp_path: Path) -> None:
    with start(tmp_path, "stall", str(folder / "one-frame.mp4")) as parent:
        assert parent.stdout is not None and parent.stdout.readline().startswith("FrameChunk")
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
        parent.wait()
        assert eventually(lambda: not child.is_running() or is_zombie(child))


def test_namesakes_in_the_current_directory_are_not_imported(folder: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    trap = f"open({str(tmp_path / 'sprung')!r}, 'a').write(__name__)\nraise SystemExit(7)\n"
    for name in ("av.py", "numpy.py", "queue.py", "vimoclip/__init__.py", "schemas/__init__.py"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(trap)
    with start(tmp_path, "run", str(folder / "plain.mp4"), cwd=here) as parent:
        said, _ = parent.communicate(timeout=60)
    assert said.split() == ["FrameChunk", "FrameChunk", "VideoDone"] and parent.returncode == 0
    assert not (tmp_path / "sprung").exists()


def test_memory_is_bounded_however_long_the_video(tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    awkward.repeat(path, 3000, (320, 240))  # 691 MB of pixels
    frames, sizes = 0, []
    for _, event in DecoderProcess(Sampling(), RunConfig()).stream([Clip(str(path))]):
        if isinstance(event, FrameChunk):
            frames += len(event.frames)
            time.sleep(0.015)  # decoding is faster
            if frames % 160 == 0:
                sizes.append(sum(process.memory_info().rss for process in (psutil.Process(), *children())))
    assert frames == 3000
    assert max(sizes) - sizes[0] < 150 << 20


def test_frames_of_the_caller_are_its_own(folder: Path) -> None:
    """Writable, and untouched by what is decoded after them."""
    chunks = [e for _, e in DecoderProcess(Sampling(), RunConfig()).stream([Clip(str(folder / "falling-early.mkv"))])]
    frames = [event.frames for event in chunks if isinstance(event, FrameChunk)]
    whole = np.concatenate(frames)
    frames[0][:] = 0
    assert np.array_equal(np.concatenate(frames[1:]), whole[len(frames[0]) :])


@pytest.mark.parametrize("source", ["real", "generated"])
def test_damaged_clips_end_in_an_answer(source: str, folder: Path, tmp_path: Path) -> None:
    path = VIDEOS / "awkward" / "decord" / "video_90.mov" if source == "real" else folder / "two-sizes.ts"
    if not path.is_file():
        pytest.skip("the real videos are not beside the checkout")
    jobs = []
    for name, data in awkward.mutations(path, 40, seed=7):
        (tmp_path / name).write_bytes(data)
        jobs.append(Clip(str(tmp_path / name)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcomes = ends(DecoderProcess(Sampling(fps=5), RunConfig(on_corrupt="keep", timeout_s=20)), jobs)
    assert len(outcomes) == len(jobs)
    kinds = {re.sub(r"\d+", "N", end.kind) for end in outcomes if isinstance(end, VideoError)}
    assert kinds <= KINDS
    assert any(isinstance(end, VideoInfo) for end in outcomes)


def test_mutations_follow_from_their_seed(folder: Path) -> None:
    path = folder / "plain.mp4"
    first, again, other = (list(awkward.mutations(path, 20, seed)) for seed in (1, 1, 2))
    assert first == again and first != other
    original = path.read_bytes()
    assert sum(data != original for _, data in first) >= 18
    kinds = {Path(name).stem.split("-")[1] for name, _ in first}
    assert kinds == {"flip", "delete", "insert", "overwrite", "truncate"}
