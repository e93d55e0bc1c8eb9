"""How long the paper's Table 2 takes: its five rows, each trained for 30 epochs on Animal Kingdom and scored on
its val clips after every epoch.

    python -m benchmarks.quality.table2 [--device auto] [--share 1.0] [--epochs 30] [--threads 0]

Real labels; vectors and lengths are made up (animal_kingdom.py), so that no mAP is printed. Preset paper. On a GPU all
of it is run, and steps of full batches are CUDA graphs, one a length that is a multiple of 32. On a CPU a share of the
clips is trained for one epoch (--share 0.01 unless given), and the time of all is extrapolated, which the output says.

Nothing of third parties but torch and what it needs is imported, so that it runs where nothing else is installed. The
part that runs on a GPU has not been run: there was none at hand.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.common import describe_machine
from benchmarks.quality.animal_kingdom import LISTS, TRAIN, VAL, clips, lengths, sequences
from vimoclip.config.fusion import PRESETS, Fusion, FusionConfig, Modality
from vimoclip.device import cores, pick_device
from vimoclip.models.heads import FusionHead
from vimoclip.sequences.sequences import Batch, Sequences
from vimoclip.training.fusion import FusionTask, scores
from vimoclip.training.loop import Training
from vimoclip.training.losses import make_loss
from vimoclip.training.optimizer import training_precision

ROUNDED = 32  # steps, of the lengths that have a graph
EPOCHS = 30
OTHERS = {"av", "cv2", "lance", "lancedb", "open_clip", "polars", "ray", "safetensors", "torchmetrics", "torchvision"}


class GraphedTask(FusionTask):
    """The same task on a GPU: forward and backward of a full batch are one graph, of which there is one a length."""

    def __init__(self, config: FusionConfig, train: Sequences, held_out: None, device: torch.device) -> None:
        super().__init__(config, train, held_out, device)
        self._full, self._of = config.training.batch_size, make_loss(config.loss)
        self._graphs: dict[int, Callable[..., Tensor]] = {}
        self._bf16 = training_precision(config.training.precision, device) == "bf16"

    def loss(self, batch: NDArray[np.int64]) -> Tensor:
        """As of the task; a batch that is cut short is not worth a graph."""
        if len(batch) < self._full:
            return super().loss(batch)
        made = self.batch(batch)
        steps = -(-next(iter(made.vectors.values())).shape[1] // ROUNDED) * ROUNDED
        tensors = _flat(made, steps)
        # A graph holds the casts of the weights, which autocast would otherwise keep from an earlier step.
        with torch.autocast("cuda", torch.bfloat16, enabled=self._bf16, cache_enabled=False):
            if steps not in self._graphs:
                model = _Positional(self.model)
                graph = torch.cuda.make_graphed_callables(model, tuple(map(torch.clone, tensors)))
                self._graphs[steps] = cast(Callable[..., Tensor], graph)
            return self._of(self._graphs[steps](*tensors), made.targets)


class _Positional(nn.Module):
    """A head with tensors for arguments, as graphs take them: vectors of each role, then masks of each."""

    def __init__(self, model: FusionHead) -> None:
        super().__init__()
        self.model, self._roles = model, tuple(model.dims)

    def forward(self, *tensors: Tensor) -> Tensor:
        """Logits."""
        count = len(self._roles)
        vectors = dict[Modality, Tensor](zip(self._roles, tensors[:count], strict=True))
        logits: Tensor = self.model(vectors, dict(zip(self._roles, tensors[count:], strict=True)))
        return logits


def _flat(batch: Batch, steps: int) -> list[Tensor]:
    vectors = [nn.functional.pad(z, (0, 0, 0, steps - z.shape[1])) for z in batch.vectors.values()]
    return vectors + [nn.functional.pad(there, (0, steps - there.shape[1])) for there in batch.present.values()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--share", type=float, default=None, help="of the clips")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--width", type=int, default=512, help="of the model, smaller to try the script out")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    torch.set_num_threads(arguments.threads or cores())
    gpu = device.type == "cuda"
    share, epochs = arguments.share or (1.0 if gpu else 0.01), arguments.epochs or (EPOCHS if gpu else 1)
    whole = (share, epochs) == (1.0, EPOCHS)
    print(describe_machine())
    print(torch.cuda.get_device_name(device) if gpu else f"CPU, {torch.get_num_threads()} threads")
    print(f"{share:.2%} of {len(clips(LISTS / TRAIN))} + {len(clips(LISTS / VAL))} clips, {epochs} of {EPOCHS} epochs")
    total = 0.0
    for fusion in get_args(Fusion):
        trained, scored, of_all = _row(fusion, device, arguments.width, share, epochs)
        total += of_all
        print(f"{fusion:10} trained {trained:.1f} s, scored {scored:.1f} s; all {of_all / 3600:.2f} h", flush=True)
    print(f"Table 2: {total / 3600:.2f} h" + ("" if whole else ", extrapolated from this share of clips and epochs"))
    print(f"imported beside torch and pyarrow: {', '.join(OTHERS & sys.modules.keys()) or 'nothing'}")


def _row(fusion: Fusion, device: torch.device, width: int, share: float, epochs: int) -> tuple[float, float, float]:
    """Seconds of training, of scoring the test clips once, and of all clips and epochs, scored after each."""
    paper = PRESETS["paper"]
    tfam = replace(paper.tfam, fusion=fusion, width=width, feed_forward=4 * width)
    config = replace(paper, tfam=tfam, training=replace(paper.training, epochs=epochs))
    listed = {name: len(clips(LISTS / name)) for name in (TRAIN, VAL)}
    made = {name: sequences(LISTS / name, fusion, "raw", round(share * n), device) for name, n in listed.items()}
    task = (GraphedTask if device.type == "cuda" else FusionTask)(config, made[TRAIN], None, device)
    for videos in task.plan(0)[:2]:  # warms up
        Training(task, config.training, device).step(videos, config.training.lr)
    began = time.perf_counter()
    Training(task, config.training, device).run()
    trained = time.perf_counter() - began
    bf16 = training_precision(config.training.precision, device) == "bf16"
    began = time.perf_counter()
    scores(task.model, made[VAL].to(device), torch.bfloat16 if bf16 else torch.float32)
    scored = time.perf_counter() - began
    whole = {name: lengths(n).sum() / made[name].steps.sum() for name, n in listed.items()}
    return trained, scored, EPOCHS * (trained / epochs * whole[TRAIN] + scored * whole[VAL])


if __name__ == "__main__":
    main()
