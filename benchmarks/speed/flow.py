"""What optical flow costs and how far it is from the truth.

    python -m benchmarks.speed.flow speed [--size 224x224] [--pairs 4] [--turns 5] [--threads 0] [--batch 0]
        [--device auto]
    python -m benchmarks.speed.flow truth [--estimators dis ...] [--weights WEIGHTS] [--size 640x360] [--turns 5]

speed: torchvision's RAFT pair by pair in fp32, over ours in fp32 and in the precision that `auto` means here, on the
same run of frames; the contenders take turns. Medians of the turns, of processor time too: on a machine that other work
shares, that is what the arithmetic took. Then how far the last flows are from torchvision's, as mean end-point
difference in pixels. Weights are seeded random ones, which cost the same; trained ones would differ by something else.

truth: mean end-point error in pixels of flow on rendered motion that is known exactly: a texture that is moved, turned
or zoomed, sampled anew for each frame. Then the time of a pair. A margin of 32 px, whose texture may leave the frame,
is left out.
"""

import argparse
import itertools
import statistics
import sys
import time
import typing
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.optical_flow import raft_large, raft_small

from benchmarks.common import describe_machine
from benchmarks.speed.baseline import clock
from vimoclip.config.store import ESTIMATORS, FlowConfig, RunConfig
from vimoclip.device import SEED, Resolved, pick_device, pick_precision, set_threads
from vimoclip.flow import make_estimator, resolve
from vimoclip.flow.estimator import FlowEstimator
from vimoclip.flow.raft import RaftFrame
from vimoclip.flow.raft_weights import RaftName

MARGIN = 32
Map = NDArray[np.float64]  # (2, 3), a frame's pixels (x, y, 1) to the next frame's

NETWORKS: dict[RaftName, Callable[[], torch.nn.Module]] = {"raft-large": raft_large, "raft-small": raft_small}


@dataclass(frozen=True)
class Motion:
    """A motion of the whole picture, by name."""

    name: str
    map: Map


def motions(size: tuple[int, int]) -> list[Motion]:
    """Translations, rotations and zooms, of animals' and of cameras' size. size: width, height."""
    centre = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])

    def about(matrix: NDArray[np.float64]) -> Map:
        return np.hstack([matrix, (centre - matrix @ centre)[:, None]])

    def turned(degrees: float) -> Map:
        angle = np.deg2rad(degrees)
        return about(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))

    moved = [(0.5, 0.25), (3.3, -1.7), (12.4, 5.1)]
    found = [Motion(f"moved by ({x}, {y}) px", np.array([[1, 0, x], [0, 1, y]])) for x, y in moved]
    found += [Motion(f"turned by {degrees}°", turned(degrees)) for degrees in (0.5, 2.0)]
    return found + [Motion(f"zoomed by {scale}", about(np.eye(2) * scale)) for scale in (1.01, 1.04, 0.97)]


def truth(motion: Motion, size: tuple[int, int]) -> NDArray[np.float64]:
    """The flow itself, (h, w, 2), in pixels."""
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64))
    return np.stack([x, y, np.ones_like(x)], -1) @ motion.map.T - np.stack([x, y], -1)


def frames(motion: Motion, size: tuple[int, int], seed: int) -> list[NDArray[np.uint8]]:
    """The two frames, of texture in several sizes; both sampled from one finer picture, so that neither is sharper."""
    fine = 4
    margin = 48
    width, height = ((side + 2 * margin) * fine for side in size)
    rng, picture = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for blur in (2.0, 6.0, 20.0):
        small = rng.standard_normal((int(height / blur / 2), int(width / blur / 2), 3), np.float32)
        picture += blur**0.5 * np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
    picture = np.clip(128 + 40 * picture / picture.std(), 0, 255)
    inverse = np.linalg.inv(np.vstack([motion.map, [0, 0, 1]]))
    made = []
    for where in (np.eye(3), inverse):
        # Pixel (x, y) of the frame, as averages of fine × fine samples, is the texture at where · (x, y, 1).
        to_frame = np.array([[1 / fine, 0, (1 / fine - 1) / 2], [0, 1 / fine, (1 / fine - 1) / 2], [0, 0, 1]])
        to_picture = np.array([[fine, 0, margin * fine + (fine - 1) / 2], [0, fine, margin * fine + (fine - 1) / 2]])
        large = (size[0] * fine, size[1] * fine)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        sampled = cv2.warpAffine(picture, to_picture @ where @ to_frame, large, flags=flags)
        made.append(np.rint(cv2.resize(sampled, size, interpolation=cv2.INTER_AREA)).astype(np.uint8))
    return made


