"""Training TFAM, as the loop of training.py sees it: batches of sequences, their loss, and the metrics of a split."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vimoclip.config.fusion import FusionConfig, Loss
from vimoclip.errors import RunError
from vimoclip.models.tfam import Tfam
from vimoclip.sequences.sequences import Batch, Sequences, shuffled_batches
from vimoclip.training.calibration import apply, fit
from vimoclip.training.losses import loss_of
from vimoclip.training.mixup import mixed
from vimoclip.training.optimizer import training_precision

SCORED_TOGETHER = 32  # videos


class FusionTask:
    """A `training.Task`. train: what it learns from. held_out, select: what it is evaluated on after every epoch, the
    second for the best one to be chosen on.

    segments: of each class, for the metrics; by default by how many videos, or stretches, of `train` show it.

    Attributes: `model`; `train`, on the device.

    Raises:
        RunError: with cross-entropy, a video, or a stretch, of several behaviours or of none.
    """

    def __init__(
        self,
        config: FusionConfig,
        train: Sequences,
        held_out: Sequences | None,
        device: torch.device,
        segments: list[str] | None = None,
        select: Sequences | None = None,
    ) -> None:
        evaluated = {"held_out": held_out, "select": select}
        self._evaluated = {name: sequences.to(device) for name, sequences in evaluated.items() if sequences}
        for sequences in (train, *self._evaluated.values()):
            check_labels(sequences, config.loss.name)
        self._config, self._device = config, device
        self.train = train.to(device)
        self._loss, self._segments = loss_of(config.loss), segments
        torch.manual_seed(config.training.seed)
        self.model = Tfam(config.tfam, train.dims, len(train.classes)).to(device)

    def plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """Batches of about one length."""
        training = self._config.training
        return shuffled_batches(self.train.steps, training.batch_size, training.seed, epoch)

    def loss(self, batch: NDArray[np.int64]) -> Tensor:
        """Of these videos, mixed where that is asked for."""
        made = self.batch(batch)
        if self._config.mixup is not None:
            made = mixed(made, self._config.mixup)
        return self._loss(self.model(made.vectors, made.present), made.targets)

    def batch(self, videos: NDArray[np.int64]) -> Batch:
        """These videos of the train split."""
        return self.train.batch(videos)

    def names(self, batch: NDArray[np.int64]) -> list[str]:
        """Ids of videos, each once."""
        return list(dict.fromkeys(self.train.video_ids[video] for video in batch))

    def evaluate(self) -> dict[str, Any]:
        """Metrics of vimoclip.training.metrics, of `held_out` and of `select`; nothing of what there is not."""
        if not self._evaluated:
            return {}
        from vimoclip.training import metrics  # torchmetrics takes seconds to import

        precision = training_precision(self._config.training.precision, self._device)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        segments = self._segments or metrics.by_count(self.train.counts())
        measure = metrics.of_one if self._config.loss.name == "cross-entropy" else metrics.of_several
        together = self._config.training.batch_size
        return {
            name: asdict(
                measure(scores(self.model, each, dtype), each.targets.cpu(), segments, together, each.report.videos)
            )
            for name, each in self._evaluated.items()
        }


@torch.inference_mode()
def scores(model: Tfam, sequences: Sequences, dtype: torch.dtype = torch.float32) -> Tensor:
    """Logits of every video in its order, fp32 (V, C), on the CPU. model: in eval mode, where the batches are made.

    dtype: of the arithmetic. In fp32 a video's logits are the same to 1e-5 whatever else is scored.
    """
    found = torch.zeros(len(sequences), model.classes)
    for batch in sequences.in_order(SCORED_TOGETHER):
        device = batch.targets.device
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            found[torch.from_numpy(batch.videos)] = model(batch.vectors, batch.present).float().cpu()
    return found


def calibrate(model: Tfam, train: Sequences, loss: Loss) -> None:
    """Make probabilities of a trained model's logits (calibration.py), by the videos it was trained on."""
    one_each = loss == "cross-entropy"
    apply(model, fit(scores(model, train), train.targets.cpu(), one_each))


def check_labels(sequences: Sequences, loss: Loss) -> None:
    """Refuse videos, or stretches of them, of several behaviours or of none where the loss is of one.

    Raises:
        RunError: naming them.
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
