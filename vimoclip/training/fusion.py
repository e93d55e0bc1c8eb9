"""FusionTask: training a fusion head in the loop of loop.py: batches of sequences, their loss, the metrics of a split.

Also `scores`, the logits of every video, and calibration, which turns them into probabilities that mean what they say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vimoclip.config.fusion import FusionConfig, Loss
from vimoclip.errors import RunError
from vimoclip.models.heads import FusionHead, build_head
from vimoclip.models.heads.closed_form import ClosedFormHead, Examples
from vimoclip.sequences.sequences import Batch, Sequences, shuffled_batches
from vimoclip.training.losses import make_loss, mixup
from vimoclip.training.optimizer import training_precision

STEPS = 100  # at most, of L-BFGS, which converges after some ten
LEAST = 0.01
"""The least standard deviation of calibrated logits: for worthless scores the best a is 0, which would tie them all."""


@dataclass(frozen=True)
class Calibration:
    """The calibrated logits a x + b of logits x, a > 0.

    Attributes:
        scale: a.
        bias: b.
    """

    scale: float = 1.0
    bias: float = 0.0


def fit_calibration(logits: Tensor, targets: Tensor, one_each: bool) -> Calibration:
    """Find the a and b with the least cross-entropy.

    A loss that weighs easy negatives little, and mixed labels, leave scores that rank well but mean nothing as
    probabilities. So the logits x of a trained model become a x + b, with the a and b that fit the labels of its
    training videos (Platt, 1999); where a video shows one behaviour, a x (Guo et al., ICML 2017). Every mAP stays,
    because a > 0 (metrics.py). The order of one class's softmax over videos may change where a video shows one
    behaviour; the order of the classes of a video does not.

    Targets are Platt's: (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2) instead of 1 and 0, so that scores which are right on all
    videos do not make a infinite; with one behaviour a video, (N y + 1) / (N + C). Where all scores or all labels are
    the same there is nothing to fit: a = 1, b = 0.

    Args:
        logits: (N, C).
        targets: 0 or 1, (N, C).
        one_each: whether each video shows one behaviour; b is then 0.
    """
    x, y = logits.double().clone(), targets.double()
    center = 0.0 if one_each else float(x.mean())
    spread = float((x - center).square().mean().sqrt())
    positives, negatives = float(y.sum()), float((1 - y).sum())
    if not (spread and positives and negatives):
        return Calibration()
    if one_each:
        y = (len(y) * y + 1) / (len(y) + y.shape[1])
    else:
        y = torch.where(y > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    z = (x - center) / spread  # so that the search has the same steps for any model
    found = torch.zeros(2, dtype=x.dtype, requires_grad=True)  # a by its logarithm, and b
    search = torch.optim.LBFGS([found], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        scaled = (LEAST + found[0].exp()) * z + (0 if one_each else found[1])
        value = F.cross_entropy(scaled, y) if one_each else F.binary_cross_entropy_with_logits(scaled, y)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    scale, bias = (LEAST + float(found[0].detach().exp())) / spread, float(found[1].detach())
    return Calibration(scale, 0.0 if one_each else bias - scale * center)


def apply_calibration(model: FusionHead, calibration: Calibration) -> None:
    """Make the model's logits a x + b."""
    model.calibrate(calibration.scale, calibration.bias)


SCORE_BATCH = 32  # videos


