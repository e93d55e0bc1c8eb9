"""The behaviour space: what a run of train-fusion makes of the frames of a segment, before it names a behaviour.

The vector is the input of TFAM's head: the layers' output, pooled over time. It holds everything by which the classes
are told apart, and is as wide as the model. The head's own layers, LN → hidden → GELU → classes, keep what its classes
need and drop the rest, so behaviours that no label names would coincide after them.

A segment is read as training reads a video of these frames alone: t = 1 … T without its first frame, thinned evenly to
the run's most_frames; a single frame gives its image without motion (vimoclip/sequences/sequences.py). The arithmetic
is fp32: a segment has the same vector, to 1e-5 before it is rounded, whatever else is indexed.

The store keeps the run's model (vimoclip/store/models.py), so queries go through the model that the segments went
through.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.models import WEIGHTS, folder_of
from schemas.segments import MadeBy, MadeFrom
from vimoclip.errors import CheckpointError
from vimoclip.frames import FrameBatch
from vimoclip.models.checkpoint import Meta, read_checkpoint
from vimoclip.models.heads import FusionHead
from vimoclip.search.cosine import unit
from vimoclip.sequences.sequences import pack_windows, sample_window
from vimoclip.store import models
from vimoclip.store.feature_store import FeatureStore

BATCH = 32  # segments
_CPU = torch.device("cpu")


class BehaviourModel:
    """A trained fusion that gives segments their behaviour: a `vimoclip.search.segments.Pool`.

    Args:
        model: the fusion, with its head.
        meta: of its run.
        device: where to compute.
    """

    def __init__(self, model: FusionHead, meta: Meta, device: torch.device = _CPU) -> None:
        self._model, self._meta, self._device = model.to(device), meta, device

    def __call__(self, segments: Sequence[FrameBatch]) -> list[NDArray[np.float32] | None]:
        """Pool each segment to a unit vector, fp32 (d,); None where the model sees nothing."""
        found: list[NDArray[np.float32] | None] = []
        for first in range(0, len(segments), BATCH):
            steps = [sample_window(each, self._meta) for each in segments[first : first + BATCH]]
            found += [unit(each) for each in self._pooled(steps)]
        return found

    @torch.inference_mode()
    def _pooled(self, steps: list[FrameBatch]) -> NDArray[np.float32]:
        batch = pack_windows(steps, self._meta).to(self._device).batch(np.arange(len(steps)))
        found: NDArray[np.float32] = self._model.pooled(batch.vectors, batch.present).float().cpu().numpy()
        return found


def save_behaviour_model(store: FeatureStore, folder: Path) -> MadeBy:
    """Copy the model of a finished run into the store, meta.json last.

    Args:
        store: the snapshot; hold the write lock.
        folder: the run's.

    Returns:
        What to write into the settings of the segments.

    Raises:
        CheckpointError: the folder holds no finished run, or one on other features than the store's.
        StoreError: the model cannot be written.
    """
    model, meta = read_checkpoint(folder)
    meta.check(store.features)
    id = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16]
    models.save_model(store.place, id, folder)
    reads = {str(role): MadeFrom(source.name, source.fingerprint) for role, source in meta.features.items()}
    return MadeBy(id, model.width, reads)


def load_behaviour_model(store: FeatureStore, made: MadeBy, device: torch.device = _CPU) -> BehaviourModel:
    """Read the model that made the behaviour of the store's segments.

    Args:
        store: the snapshot.
        made: what the settings of the segments say of it.
        device: where to compute.

    Raises:
        CheckpointError: its files are missing or damaged, or it reads other features than the store's.
    """
    where = f"{store.place}/{folder_of(made.id)}"
    try:
        model, meta = read_checkpoint(models.model_files(store.place, made.id), where)
    except CheckpointError as error:
        raise CheckpointError(
            "The model of the behaviour space cannot be read.",
            received=error.what.rstrip("."),
            expected=f"the files of a finished run in {where}",
            hint="`vimoclip index --behaviour RUN` puts them there.",
        ) from error
    meta.check(store.features)
    return BehaviourModel(model, meta, device)
