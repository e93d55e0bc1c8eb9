"""What a device makes of the worker: frames a second, beside a loop written by hand and beside the models alone.

    python -m benchmarks.speed.gpu [--device auto] [--models ViT-B-32 ViT-B-16] [--flow NAME...]
        [--size 640x360] [--videos 4] [--frames 128] [--turns 3]

worker: `EmbedWorker` over rendered H.264 clips: decoding ahead, resizing, flow, both towers, the flow codec.
loop: decode a frame, flow, resize, teacher on 1 frame, student on 1 flow image, in fp32 and one after another.
alone: flow, teacher and student in the worker's batches and precision, frames decoded and resized beforehand.

The three take turns, so that a noisy machine slows all, and each rate is the median of its turns. Loading models, the
first forwards on a device and starting the decoder are in none of them. Weights are seeded random ones. It needs no
installed ViMoCLIP, and of its dependencies none that stores: torch, torchvision, open_clip, PyAV, NumPy, OpenCV and
PyArrow are enough.
"""

import argparse
import itertools
import queue
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import torch

from benchmarks.common import describe_machine
from benchmarks.speed.baseline import clock, compute_baseline, random_flow
from tests.clips import BEHAVIOURS, render
from vimoclip.config.store import ESTIMATORS, RunConfig, StoreConfig
from vimoclip.device import pick_device
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.flow.encoding import to_planes
from vimoclip.frames import FrameBatch, VideoDone, VideoFailed, VideoJob
from vimoclip.video.encode import write_clip

FPS = 24.0
WARM_UP = 17  # frames: more than one chunk of the decoder; batches have their full shape anyway
BY_HAND = 48  # frames a turn at most: the loop is slow, and no batch waits to be filled


def embedding(worker: EmbedWorker, warm_up: Path, paths: list[Path], turns: int) -> Iterator[tuple[int, float]]:
    """Embed the videos once a turn: frames, and seconds until all of them were done.

    One stream for all turns, so that its decoder runs already, but gives no frame before a turn begins.
    """
    given: queue.SimpleQueue[VideoJob | None] = queue.SimpleQueue()
    outcomes = worker.embed(iter(given.get, None))

    def embed(jobs: list[VideoJob]) -> int:
        for job in jobs:
            given.put(job)
        frames, left = 0, len(jobs)
        while left:
            outcome = next(outcomes)
            if isinstance(outcome, VideoFailed):
                raise SystemExit(f"{outcome.video_id} failed: {outcome.message}")
            frames += len(outcome.frame_index) if isinstance(outcome, FrameBatch) else 0
            left -= isinstance(outcome, VideoDone)
        return frames

    try:
        embed([VideoJob("warm-up", str(warm_up))])
        for turn in range(turns):
            began = clock(worker.device)
            frames = embed([VideoJob(f"{turn}/{path.name}", str(path)) for path in paths])
            yield frames, clock(worker.device) - began
    finally:
        given.put(None)  # ends the stream


def by_hand(worker: EmbedWorker, path: Path, frames: int) -> float:
    """Seconds of the loop over so many frames. The one before them, which has no flow, is not timed."""
    teacher, motion = worker.models.towers["clip"], worker.models.motion
    assert motion is not None
    student, estimator, resize = motion.students["moclip"], motion.estimator, teacher.preprocessing.resize
    previous, began = None, 0.0
    with av.open(str(path)) as container:
        for picture in itertools.islice(container.decode(video=0), 1 + frames):
            frame = picture.to_ndarray(format="rgb24")
            current = estimator.prepare(frame)
            if previous is not None:
                planes = to_planes(estimator.flow(previous, current), 1 / FPS, resize)
                student(planes[None]).cpu()
            teacher(teacher.resize(frame[None], 1.0)).cpu()
            if previous is None:
                began = clock(worker.device)
            previous = current
    return clock(worker.device) - began


def make_worker(model: str, flow: str, run: RunConfig, **clip: object) -> EmbedWorker:
    """A worker with seeded random weights. clip: further settings of `ClipConfig`."""
    asked = {"clip": {"model": model, "weights": "none", **clip}, "flow": random_flow(flow)}
    return EmbedWorker(StoreConfig.from_dict(asked), run)


def measure(model: str, flow: str, run: RunConfig, warm_up: Path, paths: list[Path], turns: int, few: int) -> str:
    """The three rates, medians of the turns, their ratios and the worker's peak of device memory, in one line.

    few: frames a turn of the loop.
    """
    simple = make_worker(model, flow, run, precision="fp32", batch_size=1)
    device = simple.device
    on_cuda = device.type == "cuda"
    held = torch.cuda.memory_allocated(device) if on_cuda else 0  # the loop's model is not the worker's
    worker = make_worker(model, flow, run)
    compute_baseline(worker, warm_up)
    by_hand(simple, warm_up, WARM_UP - 1)
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    peak = 0
    rates: dict[str, list[float]] = {"worker": [], "loop": [], "alone": []}
    for turn, (frames, seconds) in enumerate(embedding(worker, warm_up, paths, turns)):
        if on_cuda and turn == 0:  # before the two others run again
            peak = torch.cuda.max_memory_allocated(device) - held
        rates["worker"].append(frames / seconds)
        rates["alone"].append(frames / sum(compute_baseline(worker, path) for path in paths))
        rates["loop"].append(few / by_hand(simple, paths[turn % len(paths)], few))
    embedded, loop, least = (statistics.median(rates[name]) for name in ("worker", "loop", "alone"))
    clip = worker.config.clip
    line = (
        f"{model}, {flow}, {clip.precision}, batches of {clip.batch_size}: worker {embedded:.1f} frames/s, "
        f"loop {loop:.1f}, alone {least:.1f}; "
        f"worker / loop = {embedded / loop:.2f}, worker / alone = {embedded / least:.3f}"
    )
    return f"{line}; peak {peak / 1e6:.0f} MB of device memory" if on_cuda else line


def main() -> None:
    """Write the clips, measure each estimator with each model, and print."""
    flows = tuple(ESTIMATORS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--models", nargs="+", default=["ViT-B-32", "ViT-B-16"])
    parser.add_argument("--flow", nargs="+", choices=flows, default=flows)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--frames", type=int, default=128, help="a video; at least 2")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    width, height = (int(side) for side in asked.size.split("x"))
    run = RunConfig(device=asked.device)
    device = pick_device(run.device)
    print(describe_machine())
    print(f"$ python -m benchmarks.speed.gpu {' '.join(sys.argv[1:])}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"{device}: {name}; torch {torch.__version__}; {asked.videos} videos of {asked.frames} frames", flush=True)
    with tempfile.TemporaryDirectory() as place:
        lengths = {Path(place, "warm-up.mp4"): WARM_UP}
        lengths |= {Path(place, f"{n:03d}.mp4"): asked.frames for n in range(asked.videos)}
        for n, (path, frames) in enumerate(lengths.items()):
            behaviour = BEHAVIOURS[n % len(BEHAVIOURS)]
            write_clip(path, render(behaviour, n, frames, (width, height), FPS), FPS)
        warm_up, *paths = lengths
        for model in asked.models:
            for flow in asked.flow:
                few = min(BY_HAND, asked.frames - 1)
                print(measure(model, flow, run, warm_up, paths, asked.turns, few), flush=True)


if __name__ == "__main__":
    main()
