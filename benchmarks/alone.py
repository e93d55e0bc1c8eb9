"""The arithmetic that no pipeline can avoid: optical flow, teacher and student, and nothing around them."""

import time
from pathlib import Path

import numpy as np
import torch

from vimoclip.chunks import FrameChunk
from vimoclip.config import Sampling
from vimoclip.flow import make_estimator
from vimoclip.flow.encoding import PLANE, REST, encode, to_planes
from vimoclip.flow.encoding import decode as decode_flow
from vimoclip.video import decode
from vimoclip.worker import EmbedWorker


def clock(device: torch.device) -> float:
    """Seconds, when `device` has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def alone(worker: EmbedWorker, path: Path) -> float:
    """Seconds of flow, teacher and student alone on one video's frames, in the store's batches, the last one padded.

    Decoding, resizing, preparing frames for flow and the flow codec are not timed.
    """
    teacher, student, size = worker.teacher, worker.student, worker.config.clip.batch_size
    spent, previous, previous_s = 0.0, None, 0.0
    images: list[torch.Tensor] = []
    planes: list[np.ndarray] = []
    estimator = make_estimator(worker.config.flow)

    def forward() -> float:
        batch = torch.stack(images + [images[0]] * (size - len(images)))
        motion = np.stack(planes + [planes[0]] * (size - len(planes)))
        began = clock(worker.device)
        teacher(batch)
        student(motion)
        images.clear()
        planes.clear()
        return clock(worker.device) - began

    for event in decode(path, Sampling()):
        if not isinstance(event, FrameChunk):
            continue
        for frame, image, time_s in zip(event.frames, teacher.resize(event.frames, 1.0), event.time_s, strict=True):
            current = estimator.prepare(frame)
            if previous is None:
                planes.append(np.full((2, PLANE, PLANE), REST, np.uint8))
            else:
                began = clock(worker.device)
                flow = estimator.flow(previous, current)
                spent += clock(worker.device) - began
                planes.append(decode_flow(encode(to_planes(flow, time_s - previous_s, "squash"))))
            images.append(image)
            previous, previous_s = current, time_s
            if len(images) == size:
                spent += forward()
    return spent + (forward() if images else 0.0)
