"""What a GPU makes of ViMoCLIP, in a few minutes: ingest, the paper's Table 2, and training the motion student.

    python -m benchmarks.speed.gpu [--budget 450] [--parts ingest table2 motion] [--device auto]
        [--models ViT-B-16 ViT-L-14] [--flow raft-large] [--size 640x360] [--videos 4] [--frames 128] [--turns 3]
        [--clips 24004] [--width 512] [--student ViT-B-16] [--segments 32] [--segment 30]

ingest, frames a second, for each model with each estimator:
    worker: `EmbedWorker` over rendered H.264 clips: decoding ahead, resizing, flow, both towers, the flow codec.
    loop: decode a frame, flow, resize, teacher on 1 frame, student on 1 flow image, in fp32 and one after another.
    alone: flow, teacher and student in the worker's batches and precision, frames decoded and resized beforehand.
    The three take turns, so that a noisy machine slows all, and each rate is the median of its turns.
table2, seconds an epoch of each of the five rows, with the paper's settings, on made-up vectors and labels of Animal
    Kingdom's size: 24,004 clips of 179 frames in the mean (benchmarks/quality/animal_kingdom.py).
motion: seconds a step of `train-motion`, and the share of it that the device computes, which is that step's time with
    clips that lie ready in memory over its time with clips that are read, decoded and made into images meanwhile. Then
    four checks: vectors of `--fps` are those of the whole video to the bit; those of a video are the same after
    another video; a run that was stopped within an epoch ends as an unbroken one to the bit; and gradients of videos
    without motion are finite, in every row of Table 2.

Loading models, the first forwards on a device and starting the decoder are in none of the times. Weights are seeded
random ones. A part that would take longer than its share of the budget is cut short, and says so. At the end stands
everything as one line of JSON. It needs no installed ViMoCLIP, and of its dependencies none that stores or starts
processes on other machines: torch, torchvision, timm, torchmetrics, open_clip, safetensors, PyAV, NumPy, OpenCV and
PyArrow are enough.
"""

import argparse
import itertools
import json
import queue
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common import describe_machine
from benchmarks.quality.animal_kingdom import CLASSES, D, lengths
from benchmarks.speed.baseline import clock, compute_baseline, random_flow
from tests.clips import BEHAVIOURS, render
from vimoclip.config.fusion import HEADS, PRESETS, Fusion, FusionConfig
from vimoclip.config.motion import DEFAULT_TRAINING, MotionConfig
from vimoclip.config.store import ESTIMATORS, ClipConfig, RunConfig, StoreConfig
from vimoclip.device import pick_device
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.flow.encoding import PLANE, encode_flow, to_planes
from vimoclip.frames import FrameBatch, VideoDone, VideoFailed, VideoJob
from vimoclip.models.backbones import load_backbone
from vimoclip.progress import Progress
from vimoclip.sequences.sequences import PackedRows, Sequences
from vimoclip.training.fusion import FusionTask
from vimoclip.training.loop import Training
from vimoclip.training.motion import MotionTask, Shown
from vimoclip.training.motion_dataset import FlowRows, MotionClips, cut_clips
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


def make_worker(model: str, flow: str, run: RunConfig, fps: float | None = None, **clip: object) -> EmbedWorker:
    """A worker with seeded random weights. fps: of `Sampling`; clip: further settings of `ClipConfig`."""
    asked = {"clip": {"model": model, "weights": "none", **clip}, "flow": random_flow(flow), "sampling": {"fps": fps}}
    return EmbedWorker(StoreConfig.from_dict(asked), run)


