"""RAFT (Teed & Deng 2020) on torchvision's modules, for runs of frames rather than for pairs.

    frame t-1 ─ feature encoder ─┐
    frame t   ─ feature encoder ─┴▶ all-pairs correlation (3.2) ─▶ updates (3.3) ─▶ upsampling, once ─▶ flow
    frame t-1 ─ context encoder ──────────────────────────────────────┘

A frame is both the second of one pair and the first of the next: its features are kept on it, and computed once. The
flow is brought to full size after the last update alone; torchvision's forward, made for training, does so after each.
In fp32 the flow is the last one of torchvision's forward, to the bit but for one thing: that one encodes both frames of
its pairs in one batch, and a convolution's last bits may depend on how many frames it is given.

In bf16 or fp16 both encoders, the updates and the mask are computed in it; features are correlated, and coordinates
kept, in fp32, as the original's mixed precision does: bf16 has no fractions from 128 on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torchvision.models.optical_flow._utils import make_coords_grid, upsample_flow

from vimoclip.config.store import FlowConfig
from vimoclip.device import DTYPES, Resolved, room_for, sha256
from vimoclip.flow import FlowEstimator, working_size
from vimoclip.flow.raft_correlation import Correlation
from vimoclip.flow.raft_updates import Updates
from vimoclip.flow.raft_weights import RaftName, load

MIN_SIDE = 128
"""Pixels. On less the correlation pyramid has no fourth level."""

MAX_LONG_SIDE = 512
"""Pixels. A frame is scaled up for its short side's sake to no more than this: a very flat one is padded instead."""

STRIDE = 8
"""Pixels of the frame per side of a feature."""


@dataclass(eq=False)
class RaftFrame:
    """A prepared frame. pixels: uint8 (H, W, 3), sides padded to multiples of 8. inside: rows and columns that the
    frame takes of it. features: fp32 (C, H / 8, W / 8) on the device, once they are needed."""

    pixels: NDArray[np.uint8]
    inside: tuple[slice, slice]
    features: torch.Tensor | None = None


class Raft(FlowEstimator[RaftFrame]):
    """RAFT on a device. See `FlowEstimator` for its methods.

    A prepared frame is `working_size` large, or larger where that is too small for RAFT (see the two limits); flow is
    in pixels of that grid, without its padding. How many pairs are given at once may change the last bits of a flow;
    which the others are does not.
    """

    def __init__(self, config: FlowConfig, device: torch.device, precision: Resolved) -> None:
        """config: resolved, see `vimoclip.flow.resolve`.

        Raises:
            ModelError: the weights cannot be had; no memory for them on the device.
        """
        assert config.estimator in ("raft-large", "raft-small")
        assert config.weights is not None and config.updates is not None and config.batch_size is not None
        name: RaftName = config.estimator
        network = load(name, config.weights)
        digest = sha256({"network": name}, network)
        training = "random" if config.weights == "none" else "pretrained"
        self.made_of = {"weights_sha256": digest, "training": training}
        self.batch_size = config.batch_size
        self._max_width, self._passes = config.max_width, config.updates
        self._device, self._dtype = device, DTYPES[precision]
        with room_for(name, device):
            self._network = network.to(device, self._dtype)
            self._network.context_encoder.to(memory_format=torch.channels_last)
            self._updates = Updates(network.update_block, network.context_encoder.conv.out_channels)

    def prepare(self, frame: NDArray[np.uint8]) -> RaftFrame:
        """See `FlowEstimator.prepare`."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
            raise ValueError(f"a frame is uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
        height, width, _ = frame.shape
        size = _large_enough(*working_size(width, height, self._max_width))
        if size != (width, height):
            shrinks = size[0] < width
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
        left, right = _margins(size[0])
        top, bottom = _margins(size[1])
        # Edges are repeated outwards, as the original does: a black border would have motion of its own.
        pixels = cv2.copyMakeBorder(frame, top, bottom, left, right, cv2.BORDER_REPLICATE)
        return RaftFrame(np.asarray(pixels, np.uint8), (slice(top, top + size[1]), slice(left, left + size[0])))

    def flow(self, previous: RaftFrame, current: RaftFrame) -> NDArray[np.float32]:
        """See `FlowEstimator.flow`."""
        return self.flows([(previous, current)])[0]

    @torch.inference_mode()
    def flows(self, pairs: Sequence[tuple[RaftFrame, RaftFrame]]) -> list[NDArray[np.float32]]:
        """See `FlowEstimator.flows`."""
        first = pairs[0][0]
        for frame in (frame for pair in pairs for frame in pair):
            if (frame.pixels.shape, frame.inside) != (first.pixels.shape, first.inside):
                raise ValueError(f"two frames of one size, not {first.pixels.shape} and {frame.pixels.shape}")
        self._encode([frame for pair in pairs for frame in pair], len(pairs))
        before, after = zip(*pairs, strict=True)
        flow = self._last_flow(self._images(before), _features(before), _features(after))
        whole = flow.permute(0, 2, 3, 1).cpu().numpy()
        return [np.ascontiguousarray(each[first.inside]) for each in whole]

    def _encode(self, frames: list[RaftFrame], size: int) -> None:
        """Give features to the frames that have none, `size` at a time: always the same shape, so the same bits."""
        new = list(dict.fromkeys(frame for frame in frames if frame.features is None))
        for start in range(0, len(new), size):
            batch = new[start : start + size]
            padded = batch + batch[-1:] * (size - len(batch))
            encoded = self._network.feature_encoder(self._images(padded))
            for frame, features in zip(batch, encoded, strict=False):
                frame.features = features.float().clone()  # a view would keep the whole batch alive

    def _images(self, frames: Sequence[RaftFrame]) -> torch.Tensor:
        # To [-1, 1] in fp32, operation by operation as torchvision's preset does it.
        pixels = torch.from_numpy(np.stack([frame.pixels for frame in frames])).to(self._device)
        return ((pixels.permute(0, 3, 1, 2).contiguous().float() / 255 - 0.5) / 0.5).to(self._dtype)

    def _last_flow(self, images: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        # images: (N, 3, H, W), each pair's first; before, after: its two features; to fp32 (N, 2, H, W).
        network, levels = self._network, self._network.corr_block
        correlation = Correlation(before, after, levels.num_levels, levels.radius)
        hidden, context = network.context_encoder(images).tensor_split([self._updates.hidden], 1)
        hidden, fixed = torch.tanh(hidden), self._updates.fixed(F.relu(context))
        start = make_coords_grid(len(images), *before.shape[-2:], device=str(self._device))
        flow = torch.zeros_like(start)
        for _ in range(self._passes):
            found = correlation.around(start + flow).to(self._dtype)
            hidden, step = self._updates.step(hidden, fixed, found, flow.to(self._dtype))
            flow = flow + step
        mask = None if network.mask_predictor is None else network.mask_predictor(hidden).float()
        whole: torch.Tensor = upsample_flow(flow, mask, STRIDE)
        return whole


def _features(frames: Sequence[RaftFrame]) -> torch.Tensor:
    return torch.stack([frame.features for frame in frames if frame.features is not None])


def _large_enough(width: int, height: int) -> tuple[int, int]:
    scale = min(MIN_SIDE / min(width, height), max(1, MAX_LONG_SIDE / max(width, height)))
    return (width, height) if scale <= 1 else (round(width * scale), round(height * scale))


def _margins(side: int) -> tuple[int, int]:
    """Pixels before and after, to the next multiple of 8."""
    missing = max(MIN_SIDE, -(-side // STRIDE) * STRIDE) - side
    return missing // 2, missing - missing // 2
