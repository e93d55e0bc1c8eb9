"""All-pairs correlation of two frames' features, and where RAFT's updates look in it (Teed & Deng 2020, section 3.2).

torchvision samples each of the (2r + 1)² places around a pixel by itself. All of them lie the same fraction beside
whole pixels: here (2r + 2)² whole ones are copied, by columns, and interpolated once in x and once in y. That is
torchvision's to within rounding of fp32; its places went through [-1, 1] and back, and ours did not.
"""

import math

import torch
import torch.nn.functional as F


class Correlation:
    """The pyramid of some pairs. In one buffer, a row a pixel of the first frames, column after column of every level.

    Before each column stand as many zeros as a lookup is high: outside of the picture nothing correlates.
    """

    def __init__(self, before: torch.Tensor, after: torch.Tensor, levels: int, radius: int) -> None:
        """before, after: fp32 (N, C, h, w), features of each pair's first and second frame."""
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

        places: fp32 (N, 2, h, w), x and y in pixels of the features. Returns fp32 (N, levels · (2r + 1)², h, w),
        channels last: by level, then by x, then by y.
        """
        side = self._side
        places = places.permute(0, 2, 3, 1).reshape(-1, 2, 1) * self._scale
        whole = places.floor()
        right, down = (places - whole).unbind(1)
        # Bounded as integers: a place that is not a number becomes one, and its fraction says so in the result.
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