def measure(
    model: str, flow: str, run: RunConfig, warm_up: Path, paths: list[Path], turns: int, few: int, until: float
) -> dict[str, Any]:
    """The three rates, medians of the turns, their ratios and the worker's peak of device memory.

    few: frames a turn of the loop. until: when, by `time.monotonic`, no other turn is begun.
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
        if time.monotonic() > until:
            break
    embedded, loop, least = (statistics.median(rates[name]) for name in ("worker", "loop", "alone"))
    clip = worker.config.clip
    found = {"model": model, "flow": flow, "precision": clip.precision, "batch_size": clip.batch_size}
    found |= {"worker": embedded, "loop": loop, "alone": least, "turns": len(rates["worker"])}
    return found | ({"peak_bytes": peak} if on_cuda else {})


def in_words(found: dict[str, Any]) -> str:
    """What `measure` found, in one line."""
    embedded, loop, least = found["worker"], found["loop"], found["alone"]
    line = (
        f"{found['model']}, {found['flow']}, {found['precision']}, batches of {found['batch_size']}: "
        f"worker {embedded:.1f} frames/s, loop {loop:.1f}, alone {least:.1f}; "
        f"worker / loop = {embedded / loop:.2f}, worker / alone = {embedded / least:.3f}"
    )
    return f"{line}; peak {found['peak_bytes'] / 1e6:.0f} MB of device memory" if "peak_bytes" in found else line


# Table 2, at Animal Kingdom's size.


def made_up(fusion: Fusion, steps: NDArray[np.int64], device: torch.device, moving: bool = True) -> Sequences:
    """Sequences of these lengths, whose vectors are made on the device; one or several labels each.

    moving: False leaves every second video without motion.
    """
    random = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(steps)])
    dims = dict.fromkeys(HEADS[fusion].roles, D)
    values = [torch.empty(int(offsets[-1]), dim, dtype=torch.float16, device=device) for dim in dims.values()]
    for each in values:
        for some in torch.split(each, 100_000):
            some.normal_(std=D**-0.5)  # about unit length
    norms = torch.full((int(offsets[-1]), len(dims)), 10.0)
    if not moving and "motion" in dims:
        for video in range(0, len(steps), 2):
            norms[offsets[video] : offsets[video + 1], list(dims).index("motion")] = 0
    targets = np.zeros((len(steps), CLASSES), np.uint8)
    for _ in range(2):  # Animal Kingdom's clips show 2.17 on average
        targets[np.arange(len(steps)), random.integers(0, CLASSES, len(steps))] = 1
    names, ids = [str(n) for n in range(CLASSES)], [str(n) for n in range(len(steps))]
    labels = torch.from_numpy(targets)
    return Sequences(ids, offsets, PackedRows(values, offsets), norms, dims, "raw", names, labels)


def row_config(fusion: Fusion, width: int) -> FusionConfig:
    """The paper's settings of a row, for one epoch."""
    paper = PRESETS["paper"]
    tfam = replace(paper.tfam, fusion=fusion, width=width, feed_forward=4 * width)
    return replace(paper, tfam=tfam, training=replace(paper.training, epochs=1))


class Stopped(Exception):
    """A training has taken all of its steps, or all of its time."""


class Until(Progress):
    """Stops a training at a time, by `time.monotonic`, or after some steps; counts the steps.

    When the second step has ended, everything has been compiled and allocated, and the clock starts.
    """

    def __init__(self, device: torch.device, until: float, steps: int = sys.maxsize) -> None:
        self._device, self._until, self._most = device, until, steps
        self.steps, self.began, self.seconds = 0, 0.0, 0.0

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Count a step."""
        self.steps += n
        if self.steps == 2:
            self.began = clock(self._device)
        if self.steps > 2 and (self.steps == self._most or time.monotonic() > self._until):
            self.stop()
            raise Stopped

    def stop(self) -> None:
        """Stop the clock."""
        self.seconds = clock(self._device) - self.began

    @property
    def a_step(self) -> float:
        """Seconds a step."""
        return self.seconds / (self.steps - 2)


def timed(training: Training, device: torch.device, until: float, steps: int = sys.maxsize) -> Until:
    """Train one epoch, or as much of it as there is time for."""
    progress = Until(device, until, steps)
    try:
        training.run(progress)
        progress.stop()
    except Stopped:
        pass
    return progress


def table2(device: torch.device, clips: int, width: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Seconds an epoch of each row. seconds: for all of them."""
    steps = lengths(clips)
    for fusion in get_args(Fusion):
        config = row_config(fusion, width)
        task = FusionTask(config, made_up(fusion, steps, device), None, device)
        until = time.monotonic() + seconds / len(get_args(Fusion))
        done, whole = timed(Training(task, config.training, device), device, until), len(task.plan(0))
        yield {
            "fusion": fusion,
            "clips": clips,
            "frames": int(steps.sum()),
            "steps": whole,
            "measured_steps": done.steps - 2,
            "epoch_s": done.a_step * whole,
        }


