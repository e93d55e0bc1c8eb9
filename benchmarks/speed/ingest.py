"""What ingest costs beyond the arithmetic that cannot be avoided, how it scales, and what it keeps.

    python -m benchmarks.speed.ingest ratio FOLDER...   [--model ViT-B-32] [--flow dis] [--group 400] [--limit N]
    python -m benchmarks.speed.ingest scale             [--model ViT-B-32] [--many 400] [--few 10]
    python -m benchmarks.speed.ingest engines           [--model ViT-B-32] [--frames 2000]
    python -m benchmarks.speed.ingest memory            [--minutes 30]
    python -m benchmarks.speed.ingest starting FOLDER   [--model ViT-B-32] [--group 60] [--limit N] [--fps 10]

ratio: wall time of the whole pipeline (hashing, decoding, resizing, flow, both towers, the flow codec, Lance) over
CLIP, student and flow alone on the same frames, batches and threads, frames decoded and resized beforehand. Loading the
models is in neither. The two take turns, group of videos by group, so that a noisy machine slows both. Then bytes a
frame.
scale: frames a second at few and at many videos, taking turns. engines: wall time on Ray, with one worker, over that in
one process, from models loaded to the last video, taking turns: starting and ending Ray is in neither. memory: peak
resident memory of all processes of an ingest of a long and of a ten-second video. starting: wall time with the tower
on the flow image, as moclip was made before (`--motion tower`), over that of the default, group of videos by group in
turns, and bytes a frame of both. Weights are seeded random ones.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import psutil
from rich.console import Console

from benchmarks.common import describe_machine
from benchmarks.speed.baseline import compute_baseline, random_flow
from pipelines.executor import Engine, EngineName
from pipelines.ingest import IngestRequest, run
from pipelines.ingest_plan import discover
from tests.clips import render
from vimoclip.config.store import ESTIMATORS, RunConfig, StartingMotion, StoreConfig
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.progress import Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.video.encode import write_clip

console = Console(soft_wrap=True)


class Stopwatch(Progress):
    """When an ingest's models were loaded, and when its last video was done."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0

    def stage(self, name: str, total: int | None = None) -> None:
        self.began = time.perf_counter()  # of the last one: the models are loaded in the one before

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self.ended = time.perf_counter() if n else self.ended


def ingest(
    paths: list[Path],
    store: Path,
    model: str,
    engine: EngineName = "in-process",
    watch: Stopwatch | None = None,
    flow: str = "dis",
    motion: StartingMotion = "mbh",
    fps: float | None = None,
) -> tuple[float, int]:
    """Ingest with seeded random weights; seconds from models loaded to the last commit, and frames."""
    watch = watch or Stopwatch()
    asked = {
        "clip": {"model": model, "weights": "none"},
        "flow": random_flow(flow) | {"motion": motion},
        "sampling": {"fps": fps},
    }
    report = run(IngestRequest(paths=paths, store=store, asked=asked, engine=Engine(engine)), watch)
    assert not report.failed, report.failed
    return time.perf_counter() - watch.began, report.frames


def ratio(folders: list[Path], model: str, flow: str, group_frames: int, limit: int | None) -> None:
    """Print wall / forwards alone over groups of videos, and bytes a frame in the store."""
    asked = {"clip": {"model": model, "weights": "none"}, "flow": random_flow(flow)}
    worker = EmbedWorker(StoreConfig.from_dict(asked), RunConfig())
    paths = [Path(source.path) for folder in folders for source in discover([folder]).videos][:limit]
    walls, alones, ratios, frames = 0.0, 0.0, [], 0
    with tempfile.TemporaryDirectory() as place:
        for n, group in enumerate(_groups(paths, group_frames)):
            wall, count = ingest(group, Path(place, "store"), model, flow=flow)
            least = sum(compute_baseline(worker, path) for path in group)
            walls, alones, frames = walls + wall, alones + least, frames + count
            ratios.append(wall / least)
            console.print(
                f"group {n}: {len(group)} videos, {count} frames, {wall:.1f} / {least:.1f} s = {wall / least:.3f}"
            )
        store = FeatureStore.open(Path(place, "store"))
        raw = 2 * sum(feature.dim for feature in store.features.values())
        vectors = store.place.size("frames") / frames
        images = store.place.size("flow") / frames
    console.print(
        f"{frames} frames, {frames / walls:.1f} frames/s: wall / alone = {walls / alones:.3f} "
        f"(median of groups {statistics.median(ratios):.3f})"
    )
    console.print(f"bytes a frame: vectors {vectors:.0f} = {vectors / raw:.3f} × raw {raw}; flow {images:.0f}")


def starting(folder: Path, model: str, group_frames: int, limit: int | None, fps: float) -> None:
    """Print the wall time of an ingest as it was over one as it is, and the bytes a frame of either."""
    paths = [Path(source.path) for source in discover([folder]).videos][:limit]
    ways: dict[str, StartingMotion] = {"before": "tower", "now": "mbh"}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    frames = 0
    with tempfile.TemporaryDirectory() as place:
        for group in _groups(paths, group_frames):
            for name, motion in ways.items():
                wall, count = ingest(group, Path(place, name), model, motion=motion, fps=fps)
                spent[name].append(wall)
            frames += count
            console.print(" ".join(f"{name} {times[-1]:.2f} s" for name, times in spent.items()))
        stores = {name: FeatureStore.open(Path(place, name)) for name in ways}
        sizes = {name: sum(store.place.size(part) for part in ("frames", "flow")) for name, store in stores.items()}
    ratios = [before / now for before, now in zip(spent["before"], spent["now"], strict=True)]
    console.print(
        f"{model}: {frames} frames, before / now = {sum(spent['before']) / sum(spent['now']):.2f} (median of groups "
        f"{statistics.median(ratios):.2f}); bytes a frame: before {sizes['before'] / frames:.0f}, now "
        f"{sizes['now'] / frames:.0f}"
    )


