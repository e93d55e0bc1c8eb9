"""RAFT as Teed & Deng (2020) describe it, with the names that the published checkpoints give its parts.

Written from the paper and those names, and independent of torchvision's modules: what it computes is what weights in
the original layout mean.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

Norm = Callable[[int], nn.Module]


def _nothing(channels: int) -> nn.Module:
    return nn.Sequential()


class Block(nn.Module):
    """A residual block, of two convolutions for `large` and of three for `small` (Appendix A)."""

    def __init__(self, before: int, after: int, stride: int, norm: Norm, small: bool) -> None:
        super().__init__()
        widths = [after // 4, after // 4, after] if small else [after, after]
        kernels = [1, 3, 1] if small else [3, 3]
        last = len(widths)
        width = before
        for n, (out, kernel) in enumerate(zip(widths, kernels, strict=True), 1):
            step = stride if n == (2 if small else 1) else 1
            self.add_module(f"conv{n}", nn.Conv2d(width, out, kernel, step, kernel // 2))
            self.add_module(f"norm{n}", norm(out))
            width = out
        self.steps, self.downsample = last, None
        if stride != 1:
            shortcut = norm(after)
            self.add_module(f"norm{last + 1}", shortcut)  # stored twice: here, and as downsample.1
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride), shortcut)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for n in range(1, self.steps + 1):
            y = F.relu(self.get_submodule(f"norm{n}")(self.get_submodule(f"conv{n}")(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Encoder(nn.Module):
    """Frames to features at an eighth of their size (3.1)."""

    def __init__(self, widths: tuple[int, int, int], out: int, norm: Norm, small: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, widths[0], 7, 2, 3), norm(widths[0])
        before = widths[0]
        for n, (width, stride) in enumerate(zip(widths, (1, 2, 2), strict=True), 1):
            blocks = Block(before, width, stride, norm, small), Block(width, width, 1, norm, small)
            self.add_module(f"layer{n}", nn.Sequential(*blocks))
            before = width
        self.conv2 = nn.Conv2d(before, out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        for n in (1, 2, 3):
            x = self.get_submodule(f"layer{n}")(x)
        out: torch.Tensor = self.conv2(x)
        return out


class MotionEncoder(nn.Module):
    """Correlations and the flow so far, to motion features."""

    def __init__(self, small: bool) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(4 * 49, 96, 1) if small else nn.Conv2d(4 * 81, 256, 1)
        self.convc2 = None if small else nn.Conv2d(256, 192, 3, padding=1)
        first, second, correlated, out = (64, 32, 96, 80) if small else (128, 64, 192, 126)
        self.convf1, self.convf2 = nn.Conv2d(2, first, 7, padding=3), nn.Conv2d(first, second, 3, padding=1)
        self.conv = nn.Conv2d(correlated + second, out, 3, padding=1)

    def forward(self, flow: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        found = F.relu(self.convc1(found))
        found = found if self.convc2 is None else F.relu(self.convc2(found))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([found, moved], 1))), flow], 1)


class Gru(nn.Module):
    """The recurrent unit (Eq. 3 to 6), `large` in two passes: along rows, and along columns."""

    def __init__(self, width: int, motion: int, context: int, small: bool) -> None:
        super().__init__()
        passes = [("", (3, 3))] if small else [("1", (1, 5)), ("2", (5, 1))]
        self.passes = [name for name, _ in passes]
        for name, kernel in passes:
            for gate in "zrq":
                padding = (kernel[0] // 2, kernel[1] // 2)
                gate_conv = nn.Conv2d(width + motion + context, width, kernel, padding=padding)
                self.add_module(f"conv{gate}{name}", gate_conv)

    def forward(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        for name in self.passes:
            z, r = (torch.sigmoid(self.get_submodule(f"conv{gate}{name}")(torch.cat([h, x], 1))) for gate in "zr")
            q = torch.tanh(self.get_submodule(f"convq{name}")(torch.cat([r * h, x], 1)))
            h = (1 - z) * h + z * q
        return h


class OriginalRaft(nn.Module):
    """The whole network. `forward`: fp32 (N, 3, H, W) frames in [-1, 1], to the last flow, (N, 2, H, W)."""

    def __init__(self, small: bool) -> None:
        super().__init__()
        widths = (32, 64, 96) if small else (64, 96, 128)
        self.hidden, context, features, motion, head = (96, 64, 128, 82, 128) if small else (128, 128, 256, 128, 256)
        self.radius = 3 if small else 4
        self.fnet = Encoder(widths, features, nn.InstanceNorm2d, small)
        self.cnet = Encoder(widths, self.hidden + context, _nothing if small else nn.BatchNorm2d, small)
        parts: dict[str, nn.Module] = {
            "encoder": MotionEncoder(small),
            "gru": Gru(self.hidden, motion, context, small),
            "flow_head": nn.ModuleDict(
                {"conv1": nn.Conv2d(self.hidden, head, 3, padding=1), "conv2": nn.Conv2d(head, 2, 3, padding=1)}
            ),
        }
        if not small:
            parts["mask"] = nn.Sequential(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 576, 1))
        self.update_block = nn.ModuleDict(parts)

    def forward(self, first: torch.Tensor, second: torch.Tensor, updates: int) -> torch.Tensor:
        pyramid = self._correlate(self.fnet(first), self.fnet(second))
        encoded = self.cnet(first)
        hidden, context = torch.tanh(encoded[:, : self.hidden]), F.relu(encoded[:, self.hidden :])
        height, width = encoded.shape[-2:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        start = torch.stack([columns, rows]).float()[None]
        place = start.expand(len(first), -1, -1, -1)
        for _ in range(updates):
            motion = self.update_block["encoder"](place - start, self._look(pyramid, place))
            hidden = self.update_block["gru"](hidden, torch.cat([context, motion], 1))
            head = self.update_block["flow_head"]
            place = place + head.get_submodule("conv2")(F.relu(head.get_submodule("conv1")(hidden)))
        return self._upsample(place - start, hidden)

    def _correlate(self, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        # Eq. 1, and a pyramid over the second frame's axes.
        volume = torch.einsum("ncij,nckl->nijkl", first, second) / math.sqrt(first.shape[1])
        levels = [volume.flatten(0, 2)[:, None]]
        for _ in range(3):
            levels.append(F.avg_pool2d(levels[-1], 2))
        return levels

    def _look(self, pyramid: list[torch.Tensor], place: torch.Tensor) -> torch.Tensor:
        # 3.2, lookup: (2r + 1)² values around each place, at each level. The published weights run through x first.
        n, _, height, width = place.shape
        reach = torch.arange(-self.radius, self.radius + 1.0)
        around = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), -1)
        found = []
        for level, volume in enumerate(pyramid):
            at = place.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2) / 2**level + around
            size = torch.tensor([volume.shape[-1] - 1, volume.shape[-2] - 1])
            values = F.grid_sample(volume, 2 * at / size - 1, align_corners=True)
            found.append(values.reshape(n, height, width, -1))
        return torch.cat(found, -1).permute(0, 3, 1, 2)

    def _upsample(self, flow: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        # 3.3, upsampling: each fine pixel a convex combination of the 3 × 3 coarse ones around it.
        n, _, height, width = flow.shape
        if "mask" not in self.update_block:
            return 8 * F.interpolate(flow, (8 * height, 8 * width), mode="bilinear", align_corners=True)
        weights = torch.softmax(0.25 * self.update_block["mask"](hidden).view(n, 9, 8, 8, height, width), 1)
        coarse = F.unfold(8 * flow, 3, padding=1).view(n, 2, 9, height, width)
        return torch.einsum("nkabij,nckij->nciajb", weights, coarse).reshape(n, 2, 8 * height, 8 * width)
