"""Heads for few clips, fitted in one step: `linear`, ridge regression, and `prototype`, the nearest class mean.

    means        of each sequence over the video, or over its three equal thirds, one beside the other; less the mean of
                 the training videos, each feature scaled to a mean square length of 1 over them
    z            the means along the axes in which the training videos differ, each axis of variance w divided by
                 √(w + λ): whitened, but for axes along which they hardly differ. It is what `pooled` gives
    linear       logits = ȳ + Σ (y − ȳ) z_i · z over the training videos i: ridge regression of the labels y, 0 or 1, on
                 the means, with penalty λ and an intercept without (Hoerl and Kennard, Technometrics 1970)
    prototype    logits = ȳ + a cos(z, p), p the mean of z / |z| over the videos that show a class; where a video may
                 show several, less the mean over those that do not. a fits the labels of videos left out best

λ, a multiple of the mean variance of an axis, is the one of PENALTIES with the least squared error on training videos
that are left out: for ridge regression all but one by one, which has a closed form (Allen's PRESS, Technometrics 1974;
for the clips of a video together, its block form); for prototypes, a fifth at a time.

A mean that is missing, such as the motion of a video of a single frame, is taken to be that of the training videos, 0
after centring: it speaks for no class. The fit is in fp64 on the CPU, whatever the device, and draws nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vimoclip.config.fusion import HEADS, ClosedFormConfig, FusionConfig, Modality
from vimoclip.errors import ConfigError
from vimoclip.models.heads import FusionHead

PENALTIES = tuple(10.0 ** (n / 2) for n in range(-6, 5))
"""λ by the mean variance of an axis: half decades from 0.001 to 100."""

FOLDS = 5
"""Parts of the training videos, each of which is left out once to choose the λ of prototypes."""

LEAST_SLOPE = 1e-3
"""Of prototypes, so that cosines that say nothing still rank."""

LEAST_VARIANCE = 1e-7
"""Of the largest: what an axis must have to be more than rounding."""


def build(config: FusionConfig, dims: Mapping[Modality, int], classes: int) -> "ClosedFormHead":
    """Make the head that a config names.

    Raises:
        ConfigError: a width that is missing, or one that the head does not read; or no classes.
    """
    roles = HEADS[config.head_name].roles
    if set(dims) != set(roles) or classes < 1:
        raise ConfigError(
            f"The head {config.head_name} cannot be built.",
            received=f"widths of {', '.join(dims) or 'nothing'}; {classes} classes",
            expected=f"a width of {' and of '.join(roles)}, and a class or more",
        )
    kind = PrototypeHead if config.head_name == "prototype" else LinearHead
    return kind(config.closed_form, {role: dims[role] for role in roles}, classes)


class ClosedFormHead(FusionHead):
    """What both heads are: the coordinates z of a video, and logits that are linear in them.

    It has no parameters to train; `fit` sets its buffers, of which the number of axes is only known then.

    Args:
        config: the settings.
        dims: the width D of each feature, by its role.
        classes: the number of classes.
    """

    center: Tensor
    axes: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, config: ClosedFormConfig, dims: Mapping[Modality, int], classes: int) -> None:
        super().__init__(dims, classes, width=1)
        self.parts = 3 if config.thirds else 1
        size = self.parts * sum(dims.values())
        self.register_buffer("center", torch.zeros(size))
        self.register_buffer("axes", torch.zeros(1, size))
        self.register_buffer("weight", torch.zeros(classes, 1))
        self.register_buffer("bias", torch.zeros(classes))
        self.register_load_state_dict_pre_hook(_as_large)  # type: ignore[no-untyped-call]

    def means(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        """The means that the head reads.

        A video of T steps is cut at T/3 and 2T/3; a step on both sides of a cut counts on each by its part there, so
        that the three have something even of a video of one step.

        Args:
            vectors: see `FusionHead.forward`.
            present: see `FusionHead.forward`.

        Returns:
            fp32 (B, P), of each feature its `parts` means one after the other; and bool (B, P), False where there is
            nothing to take a mean of.
        """
        masks = torch.stack([present[role] for role in self.dims]).any(dim=0)
        device, number = masks.device, torch.arange(1, masks.shape[1] + 1, device=masks.device)
        steps = (masks * number).amax(dim=1)[:, None, None]  # T of each video
        part = torch.arange(self.parts, device=device)[:, None]
        ends = torch.minimum(self.parts * number, (part + 1) * steps)
        share = (ends - torch.maximum(self.parts * (number - 1), part * steps)).clamp(min=0)  # (B, parts, T), whole
        found, there = list[Tensor](), list[Tensor]()
        with torch.autocast(device.type, enabled=False):
            for role, dim in self.dims.items():
                z = vectors[role].float().masked_fill(~present[role][..., None], 0)
                weights = (share * present[role][:, None]).float()
                count = weights.sum(dim=2, keepdim=True)
                found.append((weights @ z / count.clamp(min=1)).flatten(1))
                there.append((count > 0).expand(-1, -1, dim).flatten(1))
        return torch.cat(found, dim=1), torch.cat(there, dim=1)

    def pooled(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """See `FusionHead.pooled`: z, as wide as there are axes."""
        means, there = self.means(vectors, present)
        with torch.autocast(means.device.type, enabled=False):
            return F.linear(torch.where(there, means - self.center, 0), self.axes)

    def forward(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """See `FusionHead.forward`."""
        z = self.pooled(vectors, present)
        with torch.autocast(z.device.type, enabled=False):
            return F.linear(self._seen(z), self.weight, self.bias)

    @torch.no_grad()
    def calibrate(self, scale: float, bias: float) -> None:
        """See `FusionHead.calibrate`."""
        self.weight.mul_(scale)
        self.bias.mul_(scale).add_(bias)

    @torch.no_grad()
    def fit(self, examples: "Examples") -> dict[str, float]:
        """Set the head from the training videos.

        Returns:
            `penalty`, λ by the mean variance of an axis; and `error`, the mean squared error on videos left out, which
            is not a number where a mean is none: the head is then as it was.
        """
        if not torch.where(examples.there, examples.means, 0).isfinite().all():
            return {"penalty": math.nan, "error": math.nan}
        space = _Space.of(examples, self._sizes)
        penalty, error, scale = self._choose(examples, space)
        axes = space.axes / space.roots(penalty)[:, None]
        directions = self._directions(space.coordinates(examples) / space.roots(penalty), examples)
        made = {
            "center": space.center,
            "axes": axes,
            "weight": scale * directions,
            "bias": examples.targets.mean(dim=0),
        }
        for name, values in made.items():
            setattr(self, name, values.float().contiguous().to(self.center.device))
        self.width = len(axes)
        return {"penalty": penalty, "error": error}

    @property
    def _sizes(self) -> list[int]:
        """How many means each feature has."""
        return [self.parts * dim for dim in self.dims.values()]

    def _seen(self, z: Tensor) -> Tensor:
        """What of z the logits are linear in."""
        raise NotImplementedError

    def _choose(self, examples: "Examples", space: "_Space") -> tuple[float, float, float]:
        """The penalty with the least error on videos left out, that error, and what directions are multiplied by."""
        raise NotImplementedError

    def _directions(self, z: Tensor, examples: "Examples") -> Tensor:
        """A vector of each class, (C, axes), from the z of the videos."""
        raise NotImplementedError


def _as_large(head: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Make room for the axes that a state has."""
    assert isinstance(head, ClosedFormHead)
    for name in ("axes", "weight"):
        kept = state.get(prefix + name)
        if kept is not None and kept.ndim == 2:
            own = getattr(head, name)
            rows, columns = (len(kept), own.shape[1]) if name == "axes" else (len(own), kept.shape[1])
            setattr(head, name, own.new_zeros(rows, columns))
    head.width = len(head.axes)