class FusionTask:
    """A fusion head to train: a `vimoclip.training.loop.Task` whose items are videos, or training clips.

    Args:
        config: of the run.
        train: what it learns from.
        held_out: what it is evaluated on after every epoch.
        device: where it is trained.
        class_groups: the group of each class, for the metrics; by default from how many items of `train` show it.
        select: a second set to evaluate on, by which the best epoch is chosen.

    Attributes:
        model: the head. One of closed form is fitted by the loss of the only batch, which is its error on videos left
            out and has no gradient.
        train: on the device.
        fitted: how a head of closed form was fitted, for the records; empty for others.

    Raises:
        RunError: with cross-entropy, a video or clip shows several behaviours or none.
    """

    def __init__(
        self,
        config: FusionConfig,
        train: Sequences,
        held_out: Sequences | None,
        device: torch.device,
        class_groups: list[str] | None = None,
        select: Sequences | None = None,
    ) -> None:
        evaluated = {"held_out": held_out, "select": select}
        self._evaluated = {name: sequences.to(device) for name, sequences in evaluated.items() if sequences}
        for sequences in (train, *self._evaluated.values()):
            check_labels(sequences, config.loss.name)
        self._config, self._device, self._epoch = config, device, 0
        self.train = train.to(device)
        self._loss, self._class_groups = make_loss(config.loss), class_groups
        self._size = len(train) / max(-(-len(train) // config.training.batch_size), 1)  # of a batch, in the mean
        torch.manual_seed(config.training.seed)
        self.model = build_head(config, train.dims, len(train.classes)).to(device)
        self.fitted: dict[str, float] = {}

    def plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """Draw the batches of an epoch: videos of similar length; for a head of closed form, one of all videos."""
        self._epoch, training = epoch, self._config.training
        if isinstance(self.model, ClosedFormHead):
            return [np.arange(len(self.train))]
        return shuffled_batches(self.train.steps, training.batch_size, training.seed, epoch)

    def loss(self, batch: NDArray[np.int64]) -> Tensor:
        """Compute the loss of these videos, mixed where the config says so.

        Returns:
            The sum over the videos, divided by the mean number of videos in a batch: in every batch of an epoch a video
            weighs the same, and the mean over the batches is that over the videos.
        """
        if isinstance(self.model, ClosedFormHead):
            self.fitted = self.model.fit(self._examples(self.model))
            return torch.tensor(self.fitted["error"])
        made = self.batch(batch)
        if self._config.mixup is not None:
            made = mixup(made, self._config.mixup)
        losses = [
            self._loss(self.model(part.vectors, part.present), part.targets) * (len(part.videos) / self._size)
            for part in self.train.parts(made)
        ]
        return torch.stack(losses).sum()

    def _examples(self, model: ClosedFormHead) -> Examples:
        """What a head of closed form is fitted on: all of the train split."""
        batches = [(each.videos, model.means(each.vectors, each.present)) for each in self.train.in_order(SCORE_BATCH)]
        order = torch.from_numpy(np.argsort(np.concatenate([videos for videos, _ in batches])))
        means, there = (torch.cat([made[n].cpu() for _, made in batches])[order] for n in range(2))
        _, videos = np.unique(self.train.video_ids, return_inverse=True)
        one_each = self._config.loss.name == "cross-entropy"
        return Examples(means.double(), there, self.train.targets.double().cpu(), videos, one_each)

    def batch(self, videos: NDArray[np.int64]) -> Batch:
        """Cut these videos out of the train split."""
        return self.train.batch(videos)

    def names(self, batch: NDArray[np.int64]) -> list[str]:
        """Return the ids of the videos, each once."""
        return list(dict.fromkeys(self.train.video_ids[video] for video in batch))

    def evaluate(self) -> dict[str, Any]:
        """Compute the metrics (metrics.py) of `held_out` and of `select`, those that there are.

        Scores are computed in the precision of the training; after the last epoch, those of `held_out` in fp32, as
        `vimoclip evaluate` computes them.
        """
        said: dict[str, Any] = {"fitted": self.fitted} if self.fitted else {}
        if not self._evaluated:
            return said
        from vimoclip.training import metrics  # torchmetrics takes seconds to import

        training = self._config.training
        trained = torch.bfloat16 if training_precision(training.precision, self._device) == "bf16" else torch.float32
        last = self._epoch == training.epochs - 1
        dtypes = {"held_out": torch.float32 if last else trained, "select": trained}
        groups = self._class_groups or metrics.by_count(self.train.counts())
        measure = (
            metrics.multiclass_metrics if self._config.loss.name == "cross-entropy" else metrics.multilabel_metrics
        )
        return said | {
            name: measure(
                scores(self.model, each, dtypes[name]),
                each.targets.cpu(),
                groups,
                training.batch_size,
                each.report.videos,
            ).to_dict()
            for name, each in self._evaluated.items()
        }


@torch.inference_mode()
def scores(model: FusionHead, sequences: Sequences, dtype: torch.dtype = torch.float32) -> Tensor:
    """Compute the logits of every video, in order.

    Args:
        model: in eval mode, on the device of the sequences' batches.
        sequences: V videos.
        dtype: of the arithmetic. In fp32 a video's logits are the same to 1e-5 whatever else is scored.

    Returns:
        fp32 (V, C), on the CPU.
    """
    found = torch.zeros(len(sequences), model.classes)
    for batch in sequences.in_order(SCORE_BATCH):
        device = batch.targets.device
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            found[torch.from_numpy(batch.videos)] = model(batch.vectors, batch.present).float().cpu()
    return found


LEAST_CALIBRATION = 20
"""The fewest videos that a calibration is fitted on, unless there are no other."""

FOLDS = 2
"""How many parts the training videos are dealt into to fit a calibration: as many models are trained."""

CLOSED_FORM_FOLDS = 10
"""The same for a head of closed form, which is fitted in a moment: its models know nearly as much as the run's own."""

CalibratedOn = Literal["select", "folds", "train"]
CALIBRATED_ON: dict[CalibratedOn, str] = {
    "select": "the videos that were set aside to choose the best epoch",
    "folds": "the training videos, each scored by a model that was not trained on it",
    "train": "the training videos",
}
"""Which videos a calibration was fitted on, in words."""


def calibrate(model: FusionHead, fitted_on: Sequences, loss: Loss, logits: Tensor | None = None) -> None:
    """Calibrate a trained model by videos with labels (`fit_calibration`).

    Args:
        model: whose logits change.
        fitted_on: the videos; best such as it was not trained on.
        loss: its name; with cross-entropy, each video shows one behaviour.
        logits: of these videos, by models like this one that were not trained on them, float (V, C); by default its
            own.
    """
    one_each = loss == "cross-entropy"
    x = scores(model, fitted_on) if logits is None else logits
    apply_calibration(model, fit_calibration(x, fitted_on.targets.cpu(), one_each))


FitFold = Callable[[FusionTask, int], FusionHead]
"""Trains a task whose model is not trained on the fold of this number, and returns the model in eval mode."""


def out_of_fold_scores(
    config: FusionConfig, train: Sequences, device: torch.device, fold_of: NDArray[np.int64], fit: FitFold
) -> Tensor:
    """Compute the logits of every training video by a model that is trained as the run's is, but not on its fold.

    Args:
        config: of the run.
        train: the V training videos, on the device.
        device: where they are trained.
        fold_of: the number of the fold of each video, int64 (V,).
        fit: trains a model.

    Returns:
        fp32 (V, C), on the CPU.
    """
    found = torch.zeros(len(train), len(train.classes))
    for fold in np.unique(fold_of).tolist():
        others, own = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        model = fit(FusionTask(config, train.only(others), None, device), fold)
        found[torch.from_numpy(own)] = scores(model, train.only(own))
    return found


def check_labels(sequences: Sequences, loss: Loss) -> None:
    """Refuse videos, or clips, of several behaviours or of none where the loss takes one.

    Raises:
        RunError: names some of them.
    """
    if loss != "cross-entropy":
        return
    shown = sequences.targets.sum(dim=1, dtype=torch.int64)
    if len(others := (shown != 1).nonzero().flatten().tolist()):
        names = ", ".join(list(dict.fromkeys(sequences.video_ids[video] for video in others))[:5])
        one, many = ("stretch", "stretches of videos") if sequences.report.cut else ("video", "videos")
        raise RunError(
            f"Cross-entropy takes one behaviour a {one}.",
            received=f"{len(others)} of {len(sequences)} {many} with none or several, such as {names}",
            expected="one label each",
            hint="Train with --loss bce or asymmetric.",
        )
