"""Outlines of trees and grass, drawn from a random stream."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vimoclip.savannah.canvas import ellipse

Polygon: TypeAlias = NDArray[np.float64]


@dataclass
class Trees:
    """What many trees cover together: trunks, crowns, and the part of the crowns that the light falls on."""

    rng: np.random.Generator
    trunks: list[Polygon] = field(default_factory=list)
    crowns: list[Polygon] = field(default_factory=list)
    bright: list[Polygon] = field(default_factory=list)

    def acacia(self, x: float, foot: float, tall: float) -> None:
        """Add a forked trunk under a flat crown."""
        lean, wide = float(self.rng.uniform(-0.1, 0.1)), tall * float(self.rng.uniform(0.42, 0.56))
        top, mid = foot - 0.78 * tall, x + lean * tall
        t = max(1.0, 0.028 * tall)
        left = [(x - t, foot), (x - 0.6 * t, foot - 0.5 * tall), (mid - 0.5 * wide, top), (mid - 0.44 * wide, top)]
        fork = [(x + 0.1 * t, foot - 0.42 * tall)]
        right = [
            (mid + 0.46 * wide, top),
            (mid + 0.54 * wide, top),
            (x + 0.9 * t, foot - 0.44 * tall),
            (x + 1.1 * t, foot),
        ]
        self.trunks.append(np.array(left + fork + right))
        for n in range(7):
            part = (n - 3) / 3
            cx = mid + part * wide * 0.74 + float(self.rng.uniform(-0.05, 0.05)) * wide
            cy = top - tall * (0.1 - 0.075 * part * part) + float(self.rng.uniform(-0.02, 0.02)) * tall
            r = wide * float(self.rng.uniform(0.24, 0.34))
            self.crowns.append(ellipse(cx, cy, r, 0.34 * r + 0.03 * tall))
            self.bright.append(ellipse(cx - 0.1 * r, cy - 0.16 * r, 0.78 * r, 0.22 * r))

    def leafy(self, x: float, foot: float, tall: float) -> None:
        """Add a trunk under a round crown."""
        t, fork = max(1.2, 0.035 * tall), foot - 0.6 * tall
        self.trunks.append(np.array([(x - t, foot), (x - 0.7 * t, fork), (x + 0.7 * t, fork), (x + 1.2 * t, foot)]))
        for _ in range(9):
            cx = x + float(self.rng.uniform(-0.24, 0.24)) * tall
            cy = foot - tall * float(self.rng.uniform(0.5, 0.9))
            r = tall * float(self.rng.uniform(0.1, 0.17))
            self.crowns.append(ellipse(cx, cy, r, 0.85 * r))
            self.bright.append(ellipse(cx - 0.2 * r, cy - 0.28 * r, 0.62 * r, 0.45 * r))

    def bush(self, x: float, foot: float, r: float) -> None:
        """Add something low and round."""
        self.crowns.append(ellipse(x, foot - 0.3 * r, 1.5 * r, r))
        self.bright.append(ellipse(x - 0.2 * r, foot - 0.6 * r, 0.9 * r, 0.45 * r))


def tuft(x: float, foot: float, tall: float, wide: float, rng: np.random.Generator) -> list[Polygon]:
    """Five blades of grass that grow close together."""
    blades = []
    w = 0.5 + 0.045 * tall
    for n in range(5):
        long, at = tall * float(rng.uniform(0.55, 1.0)), x + wide * (n - 2) / 2
        bend = long * (0.22 * (n - 2) + float(rng.uniform(-0.12, 0.12)))
        waist, middle = 0.5 * w, (at + 0.35 * bend, foot - 0.6 * long)
        left, right = (middle[0] - waist, middle[1]), (middle[0] + waist, middle[1])
        blades.append(np.array([(at - w, foot), left, (at + bend, foot - long), right, (at + w, foot)]))
    return blades