def _groups(paths: list[Path], frames: int) -> Iterator[list[Path]]:
    """Consecutive videos of at least `frames` frames together."""
    group, count = [], 0
    for path in paths:
        with av.open(str(path), metadata_errors="ignore") as container:
            count += container.streams.video[0].frames
        group.append(path)
        if count >= frames:
            yield group
            group, count = [], 0
    if group:
        yield group


def scale(model: str, few: int, many: int) -> None:
    """Print frames a second at few and at many videos."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for n in range(many):
            write_clip(folder / f"{n:04d}.mp4", render("bouncing", n, 8, (160, 120), 24.0), 24.0)
        rates: dict[int, list[float]] = {few: [], many: []}
        paths = sorted(folder.glob("*.mp4"))
        for turn in range(5):
            wall, frames = ingest(paths[turn * few : (turn + 1) * few], folder / f"few{turn}", model)
            rates[few].append(frames / wall)
            if turn == 2:
                wall, frames = ingest(paths, folder / "many", model)
                rates[many].append(frames / wall)
            shutil.rmtree(folder / f"few{turn}")
    small, large = statistics.median(rates[few]), statistics.median(rates[many])
    console.print(f"frames/s at {few} videos {small:.1f}, at {many} {large:.1f}: ratio {large / small:.3f}")


def engines(model: str, frames: int) -> None:
    """Print the wall time on Ray over that in one process, for at least so many frames in all."""
    length = 50
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        turns = 2
        clips = -(-frames // (turns * length))
        spent: dict[EngineName, float] = {"in-process": 0.0, "ray": 0.0}
        done = 0
        for turn in range(turns):
            paths = [folder / f"{turn}-{n:03d}.mp4" for n in range(clips)]
            for n, path in enumerate(paths):
                write_clip(path, render("bouncing", turn * clips + n, length, (320, 240), 24.0), 24.0)
            for engine in spent:
                watch = Stopwatch()
                _, count = ingest(paths, folder / f"{turn}-{engine}", model, engine, watch)
                spent[engine] += watch.ended - watch.began
            done += count
            console.print(
                f"turn {turn}: {' '.join(f'{name} {seconds:.1f} s' for name, seconds in spent.items())} so far"
            )
    ratio = spent["ray"] / spent["in-process"]
    console.print(f"{done} frames: Ray, one worker, over one process = {ratio:.3f}")


def memory(minutes: float) -> None:
    """Print the peak memory of an ingest of a ten-second and of a long video, all processes together."""
    from tests.models import write_tiny_clip

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = write_tiny_clip(folder / "model")
        loop = list(render("bouncing", 0, 250, (320, 240), 25.0))
        peaks = []
        for name, repeats in (("short", 1), ("long", round(minutes * 6))):
            frames = (frame for _ in range(repeats) for frame in loop)
            options = {"preset": "ultrafast", "crf": "23"}
            (folder / name).mkdir()
            write_clip(folder / name / "video.mp4", frames, 25.0, options=options)
            models = ["--clip-model", model, "--flow", "dis"]
            peaks.append(peak(["ingest", str(folder / name), "--store", str(folder / f"{name}-store"), *models]))
            console.print(f"{name}: {250 * repeats} frames, peak {peaks[-1] / 1e6:.0f} MB")
        console.print(f"{minutes:g} minutes over 10 seconds: {(peaks[1] - peaks[0]) / 1e6:+.0f} MB")


def peak(arguments: list[str]) -> int:
    """Largest resident memory of a command and its children, sampled ten times a second."""
    command = [sys.executable, "-m", "vimoclip", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        total = 0
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            try:
                total += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        most = max(most, total)
        time.sleep(0.1)
    assert process.returncode == 0
    return most


def main() -> None:
    """Measure what was asked for, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ratio")
    one.add_argument("folders", nargs="+", type=Path)
    one.add_argument("--model", default="ViT-B-32")
    one.add_argument("--flow", default="dis", choices=list(ESTIMATORS))
    one.add_argument("--group", type=int, default=400, help="frames that take turns")
    one.add_argument("--limit", type=int, help="at most this many videos")
    two = commands.add_parser("scale")
    two.add_argument("--model", default="ViT-B-32")
    two.add_argument("--many", type=int, default=400)
    two.add_argument("--few", type=int, default=10)
    engine = commands.add_parser("engines")
    engine.add_argument("--model", default="ViT-B-32")
    engine.add_argument("--frames", type=int, default=2000)
    three = commands.add_parser("memory")
    three.add_argument("--minutes", type=float, default=30.0)
    four = commands.add_parser("starting")
    four.add_argument("folder", type=Path)
    four.add_argument("--model", default="ViT-B-32")
    four.add_argument("--group", type=int, default=60, help="frames that take turns")
    four.add_argument("--limit", type=int, help="at most this many videos")
    four.add_argument("--fps", type=float, default=10.0)
    arguments = parser.parse_args()
    console.print(describe_machine())
    console.print(f"$ python -m benchmarks.speed.ingest {' '.join(sys.argv[1:])}")
    if arguments.command == "ratio":
        ratio(arguments.folders, arguments.model, arguments.flow, arguments.group, arguments.limit)
    elif arguments.command == "scale":
        scale(arguments.model, arguments.few, arguments.many)
    elif arguments.command == "engines":
        engines(arguments.model, arguments.frames)
    elif arguments.command == "starting":
        starting(arguments.folder, arguments.model, arguments.group, arguments.limit, arguments.fps)
    else:
        memory(arguments.minutes)


if __name__ == "__main__":
    main()