class LinearHead(ClosedFormHead):
    """Ridge regression of the labels."""

    def _seen(self, z: Tensor) -> Tensor:
        return z

    def _choose(self, examples: "Examples", space: "_Space") -> tuple[float, float, float]:
        x, errors = space.coordinates(examples), list[float]()
        for penalty in PENALTIES:
            missed = left_out_residuals(x / space.roots(penalty), examples.targets, examples.videos)
            errors.append(float(missed.square().mean()))
        best = int(np.argmin(errors))
        return PENALTIES[best], errors[best], 1.0

    def _directions(self, z: Tensor, examples: "Examples") -> Tensor:
        return (examples.targets - examples.targets.mean(dim=0)).T @ z


def left_out_residuals(z: Tensor, targets: Tensor, videos: NDArray[np.int64]) -> Tensor:
    """What ridge regression misses of each clip when the clips of its video are left out.

    With H = 1/n + z zᵀ, which gives the predictions from the labels, the residuals of a video's clips B are
    (1 − H_BB)⁻¹ (y − H y)_B.

    Args:
        z: of the clips, whitened with the penalty and of mean 0, fp64 (n, axes).
        targets: fp64 (n, C).
        videos: the number of each clip's video, int64 (n,). Of one video alone, each clip is left out by itself.

    Returns:
        fp64 (n, C).
    """
    count = len(z)
    centered = targets - targets.mean(dim=0)
    residuals = centered - z @ (z.T @ centered)
    known, video = np.unique(videos, return_inverse=True)
    if len(known) in (1, count):
        left = 1 - 1 / count - z.square().sum(dim=1)
        return residuals / left.clamp(min=1e-12)[:, None]
    for own in np.split(np.argsort(video, kind="stable"), np.cumsum(np.bincount(video))[:-1]):
        rows = torch.from_numpy(own)
        part = torch.eye(len(own), dtype=z.dtype) - 1 / count - z[rows] @ z[rows].T
        residuals[rows] = torch.linalg.solve(part, residuals[rows])
    return residuals