# The motion student.


def made_up_clips(dim: int, clips: int, frames: int) -> MotionClips:
    """Clips of as many frames, of videos of one clip each; smooth random flow, and z_image at random."""
    random = np.random.default_rng(0)
    steps = np.full(clips, frames)
    offsets = np.concatenate([[0], np.cumsum(steps)])
    z = torch.nn.functional.normalize(torch.randn(int(offsets[-1]), dim), dim=-1).half()
    targets = torch.nn.functional.one_hot(torch.arange(clips) % 8, 8).to(torch.uint8)
    names, ids = [str(n) for n in range(8)], [f"{n}.mp4" for n in range(clips)]
    rows, norms = PackedRows([z], offsets), torch.ones(len(z), 1)
    sequences = Sequences(ids, offsets, rows, norms, {"image": dim}, "unit", names, targets)
    coarse = random.integers(1, 256, (32, 2, PLANE // 16, PLANE // 16)).astype(np.uint8)
    kinds = [encode_flow(np.ascontiguousarray(each.repeat(16, 1).repeat(16, 2))) for each in coarse]
    held = pa.array([kinds[n] for n in random.integers(0, len(kinds), len(z))], pa.binary())
    video, first, count = cut_clips(steps, frames)
    flow = FlowRows(None, np.arange(len(z)), [held])  # type: ignore[arg-type]  # all of it is held
    return MotionClips(sequences, flow, video, first, count)


class ReadyTask(MotionTask):
    """The same task, whose first batch lies ready and is every batch."""

    ready: tuple[Shown, NDArray[np.int64]]

    def loss(self, batch: NDArray[np.int64]) -> Tensor:
        """Compute the loss of the batch that lies ready."""
        return self.loss_of(*self.ready)


@dataclass(frozen=True)
class Sizes:
    """How large the student's training is: clips a batch, and frames a clip."""

    batch: int
    frames: int
    device: torch.device

    def config(self, epochs: int = 1) -> MotionConfig:
        """Its settings."""
        return MotionConfig(training=replace(DEFAULT_TRAINING, epochs=epochs, batch_size=self.batch))


STEPS = 12  # of the student, timed at most


def student_steps(model: str, sizes: Sizes, seconds: float) -> dict[str, Any]:
    """Seconds a step, with clips that are read and with ones that lie ready."""
    device, config = sizes.device, sizes.config()
    teacher = load_backbone(ClipConfig(model, "none", precision="fp32"), device)
    clips = made_up_clips(teacher.dim, sizes.batch * (STEPS + 1), sizes.frames)
    found: dict[str, Any] = {"model": model, "clips": sizes.batch, "frames": sizes.batch * sizes.frames}
    for kind in (MotionTask, ReadyTask):
        task = kind(config, teacher, clips)
        if isinstance(task, ReadyTask):
            first = task.plan(0)[0]
            task.ready = task.prepare(first, 0), first
        done = timed(Training(task, config.training, device), device, time.monotonic() + seconds / 2, STEPS)
        task.close()
        found["step_s" if kind is MotionTask else "ready_step_s"] = done.a_step
        found["checkpointing"] = task.checkpointing
    return found | {"busy": min(1.0, found["ready_step_s"] / found["step_s"])}


def resumes(model: str, sizes: Sizes, place: Path) -> bool:
    """Whether a run that is stopped in its second epoch, and continued, ends as an unbroken one, to the bit."""
    device, config = sizes.device, sizes.config(epochs=2)
    teacher = load_backbone(ClipConfig(model, "none", precision="fp32"), device)
    clips = made_up_clips(teacher.dim, 3 * sizes.batch, sizes.frames)
    ends = []
    for name, stops in (("whole", list[int]()), ("broken", [3, 4])):  # within either epoch
        (place / name).mkdir()
        for most in [*stops, sys.maxsize]:
            task = MotionTask(config, teacher, clips)
            training = Training(task, config.training, device, place / name, keep_s=0.0)
            timed(training, device, time.monotonic() + 600, most)
            task.close()
        losses = [record["loss"] for record in training.records]
        ends.append((losses, {key: each.cpu() for key, each in task.model.state_dict().items()}))
    (losses, one), (others, other) = ends
    return losses == others and len(losses) == 2 and all(torch.equal(each, other[key]) for key, each in one.items())


def vectors_of(worker: EmbedWorker, paths: list[Path]) -> dict[tuple[str, int], list[bytes]]:
    """The vectors and norms of every frame of the last of these videos, by feature and number of the decoded frame."""
    found: dict[tuple[str, int], list[bytes]] = {}
    for event in worker.embed(VideoJob(path.name, str(path)) for path in paths):
        if isinstance(event, VideoFailed):
            raise SystemExit(f"{event.video_id} failed: {event.message}")
        if isinstance(event, FrameBatch) and event.video_id == paths[-1].name:
            for name, own in event.features.items():
                for i, frame in enumerate(event.source_frame.tolist()):
                    if own.norm[i]:
                        found[name, frame] = [own.values[i].tobytes(), own.norm[i].tobytes()]
    return found


def same_bits(model: str, flow: str, run: RunConfig, one: Path, other: Path) -> dict[str, list[int]]:
    """Of how many vectors of a video the bits are those of the whole video alone: sampled, and after another video."""
    whole = vectors_of(make_worker(model, flow, run), [one])
    sampled = vectors_of(make_worker(model, flow, run, fps=FPS / 3), [one])
    after = vectors_of(make_worker(model, flow, run), [other, one])
    return {
        "sampled": [sum(whole[key] == own for key, own in sampled.items()), len(sampled)],
        "after_another": [sum(whole[key] == own for key, own in after.items()), len(whole)],
    }


def finite_without_motion(device: torch.device, width: int) -> dict[str, bool]:
    """Whether the gradients of videos without motion are finite, for each row: some of a batch, and all of it."""
    steps, found = np.array([7, 7, 7, 7, 1, 1]), {}
    for fusion in get_args(Fusion):
        config = row_config(fusion, width)
        task = FusionTask(config, made_up(fusion, steps, device, moving=False), None, device)
        good = True
        for batch in (np.arange(4), np.array([0, 2])):
            for bf16 in (False, True):
                task.model.zero_grad()
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    loss = task.loss(batch)
                loss.backward()  # type: ignore[no-untyped-call]
                gradients = [each.grad for each in task.model.parameters() if each.grad is not None]
                good &= bool(torch.stack([each.isfinite().all() for each in (loss, *gradients)]).all())
        found[str(fusion)] = good
    return found


PARTS = {"ingest": 0.4, "table2": 0.35, "motion": 0.25}
"""Their shares of the budget."""


def main() -> None:
    """Measure what was asked for, print it as it comes, and all of it as JSON at the end."""
    flows = tuple(ESTIMATORS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=450.0, help="seconds, models and clips included")
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--models", nargs="+", default=["ViT-B-16", "ViT-L-14"])
    parser.add_argument("--flow", nargs="+", choices=flows, default=["raft-large"])
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--frames", type=int, default=128, help="a video; at least 2")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--clips", type=int, default=24_004, help="of table2")
    parser.add_argument("--width", type=int, default=512, help="of table2's models")
    parser.add_argument("--student", default="ViT-B-16")
    parser.add_argument("--segments", type=int, default=32, help="clips a step of the student")
    parser.add_argument("--segment", type=int, default=30, help="frames a clip")
    asked = parser.parse_args()
    began = time.monotonic()
    width, height = (int(side) for side in asked.size.split("x"))
    run = RunConfig(device=asked.device)
    device = pick_device(run.device)
    print(describe_machine())
    print(f"$ python -m benchmarks.speed.gpu {' '.join(sys.argv[1:])}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"{device}: {name}; torch {torch.__version__}; {asked.videos} videos of {asked.frames} frames", flush=True)
    results: dict[str, Any] = {"device": str(device), "name": name, "torch": torch.__version__}

    def ends(part: str) -> float:
        """When, by `time.monotonic`, a part is to end; the parts come in the order of PARTS."""
        left = [each for each in PARTS if each in asked.parts]
        shares = [PARTS[each] for each in left]
        return began + float(asked.budget) * sum(shares[: left.index(part) + 1]) / sum(shares)

    with tempfile.TemporaryDirectory() as place:
        lengths_of = {Path(place, "warm-up.mp4"): WARM_UP}
        lengths_of |= {Path(place, f"{n:03d}.mp4"): asked.frames for n in range(asked.videos)}
        for n, (path, frames) in enumerate(lengths_of.items()):
            behaviour = BEHAVIOURS[n % len(BEHAVIOURS)]
            write_clip(path, render(behaviour, n, frames, (width, height), FPS), FPS)
        warm_up, *paths = lengths_of
        if "ingest" in asked.parts:
            results["ingest"] = []
            pairs = list(itertools.product(asked.models, asked.flow))
            for n, (model, flow) in enumerate(pairs, 1):
                few = min(BY_HAND, asked.frames - 1)
                until = began + (ends("ingest") - began) * n / len(pairs)
                results["ingest"].append(measure(model, flow, run, warm_up, paths, asked.turns, few, until))
                print(in_words(results["ingest"][-1]), flush=True)
        if "table2" in asked.parts:
            results["table2"] = []
            for row in table2(device, asked.clips, asked.width, max(1.0, ends("table2") - time.monotonic())):
                results["table2"].append(row)
                of = f"{row['measured_steps']} of {row['steps']} steps"
                print(f"Table 2, {row['fusion']}: {row['epoch_s']:.1f} s an epoch, from {of}", flush=True)
        if "motion" in asked.parts:
            sizes = Sizes(asked.segments, asked.segment, device)
            steps = student_steps(asked.student, sizes, max(1.0, (ends("motion") - time.monotonic()) / 2))
            print(
                f"train-motion, {asked.student}, {steps['frames']} frames a step: {steps['step_s']:.3f} s, "
                f"{steps['ready_step_s']:.3f} s of clips that lie ready: the device computes {steps['busy']:.0%}",
                flush=True,
            )
            small = Sizes(2, min(8, asked.segment), device)
            results["motion"] = steps | {"resumes": resumes(asked.student, small, Path(place))}
            print(f"stopped and continued, to the bit: {_yes(results['motion']['resumes'])}", flush=True)
            results["motion"] |= same_bits(asked.student, asked.flow[0], run, paths[0], warm_up)
            for key, said in (("sampled", "sampled"), ("after_another", "after another video")):
                same, count = results["motion"][key]
                print(f"vectors {said}, to the bit: {same} of {count}", flush=True)
            results["motion"]["finite"] = finite_without_motion(device, min(asked.width, 128))
            print(f"gradients without motion are finite: {_yes(all(results['motion']['finite'].values()))}")
    results["seconds"] = time.monotonic() - began
    print(f"{results['seconds']:.0f} s in all, of {asked.budget:.0f}")
    print(json.dumps(results))


def _yes(good: bool) -> str:
    return "yes" if good else "NO"


if __name__ == "__main__":
    main()
