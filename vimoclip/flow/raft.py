"""RAFT (Teed & Deng 2020) on torchvision's modules, for runs of frames rather than for pairs.

    frame t-1 ─ feature encoder ─┐
    frame t   ─ feature encoder ─┴▶ all-pairs correlation (3.2) ─▶ updates (3.3) ─▶ upsampling, once ─▶ flow
    frame t-1 ─ context encoder ──────────────────────────────────────┘

`Correlation` and `Updates` are the parts with these section numbers, and `Raft` is the estimator.

A frame is the second of one pair and the first of the next: its features are computed once and kept on it. The flow is
brought to full size only after the last update; torchvision's forward, made for training, does so after each. In fp32
the flow is the last one of torchvision's forward, to the bit, with one exception: torchvision encodes both frames of
its pairs in one batch, and a convolution's last bits may depend on how many frames it is given.

In bf16 or fp16 both encoders, the updates and the mask are computed in that precision. Features are correlated, and
coordinates kept, in fp32, as in the original's mixed precision: bf16 does not have fractions from 128 on.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torchvision.models.optical_flow._utils import make_coords_grid, upsample_flow
from torchvision.models.optical_flow.raft import ConvGRU, UpdateBlock

from vimoclip.config.store import FlowConfig
from vimoclip.device import DTYPES, Resolved, on_device, sha256
from vimoclip.flow.estimator import FlowEstimator, working_size
from vimoclip.flow.raft_weights import load, raft_name, resolve_raft_weights


class Correlation:
    """The correlation of all pairs of pixels of two frames' features (Teed & Deng 2020, section 3.2), as a pyramid.

    It lies in one buffer, with a row per pixel of the first frames that holds column after column of every level.
    Before each column stand as many zeros as a lookup is high: outside of the picture nothing correlates.

    torchvision samples each of the (2r + 1)² places around a pixel by itself. All of them have the same fractions of a
    pixel, so (2r + 2)² whole pixels are copied here, by columns, and interpolated once in x and once in y. The result
    is torchvision's to within rounding of fp32; its places go through [-1, 1] and back, and ours do not.
    """

    def __init__(self, before: torch.Tensor, after: torch.Tensor, levels: int, radius: int) -> None:
        """Correlate the features of some pairs.

        Args:
            before: fp32 (N, C, h, w), features of each pair's first frame.
            after: fp32 (N, C, h, w), features of its second frame.
            levels: levels of the pyramid.
            radius: r, pixels of a level around a place that a lookup reads.
        """
        pairs, channels, height, width = before.shape
        device, pixels = before.device, height * width
        self._shape, self._radius, self._side = (pairs, height, width), radius, 2 * radius + 2
        volume = torch.bmm(before.flatten(2).mT / math.sqrt(channels), after.mT.flatten(2))
        level = volume.view(pairs, pixels, width, height)
        rows: list[torch.Tensor] = []
        begins, sizes, begin = [], [], 0
        for _ in range(levels):
            rows.append(F.pad(level, (self._side, 0)).flatten(2))
            begins.append(begin + self._side)
            sizes.append(level.shape[2:])
            begin += rows[-1].shape[2]
            level = F.avg_pool2d(level, 2)
        buffer = torch.cat([*rows, volume.new_zeros(pairs, pixels, self._side)], 2)
        self._runs = buffer.view(-1).unfold(0, self._side, 1)
        self._width, self._height = torch.tensor(sizes, device=device).unbind(1)
        first = torch.arange(pairs * pixels, device=device) * buffer.shape[2]
        self._begin = first[:, None] + torch.tensor(begins, device=device)  # of each level's first column
        self._scale = 0.5 ** torch.arange(levels, device=device)
        self._steps = torch.arange(self._side, device=device)

    def around(self, places: torch.Tensor) -> torch.Tensor:
        """What each pixel of the first frame finds around its place in the second one.

        Args:
            places: fp32 (N, 2, h, w), x and y in pixels of the features.

        Returns:
            fp32 (N, levels · (2r + 1)², h, w), channels last: by level, then by x, then by y.
        """
        side = self._side
        places = places.permute(0, 2, 3, 1).reshape(-1, 2, 1) * self._scale
        whole = places.floor()
        right, down = (places - whole).unbind(1)
        # Clamped as integers: a NaN place becomes some integer, and its fraction makes the result NaN.
        left, top = (whole.long() - self._radius).unbind(1)
        top = torch.minimum(top.clamp(min=-side), self._height)
        columns = left[..., None] + self._steps
        starts = (self._begin + top)[..., None] + columns * (self._height + side)[:, None]
        inside = (columns >= 0) & (columns < self._width[:, None])
        starts = torch.where(inside, starts, 0)  # where a run of zeros begins
        window = self._runs.index_select(0, starts.flatten()).view(-1, side * side)
        between = torch.lerp(window[:, :-side], window[:, side:], right.reshape(-1, 1)).view(-1, side - 1, side)
        found = torch.lerp(between[..., :-1], between[..., 1:], down.reshape(-1, 1, 1))
        pairs, height, width = self._shape
        return found.view(pairs, height, width, -1).permute(0, 3, 1, 2)


class Updates:
    """The update block of a network (Teed & Deng 2020, section 3.3), on the weights of torchvision's modules.

    A gate of the recurrent unit is a convolution of hidden state, context and motion together, and so the sum of one of
    each. The context is the same in every update: its part, a third of raft-large's gates, is computed once. Two of the
    three gates have the same input, and are one convolution. Everything is laid out channels last, which convolutions
    on a CPU take as it is. Sums are taken in another order than torchvision's, so its values are met to within
    rounding.

    Attributes:
        hidden: channels of the hidden state.
    """

    def __init__(self, block: UpdateBlock, encoded: int) -> None:
        """Arrange the weights of an update block.

        Args:
            block: on its device and in its dtype.
            encoded: channels of the context encoder: hidden state and context.
        """
        self._motion, self._head = block.motion_encoder, block.flow_head
        for part in (self._motion, self._head):
            part.to(memory_format=torch.channels_last)
        self.hidden: int = block.hidden_state_size
        unit = block.recurrent_block
        self._gates = [
            _Gates(each, encoded - self.hidden) for each in (unit.convgru1, unit.convgru2) if isinstance(each, ConvGRU)
        ]

    def fixed(self, context: torch.Tensor) -> list[torch.Tensor]:
        """What the context (N, C, h, w) adds to each gate, in every update."""
        return [gates.fixed(context) for gates in self._gates]

    def step(
        self, hidden: torch.Tensor, fixed: list[torch.Tensor], found: torch.Tensor, flow: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One update.

        Args:
            hidden: hidden state, (N, C, h, w).
            fixed: what `fixed` returned.
            found: correlation around the places that the flow leads to, as from `Correlation.around`.
            flow: (N, 2, h, w), pixels of the features.

        Returns:
            The next hidden state, and what to add to the flow.
        """
        seen = torch.cat([hidden, self._motion(flow, found)], 1)
        for gates, own in zip(self._gates, fixed, strict=True):
            hidden = gates(hidden, seen, own)
        return hidden, self._head(hidden)