def measure_truth(asked: argparse.Namespace) -> None:
    """Print the end-point error of each motion, and the cost of a pair."""
    width, height = size = typing.cast(tuple[int, int], tuple(int(side) for side in asked.size.split("x")))
    device = pick_device(asked.device)
    for name in asked.estimators:
        config = resolve(FlowConfig(name, weights=asked.weights if name.startswith("raft-") else None), device)
        estimator = make_estimator(config, device, pick_precision("auto", device))
        spent: list[float] = []
        for motion in motions(size):
            errors = []
            for seed in range(asked.turns):
                first, second = (estimator.prepare(frame) for frame in frames(motion, size, seed))
                began = clock(device)
                flow = estimator.flow(first, second)
                spent.append(clock(device) - began)
                assert flow.shape == (height, width, 2)
                apart = np.linalg.norm(flow - truth(motion, size), axis=-1)
                errors.append(float(apart[MARGIN:-MARGIN, MARGIN:-MARGIN].mean()))
            far = float(np.linalg.norm(truth(motion, size), axis=-1)[MARGIN:-MARGIN, MARGIN:-MARGIN].mean())
            print(
                f"{name}, {motion.name} (mean {far:.2f} px): end-point error {statistics.mean(errors):.3f} px",
                flush=True,
            )
        print(f"{name}, {asked.size}: {1000 * statistics.median(spent):.1f} ms a pair", flush=True)


def measure_speed(asked: argparse.Namespace) -> None:
    """Print, for each network, the rates and the differences."""
    size = typing.cast(tuple[int, int], tuple(int(side) for side in asked.size.split("x")))
    device = pick_device(asked.device)
    step = Motion("", np.array([[1, 0, 3.3], [0, 1, -1.7]]))
    run = []
    for n in range(asked.pairs + 1):
        moved = Motion("", np.hstack([np.eye(2), step.map[:, 2:] * n]))
        run.append(frames(moved, size, 0)[1])
    for name in NETWORKS:
        _compare(name, run, device, asked)


def _compare(name: RaftName, run: list[NDArray[np.uint8]], device: torch.device, asked: argparse.Namespace) -> None:
    low = pick_precision("auto", device)
    config = resolve(FlowConfig(name, weights="none", batch_size=asked.batch), device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = NETWORKS[name]().requires_grad_(False).eval().to(device)
    images = (
        torch.from_numpy(np.stack(run)).permute(0, 3, 1, 2).contiguous().float().div(255).sub(0.5).div(0.5).to(device)
    )

    @torch.inference_mode()
    def pair_by_pair() -> list[NDArray[np.float32]]:
        last = [network(images[n : n + 1], images[n + 1 : n + 2])[-1] for n in range(asked.pairs)]
        return [flow[0].permute(1, 2, 0).cpu().numpy() for flow in last]

    contenders: dict[str, Callable[[], list[NDArray[np.float32]]]] = {"torchvision, pair by pair, fp32": pair_by_pair}
    precisions: list[Resolved] = ["fp32"] if low == "fp32" else ["fp32", low]
    for precision in precisions:
        estimator = make_estimator(config, device, precision)
        contenders[f"ours, {precision}"] = lambda estimator=estimator: _in_batches(estimator, run)  # type: ignore[misc]
    walls: dict[str, list[float]] = {what: [] for what in contenders}
    costs: dict[str, list[float]] = {what: [] for what in contenders}
    flows: dict[str, NDArray[np.float32]] = {}
    for turn in range(1 + asked.turns):
        for what, compute in contenders.items():
            began, cost = clock(device), time.process_time()
            flows[what] = np.stack(compute())
            if turn:  # the first is to warm up
                walls[what].append(clock(device) - began)
                costs[what].append(time.process_time() - cost)
    reference, *_ = contenders
    far = np.linalg.norm(flows[reference], axis=-1).mean()
    for what in contenders:
        wall, cost = statistics.median(walls[what]), statistics.median(costs[what])
        times = [statistics.median(times[reference]) / median for times, median in ((walls, wall), (costs, cost))]
        apart = np.linalg.norm(flows[what] - flows[reference], axis=-1).mean()
        print(
            f"{name}, {asked.size}, {config.updates} updates, batches of {config.batch_size}; {what}: "
            f"{wall / asked.pairs:.3f} s a pair, {times[0]:.2f}× (processor time {times[1]:.2f}×); "
            f"end-point difference {apart:.2g} px of {far:.2f}",
            flush=True,
        )


def _in_batches(estimator: FlowEstimator[RaftFrame], run: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    prepared = [estimator.prepare(frame) for frame in run]
    pairs = list(itertools.pairwise(prepared))
    flows = []
    for start in range(0, len(pairs), estimator.batch_size):
        batch = pairs[start : start + estimator.batch_size]
        flows += estimator.flows(batch + batch[-1:] * (estimator.batch_size - len(batch)))[: len(batch)]
    return flows


def main() -> None:
    """Measure what was asked for, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    speed, true = commands.add_parser("speed"), commands.add_parser("truth")
    for command, size in ((speed, "224x224"), (true, "640x360")):
        command.add_argument("--size", default=size, help="sides that are multiples of 8")
        command.add_argument("--turns", type=int, default=5)
        command.add_argument("--threads", type=int, default=0, help="0 is one a core")
        command.add_argument("--device", default="auto")
    speed.add_argument("--pairs", type=int, default=4)
    speed.add_argument("--batch", type=int, default=0, help="pairs at once; 0 chooses for the device")
    true.add_argument("--estimators", nargs="+", choices=list(ESTIMATORS), default=["dis"])
    true.add_argument("--weights", help="of RAFT", default="default")
    asked = parser.parse_args()
    set_threads(RunConfig(threads=asked.threads))
    print(describe_machine())
    print(f"$ python -m benchmarks.speed.flow {' '.join(sys.argv[1:])}", flush=True)
    measure_speed(asked) if asked.command == "speed" else measure_truth(asked)


if __name__ == "__main__":
    main()
