"""Rates by a clock that the test sets."""

from pathlib import Path

import pytest

from pipelines.progress import (
    HEADERS,
    LONG_S,
    MEASURED_S,
    WINDOW_S,
    Forecast,
    LongVideos,
    Rates,
    WorkerRate,
    promised_frames,
    read_header,
)
from vimoclip.config.store import Sampling
from vimoclip.progress import Progress


class Clock:
    """Shows the time that it is set to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_frames_over_the_time_since_the_start_and_then_over_the_last_minute() -> None:
    clock = Clock()
    counted = Rates(clock)
    assert counted.workers() == []
    for _ in range(10):
        clock.now += 1
        counted.add("GPU 0 of a", 30)
        counted.add("GPU 1 of a", 10)
    assert counted.workers() == [WorkerRate("GPU 0 of a", 300, 30.0), WorkerRate("GPU 1 of a", 100, 10.0)]
    clock.now += WINDOW_S - 5
    counted.add("GPU 1 of a", 60)
    (first, second) = counted.workers()
    assert (first.frames, second.frames) == (300, 160)
    assert first.frames_per_s == pytest.approx(6 * 30 / WINDOW_S)  # those of the last six of ten seconds
    assert second.frames_per_s == pytest.approx((6 * 10 + 60) / WINDOW_S)


def test_a_worker_that_is_gone_is_no_longer_named() -> None:
    clock = Clock()
    counted = Rates(clock)
    counted.add("process 1 of a", 5)
    clock.now += WINDOW_S + 1
    counted.add("process 2 of a", 5)
    assert [worker.name for worker in counted.workers()] == ["process 2 of a"]


def test_memory_is_bounded_by_the_window() -> None:
    clock = Clock()
    counted = Rates(clock)
    for _ in range(10_000):
        clock.now += 1
        counted.add("", 1)
    assert len(counted._lately[""]) <= WINDOW_S + 1
    assert counted.workers()[0].frames == 10_000


def test_a_note_names_the_workers_where_there_are_several() -> None:
    clock = Clock()
    counted = Rates(clock)
    clock.now += 10
    counted.add("GPU 0 of a", 300)
    assert counted.note(5) == "30 frames/s, 0.50 videos/s"
    counted.add("GPU 1 of a", 100)
    assert counted.note(5) == "40 frames/s, 0.50 videos/s (GPU 0 of a: 30, GPU 1 of a: 10)"


def test_a_video_that_takes_long_is_counted_in_frames_of_about_how_many() -> None:
    clock, opened = Clock(), []

    def promised(path: str) -> int | None:
        opened.append(path)
        return {"/a.mp4": 1000, "/b.mp4": 200}.get(path)

    videos = LongVideos(promised, clock)
    videos.add("a.mp4", "/a.mp4", 10)
    assert (videos.items(), videos.note(), opened) == (0, "", [])  # a short one is not opened again
    clock.now += LONG_S
    videos.add("b.mp4", "/b.mp4", 10)
    for frames in (100, 250):
        videos.add("a.mp4", "/a.mp4", frames)
    assert (videos.items(), videos.note(), opened) == (0.25, "250 of about 1000 frames of a.mp4", ["/a.mp4"])
    clock.now += LONG_S
    videos.add("b.mp4", "/b.mp4", 100)
    assert (videos.items(), videos.note()) == (0.75, "250 of about 1000 frames of a.mp4")
    videos.add("a.mp4", "/a.mp4", 1200)  # more than was promised
    assert (videos.items(), videos.note()) == (0.99 + 0.5, "1200 frames of a.mp4")
    videos.end("a.mp4")
    assert (videos.items(), videos.note()) == (0.5, "100 of about 200 frames of b.mp4")
    videos.end("b.mp4")
    videos.add("c.avi", "/c.avi", 1)
    clock.now += LONG_S
    videos.add("c.avi", "/c.avi", 70)
    assert (videos.items(), videos.note()) == (0, "70 frames of c.avi")


def test_what_a_file_promises(clips: Path, tmp_path: Path) -> None:
    for clip in clips.rglob("*.mp4"):
        assert promised_frames(str(clip)) == 10
        frames, seconds = read_header(str(clip))
        assert frames == 10 and seconds is not None and 0.3 < seconds < 1.1
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert promised_frames(str(tmp_path / "broken.mp4")) is None
    assert promised_frames(str(tmp_path / "nowhere.mp4")) is None


class Messages(Progress):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def forecast(
    sampling: Sampling, videos: int, frames: int, seconds: float, rate: int, worth_s: float = 600.0
) -> list[str]:
    """What is said of an ingest of so many equal videos, of which `rate` frames a second are done."""
    clock, progress = Clock(), Messages()
    rates = Rates(clock)
    opened: list[str] = []

    def header(path: str) -> tuple[int | None, float | None]:
        opened.append(path)
        return (frames, seconds) if frames else (None, None)

    paths = [f"/{n}.mp4" for n in range(videos)]
    made = Forecast(progress, rates, paths, sampling, worth_saying_s=worth_s, clock=clock, header=header)
    made.update()
    clock.now += 300  # loading models
    for second in range(60):
        rates.add("", rate)
        made.update()
        assert bool(opened) == (second >= MEASURED_S)
        clock.now += 1
    assert len(opened) == min(videos, HEADERS) and len(set(opened)) == len(opened)
    return progress.said


def test_a_long_ingest_says_what_it_will_take_once() -> None:
    (said,) = forecast(Sampling(), 1600, 250, 10.0, 10)
    # 400,000 frames, of which 21 s are done; five a second is a fifth of 25
    assert said == (
        "About 399,790 frames are left: 11 h 6 min at 10 frames/s. "
        "A store of its own with --fps 5 would take about 2 h 13 min for the same videos."
    )
    (said,) = forecast(Sampling(fps=10), 1600, 250, 10.0, 10)
    assert said.startswith("About 159,790 frames are left: 4 h 26 min at 10 frames/s.") and "--fps 5 would" in said
    (said,) = forecast(Sampling(every=5), 1600, 250, 10.0, 2)
    assert said.startswith("About 79,958 frames are left: 11 h 6 min at 2.0 frames/s.") and "--fps 2.5 would" in said
    (said,) = forecast(Sampling(fps=1), 16_000, 250, 10.0, 2)
    assert said.startswith("About 159,958 frames are left") and "--fps" not in said
    (said,) = forecast(Sampling(fps=30), 1600, 250, 10.0, 10)  # no more than there are
    assert said.startswith("About 399,790 frames")


def test_a_short_ingest_and_one_of_which_nothing_is_known_say_nothing() -> None:
    assert forecast(Sampling(), 24, 250, 10.0, 10) == []  # 6,000 frames: 600 s in all
    assert len(forecast(Sampling(), 25, 250, 10.0, 10)) == 1
    assert forecast(Sampling(), 25, 250, 10.0, 10, worth_s=3600) == []
    assert forecast(Sampling(), 25, 0, 10.0, 10) == []
