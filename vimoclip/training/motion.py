"""MotionTask: training the motion student in the loop of loop.py: batches of clips, their loss, the metrics of a split.

Weights are fp32 and the arithmetic is under autocast, as in all training here. Weights in bf16 would be a fifth faster,
but at the learning rate of a fine-tuning a step is less than half of the last of their 8 bits, and is lost.
"""

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vimoclip.config.motion import MotionConfig
from vimoclip.device import free_bytes
from vimoclip.flow.encoding import PLANE, flow_image, mirrored
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import MoClip
from vimoclip.prefetch import Prefetcher
from vimoclip.sequences.sequences import MEMORY_FRACTION, even_batches
from vimoclip.training.losses import distillation, weighted
from vimoclip.training.motion_dataset import ClipBatch, MotionClips
from vimoclip.training.optimizer import SINGLE_PROCESS, ProcessGroup, layer_rates, training_precision

BATCH = 64
"""Frames that pass the tower at once. With checkpointing, its gradient needs memory for these alone."""

AHEAD = 2
"""Batches that are read and made into images before the device needs them."""

WAIT_S = 1.0

_FLIPS = 1  # the number of this seed among those that follow from the run's


@dataclass(frozen=True)
class Shown:
    """Clips, and what the student is shown of them.

    Attributes:
        clips: as they were read.
        images: uint8 (N, 3, 224, 224), mirrored where that was drawn; on the CPU.
    """

    clips: ClipBatch
    images: Tensor