class PrototypeHead(ClosedFormHead):
    """The nearest class mean by cosine."""

    def _seen(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=-1)

    def _choose(self, examples: "Examples", space: "_Space") -> tuple[float, float, float]:
        cosines = examples.targets.new_zeros(len(PENALTIES), *examples.targets.shape)
        _, video = np.unique(examples.videos, return_inverse=True)
        for fold in range(FOLDS):
            left = video % FOLDS == fold
            if left.any() and not left.all():
                own, others = examples.only(left), examples.only(~left)
                known = _Space.of(others, self._sizes)
                x, theirs, rows = known.coordinates(own), known.coordinates(others), torch.from_numpy(left)
                for n, penalty in enumerate(PENALTIES):
                    roots = known.roots(penalty)
                    cosines[n, rows] = self._seen(x / roots) @ self._directions(theirs / roots, others).T
        fits = [_least_squares(each, examples.targets) for each in cosines]
        best = min(range(len(fits)), key=lambda n: fits[n][0])
        return PENALTIES[best], *fits[best]

    def _directions(self, z: Tensor, examples: "Examples") -> Tensor:
        """Unit vectors; 0 for a class that every video shows, or none."""
        z, shown = self._seen(z), examples.targets
        means = shown.T @ z / shown.sum(dim=0).clamp(min=1)[:, None]
        if not examples.one_each:
            means = means - (1 - shown).T @ z / (1 - shown).sum(dim=0).clamp(min=1)[:, None]
        return F.normalize(means, dim=1)


def _least_squares(cosines: Tensor, targets: Tensor) -> tuple[float, float]:
    """The error and the slope a ≥ 0 of y = ȳ + a (x − x̄), over all classes; cosines, targets: (n, C)."""
    x, y = cosines - cosines.mean(dim=0), targets - targets.mean(dim=0)
    slope = float((x * y).sum() / x.square().sum().clamp(min=1e-12))
    slope = max(slope, LEAST_SLOPE)
    return float((y - slope * x).square().mean()), slope


@dataclass(frozen=True)
class Examples:
    """What a head is fitted on: n videos, or clips of videos.

    Attributes:
        means: as `ClosedFormHead.means` gives them, fp64 (n, P).
        there: which of them there are, bool (n, P).
        targets: 0 or 1, fp64 (n, C).
        videos: the number of each clip's video, int64 (n,): clips of one are left out together.
        one_each: whether each shows exactly one behaviour.
    """

    means: Tensor
    there: Tensor
    targets: Tensor
    videos: NDArray[np.int64]
    one_each: bool

    def only(self, kept: NDArray[np.bool_]) -> "Examples":
        """Some of them, by a mask, bool (n,)."""
        rows = torch.from_numpy(kept)
        return Examples(self.means[rows], self.there[rows], self.targets[rows], self.videos[kept], self.one_each)


@dataclass(frozen=True)
class _Space:
    """The axes along which the examples differ.

    center: their means, (P,). axes: the axes as rows, scaled as each feature is, (axes, P). variance: along each,
    summed over the examples, (axes,).
    """

    center: Tensor
    axes: Tensor
    variance: Tensor

    @classmethod
    def of(cls, examples: Examples, sizes: list[int]) -> "_Space":
        """sizes: how many columns of the means each feature has."""
        there = examples.there
        center = torch.where(there, examples.means, 0).sum(dim=0) / there.sum(dim=0).clamp(min=1)
        x = torch.where(there, examples.means - center, 0)
        scales = torch.ones_like(center)
        for scale, part in zip(torch.split(scales, sizes), torch.split(x, sizes, dim=1), strict=True):
            length = part.square().sum(dim=1).mean().sqrt()
            scale.copy_(1 / length if length > 0 else length)
        x = x * scales
        if few := len(x) <= x.shape[1]:
            variance, vectors = torch.linalg.eigh(x @ x.T)
        else:
            variance, vectors = torch.linalg.eigh(x.T @ x)
        kept = variance > LEAST_VARIANCE * variance[-1].clamp(min=0)
        if not kept.any():  # all are alike
            return cls(center, torch.zeros_like(center)[None], variance.new_ones(1))
        variance, vectors = variance[kept], vectors[:, kept]
        axes = (x.T @ (vectors / variance.sqrt())).T if few else vectors.T
        return cls(center, axes * scales, variance)

    def roots(self, penalty: float) -> Tensor:
        """√(w + λ) of each axis, (axes,). penalty: λ by the mean variance."""
        return (self.variance + penalty * self.variance.mean()).sqrt()

    def coordinates(self, examples: Examples) -> Tensor:
        """Where the examples are along the axes, (n, axes)."""
        return torch.where(examples.there, examples.means - self.center, 0) @ self.axes.T