class _Gates:
    """One gated recurrent unit: z how much is new, r how much of the old the new is made from, q the new."""

    def __init__(self, unit: ConvGRU, context: int) -> None:
        self._hidden, self._padding = unit.convz.out_channels, unit.convz.padding
        weight = torch.cat([unit.convz.weight, unit.convr.weight, unit.convq.weight])
        of_hidden, self._of_context, of_motion = weight.tensor_split([self._hidden, self._hidden + context], 1)
        self._bias = torch.cat([unit.convz.bias, unit.convr.bias, unit.convq.bias])
        seen = torch.cat([of_hidden, of_motion], 1).contiguous(memory_format=torch.channels_last)
        self._z_and_r, self._q = seen.tensor_split([2 * self._hidden])

    def fixed(self, context: torch.Tensor) -> torch.Tensor:
        return F.conv2d(context, self._of_context, self._bias, padding=self._padding)

    def __call__(self, hidden: torch.Tensor, seen: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        # seen: channels for the hidden state, which is written into it, and then the motion.
        kept, width = seen[:, : self._hidden], 2 * self._hidden
        kept.copy_(hidden)
        z, r = torch.sigmoid_(F.conv2d(seen, self._z_and_r, padding=self._padding).add_(fixed[:, :width])).chunk(2, 1)
        kept.mul_(r)
        q = torch.tanh_(F.conv2d(seen, self._q, padding=self._padding).add_(fixed[:, width:]))
        return torch.lerp(hidden, q, z)


MIN_SIDE = 128
"""Pixels. On less the correlation pyramid has no fourth level."""

MAX_LONG_SIDE = 512
"""Pixels. A frame with a short side under MIN_SIDE is scaled up to at most this; a very flat one is padded instead."""

STRIDE = 8
"""Pixels of the frame per side of a feature."""


@dataclass(eq=False)
class RaftFrame:
    """A prepared frame.

    Attributes:
        pixels: uint8 (H, W, 3), with sides padded to multiples of 8.
        inside: the rows and columns of `pixels` that the frame takes.
        features: fp32 (C, H / 8, W / 8) on the device; None until they are needed.
    """

    pixels: NDArray[np.uint8]
    inside: tuple[slice, slice]
    features: torch.Tensor | None = None


class Raft(FlowEstimator[RaftFrame]):
    """RAFT on a device. See `FlowEstimator` for its methods.

    A prepared frame is `working_size` large, or larger where that is too small for RAFT (MIN_SIDE and MAX_LONG_SIDE);
    flow is in pixels of that grid, without its padding. The number of pairs given at once may change the last bits of a
    flow; the other pairs themselves do not.
    """

    def __init__(self, config: FlowConfig, device: torch.device, precision: Resolved) -> None:
        """Load the network.

        Args:
            config: settings that `vimoclip.flow.resolve` returned.
            device: where it runs.
            precision: of encoders, updates and mask.

        Raises:
            ModelError: the weights cannot be had, or the device does not have enough memory for them.
        """
        assert config.weights is not None and config.updates is not None and config.batch_size is not None
        name = raft_name(config.estimator)
        network = load(name, config.weights)
        digest = sha256({"network": name}, network)
        training = "random" if config.weights == "none" else "pretrained"
        self.made_of = {"weights_sha256": digest, "training": training}
        self.batch_size = config.batch_size
        self._max_width, self._passes = config.max_width, config.updates
        self._device, self._dtype = device, DTYPES[precision]
        with on_device(name, device):
            self._network = network.to(device, self._dtype)
            self._network.context_encoder.to(memory_format=torch.channels_last)
            self._updates = Updates(network.update_block, network.context_encoder.conv.out_channels)

    @staticmethod
    def resolve(config: FlowConfig, device: torch.device) -> FlowConfig:
        """Decide weights, updates and batch size for this device.

        Raises:
            ModelError: there are no such weights.
        """
        return dataclasses.replace(
            config,
            weights=resolve_raft_weights(raft_name(config.estimator), config.weights),
            updates=config.updates or 12,
            # On a CPU two at once save a tenth, and more do not save more; on a GPU one pair of small frames leaves
            # most of it idle.
            batch_size=config.batch_size or (2 if device.type == "cpu" else 8),
        )

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
        # images: (N, 3, H, W), each pair's first frame; before, after: features of both. Returns fp32 (N, 2, H, W).
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