class MotionTask:
    """The motion student to train: a `vimoclip.training.loop.Task` whose items are clips.

    Args:
        config: of the run.
        teacher: in fp32, on the device.
        train: what it learns from.
        held_out: what it is evaluated on after every epoch.
        select: a second set to evaluate on, by which the best epoch is chosen.
        peers: the processes that train together.

    Attributes:
        model: the student.
        rates: what the learning rate of each parameter of the tower is multiplied by, by name.
        checkpointing: whether a part of the tower is computed twice to save memory.
    """

    def __init__(
        self,
        config: MotionConfig,
        teacher: ClipTeacher,
        train: MotionClips,
        held_out: MotionClips | None = None,
        select: MotionClips | None = None,
        peers: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        evaluated = {"held_out": held_out, "select": select}
        self._evaluated = {name: segments for name, segments in evaluated.items() if segments}
        self._config, self._teacher, self._train, self._peers = config, teacher, train, peers
        self._epoch, self._plan = 0, list[NDArray[np.int64]]()
        self._ahead = deque[NDArray[np.int64]]()  # the clips of the batches that are being prepared, in order
        self._images: Prefetcher[Shown] | None = None
        torch.manual_seed(config.training.seed)
        self.model = MoClip.of(teacher, len(train.classes), config.alpha, config.hidden, config.head_hidden)
        names = [name for name, _ in self.model.tower.named_parameters()]
        self.rates = {f"tower.{name}": rate for name, rate in layer_rates(names, config.layer_decay).items()}
        self._bf16 = training_precision(config.training.precision, teacher.device) == "bf16"
        self.checkpointing = config.checkpointing == "on" or (config.checkpointing == "auto" and not self._fits())

    def plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """Draw the batches of an epoch: clips in an order of its own, the batches equally large but for one clip."""
        self.close()
        self._epoch, training = epoch, self._config.training
        order = np.random.default_rng([training.seed, epoch]).permutation(len(self._train))
        self._plan = even_batches(order, training.batch_size)
        return list(self._plan)

    def loss(self, batch: NDArray[np.int64]) -> Tensor:
        """Compute L = L_cls + L_distill (Eq. 6) of these clips; with several peers, this one's part of it."""
        own = batch[self._peers.rank :: self._peers.world]
        if not len(own):
            return sum((parameter.sum() * 0 for parameter in self.model.parameters()), torch.zeros(()))
        return self.loss_of(self._prepared(own), batch)

    def loss_of(self, shown: Shown, batch: NDArray[np.int64]) -> Tensor:
        """Compute what these clips, which are this peer's part of a batch, add to the batch's loss."""
        made, device = shown.clips, self._teacher.device
        z = self._z(shown.images)
        with torch.autocast(device.type, enabled=False):
            counts = torch.from_numpy(made.counts).to(device)
            logits = self.model.logits(z, counts)
            of_class = weighted(logits, made.targets.to(device), self._config.positive_weight)
            of_distill = distillation(self.model.refined(z), made.images.to(device))
        frames = int(self._train.count[batch].sum())
        return of_class * (len(made.counts) / len(batch)) + of_distill * (len(z) / frames)

    def prepare(self, own: NDArray[np.int64], epoch: int) -> Shown:
        """Read these clips and make the images that the student is shown in this epoch. It may run in any thread."""
        made = self._train.batch(own)
        planes = self._flipped(made.planes, own, made.counts, epoch)
        return self._shown(made, planes)

    def _prepared(self, own: NDArray[np.int64]) -> Shown:
        """These clips, which were prepared beforehand where they follow the last ones in the epoch's plan."""
        if not (self._ahead and np.array_equal(self._ahead[0], own)):
            self.close()
            parts = [batch[self._peers.rank :: self._peers.world] for batch in self._plan]
            first = next((i for i, part in enumerate(parts) if np.array_equal(part, own)), None)
            if first is None:  # not of the plan
                return self.prepare(own, self._epoch)
            self._ahead = deque(part for part in parts[first:] if len(part))
            self._images = Prefetcher(map(partial(self.prepare, epoch=self._epoch), list(self._ahead)), AHEAD)
        assert self._images is not None
        while (shown := self._images.get(WAIT_S)) is None:
            pass
        self._ahead.popleft()
        return shown

    def close(self) -> None:
        """Stop preparing clips."""
        if self._images is not None:
            self._images.stop(0)
        self._images = None
        self._ahead.clear()

    def names(self, batch: NDArray[np.int64]) -> list[str]:
        """Return the ids of the videos, each once."""
        return list(dict.fromkeys(self._train.sequences.video_ids[video] for video in self._train.video[batch]))

    def evaluate(self) -> dict[str, Any]:
        """Compute the metrics of `held_out` and of `select`, those that there are.

        Returns:
            For each, the metrics (metrics.py) of the accessory head on the mean of z over each video, and `cosine`, the
            mean of cos(ẑ, z_image) over frames.
        """
        if not self._evaluated:
            return {}
        from vimoclip.training import metrics  # torchmetrics takes seconds to import

        groups = metrics.by_count(self._train.sequences.counts())
        found = {}
        for name, each in self._evaluated.items():
            logits, cosine = self._scores(each)
            measured = metrics.multilabel_metrics(
                logits, each.sequences.targets, groups, self._config.training.batch_size
            )
            found[name] = measured.to_dict() | {"cosine": cosine}
        return found

    @torch.inference_mode()
    def _scores(self, segments: MotionClips) -> tuple[Tensor, float]:
        """Logits of every video, fp32 (V, C), on the CPU; and the mean cosine."""
        device = self._teacher.device
        sums = torch.zeros(len(segments.sequences), self._teacher.dim, device=device)
        near = torch.zeros(len(segments), device=device)  # of each clip: added up on the CPU, as not all have fp64
        own = range(self._peers.rank, len(segments), self._peers.world)
        read = Prefetcher((self._served(segments, clip) for clip in own), AHEAD)
        try:
            for clip in own:
                while (shown := read.get(WAIT_S)) is None:
                    pass
                with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
                    z = self._z(shown.images)
                sums[int(shown.clips.videos[0])] += z.sum(0)
                near[clip] = (1 - distillation(self.model.refined(z), shown.clips.images.to(device))) * len(z)
        finally:
            read.stop(0)
        steps = segments.sequences.steps
        means = self._peers.sum(sums) / torch.from_numpy(steps).to(device)[:, None]
        total = float(self._peers.sum(near).cpu().double().sum())
        return self.model.head(means).float().cpu(), total / int(steps.sum())

    def _served(self, segments: MotionClips, clip: int) -> Shown:
        """A clip of a split that is evaluated, as it is."""
        made = segments.batch(np.array([clip]))
        return self._shown(made, made.planes)

    def _shown(self, made: ClipBatch, planes: NDArray[np.uint8]) -> Shown:
        images = torch.from_numpy(flow_image(planes, self._config.encoding))
        return Shown(made, images.pin_memory() if self._teacher.device.type == "cuda" else images)

    def _z(self, images: Tensor) -> Tensor:
        """z of the flow images uint8 (N, 3, 224, 224), fp32 (N, D); checkpointing does not change the parts.

        The parts are on the device before they are computed: `checkpoint` keeps the state of the random numbers, which
        dropout takes, of the devices of what it is given.
        """
        parts = torch.split(images.to(self._teacher.device, non_blocking=True), BATCH)
        if self.checkpointing and torch.is_grad_enabled():
            return torch.cat([checkpoint(self._part, part, use_reentrant=False) for part in parts])
        return torch.cat([self._part(part) for part in parts])

    def _part(self, images: Tensor) -> Tensor:
        z: Tensor = self.model(self._teacher.pixels(images))
        return z

    def _flipped(
        self, planes: NDArray[np.uint8], segments: NDArray[np.int64], counts: NDArray[np.int64], epoch: int
    ) -> NDArray[np.uint8]:
        """Mirror the clips that are drawn to be mirrored. Whether a clip is follows from the epoch alone."""
        if not self._config.flip:
            return planes
        lots = np.random.default_rng([self._config.training.seed, epoch, _FLIPS]).random(len(self._train))
        flipped = np.repeat(lots[segments] < self._config.flip, counts)
        found = planes.copy()
        found[flipped] = mirrored(planes[flipped])
        return found

    def _fits(self) -> bool:
        """Whether the gradient of a whole batch fits into memory."""
        count = self._train.count
        frames = int(np.sort(count)[-self._config.training.batch_size :].sum()) / self._peers.world
        of_frame = self._saved_bytes(2) - self._saved_bytes(1)
        return frames * of_frame <= MEMORY_FRACTION * free_bytes(self._teacher.device)

    def _saved_bytes(self, frames: int) -> int:
        """Bytes that the gradient of this many frames keeps in memory, weights included."""
        storages = dict[int, int]()

        def pack(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        images = torch.zeros(frames, 3, PLANE, PLANE, dtype=torch.uint8, device=self._teacher.device)
        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast(self._teacher.device.type, torch.bfloat16, enabled=self._bf16),
        ):
            kept = self._part(images)  # until here, or its memory would be used again and counted once
        del kept
        return sum(storages.values())
