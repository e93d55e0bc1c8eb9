"""The arithmetic that no pipeline can avoid: optical flow, teacher and student, and nothing around them."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vimoclip.config.store import ESTIMATORS, Sampling
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.flow.encoding import PLANE, REST, decode_flow, encode_flow, to_planes
from vimoclip.video.decode import FrameChunk, decode


def clock(device: torch.device) -> float:
    """Seconds, when `device` has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def random_flow(estimator: str) -> dict[str, object]:
    """Settings of an estimator; of a network with seeded random weights, which cost the same."""
    return {"estimator": estimator, **({"weights": "none"} if ESTIMATORS[estimator].is_network else {})}


def compute_baseline(worker: EmbedWorker, path: Path) -> float:
    """Seconds of flow, teacher and student alone on one video's frames, in the store's batches, the last ones padded.

    Decoding, resizing, preparing frames for flow and the flow codec are not timed.
    """
    teacher, motion, size = worker.models.towers["clip"], worker.models.motion, worker.config.clip.batch_size
    assert motion is not None
    student, estimator = motion.students["moclip"], motion.estimator
    spent, previous, previous_s = 0.0, None, 0.0
    images: list[torch.Tensor] = []
    planes = [np.full((2, PLANE, PLANE), REST, np.uint8)]  # of the first frame, which has no motion
    steps: list[tuple[tuple[Any, Any], float]] = []

    def flow() -> float:
        pairs = [pair for pair, _ in steps]
        pairs += pairs[-1:] * (estimator.batch_size - len(pairs))
        began = clock(worker.device)
        flows = estimator.flows(pairs)
        seconds = clock(worker.device) - began
        for each, (_, dt_s) in zip(flows, steps, strict=False):
            planes.append(decode_flow(encode_flow(to_planes(each, dt_s, "squash"))))
        steps.clear()
        return seconds

    def forward() -> float:
        batch = torch.stack(images[:size] + [images[0]] * (size - len(images)))
        shown = np.stack(planes[:size] + [planes[0]] * (size - len(planes)))
        began = clock(worker.device)
        teacher(batch)
        student(shown)
        seconds = clock(worker.device) - began
        del images[:size], planes[:size]
        return seconds

    for event in decode(path, Sampling()):
        if not isinstance(event, FrameChunk):
            continue
        for frame, image, time_s in zip(event.frames, teacher.resize(event.frames, 1.0), event.time_s, strict=True):
            current = estimator.prepare(frame)
            images.append(image)
            if previous is not None:
                steps.append(((previous, current), time_s - previous_s))
            previous, previous_s = current, time_s
            spent += flow() if len(steps) == estimator.batch_size else 0.0
            spent += forward() if min(len(images), len(planes)) >= size else 0.0
    spent += flow() if steps else 0.0
    while images:
        spent += forward()
    return spent
