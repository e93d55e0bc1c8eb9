"""The behaviour space: what a run of train-fusion makes of the frames of a segment, before it names a behaviour.

The vector is what TFAM's head is given: the layers' output, pooled over time. All that the classes are told apart by is
in it, and it is as wide as the model. The head's own layers, LN → hidden → GELU → classes, keep what its classes need
and drop the rest, so that behaviours which no label names would fall together after them.

A segment is read as training reads a video of these frames alone: t = 1 … T without its first frame, thinned evenly to
the run's most_frames; of a single frame the image without motion (vimoclip/steps.py). The arithmetic is fp32: a
segment has the same vector, to 1e-5 before it is rounded, whatever else is indexed.

A run's two files are copied into the store, `models/<id>/`: so a store that is moved takes them along, and queries go
through the model that the segments went through.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.segments import MadeBy, MadeFrom
from vimoclip.checkpoint import META, WEIGHTS, Meta, read_checkpoint
from vimoclip.cosines import unit
from vimoclip.errors import CheckpointError
from vimoclip.frame_vectors import FrameVectors
from vimoclip.fusion_config import Role
from vimoclip.place import Place
from vimoclip.steps import Steps
from vimoclip.store import FeatureStore
from vimoclip.tfam import Tfam

MODELS = "models"
TOGETHER = 32  # segments
_CPU = torch.device("cpu")


class BehaviourModel:
    """A `vimoclip.frame_vectors.Pool`."""

    def __init__(self, model: Tfam, meta: Meta, device: torch.device = _CPU) -> None:
        self._model, self._device = model.to(device), device
        self._sequences = meta.config.sequences
        self._features: dict[Role, str] = {role: source.name for role, source in meta.features.items()}

    def __call__(self, segments: Sequence[FrameVectors]) -> list[NDArray[np.float32] | None]:
        found: list[NDArray[np.float32] | None] = []
        for first in range(0, len(segments), TOGETHER):
            pooled = self._pooled([self._steps(each) for each in segments[first : first + TOGETHER]])
            found += [unit(each) for each in pooled]
        return found

    def _steps(self, frames: FrameVectors) -> FrameVectors:
        """Those of the frames that are read, in memory of their own."""
        count = np.array([len(frames)], np.int64)
        found = frames.at(Steps.of(np.zeros(1, np.int64), count, self._sequences.most_frames).indices(0))
        if len(frames) == 1 and "motion" in self._features:
            found.norms[self._features["motion"]][:] = 0
        return found

    @torch.inference_mode()
    def _pooled(self, segments: list[FrameVectors]) -> NDArray[np.float32]:
        steps = max(map(len, segments))
        vectors, present = dict[Role, torch.Tensor](), dict[Role, torch.Tensor]()
        for role, name in self._features.items():
            values = np.zeros((len(segments), steps, segments[0].values[name].shape[1]), np.float32)
            norms = np.zeros((len(segments), steps), np.float32)
            for n, each in enumerate(segments):
                values[n, : len(each)], norms[n, : len(each)] = each.values[name], each.norms[name]
            values[norms == 0] = 0  # a vector that is not there is NaN
            if self._sequences.lengths == "raw":
                values *= norms[..., None]
            vectors[role] = torch.from_numpy(values).to(self._device)
            present[role] = torch.from_numpy(norms > 0).to(self._device)
        found: NDArray[np.float32] = self._model.pooled(vectors, present).float().cpu().numpy()
        return found


def keep(store: FeatureStore, folder: Path) -> MadeBy:
    """Copy the model of a finished run into the store, meta.json last, and say what it is.

    Raises:
        CheckpointError: no finished run, or one on other features than the store's. StoreError: it cannot be written.
    """
    model, meta = read_checkpoint(folder)
    meta.check(store.features)
    weights = (folder / WEIGHTS).read_bytes()
    id = hashlib.sha256(weights).hexdigest()[:16]
    if store.place.read(f"{MODELS}/{id}/{META}") is None:
        store.place.write(f"{MODELS}/{id}/{WEIGHTS}", weights)
        store.place.write(f"{MODELS}/{id}/{META}", (folder / META).read_bytes())
    reads = {str(role): MadeFrom(source.name, source.fingerprint) for role, source in meta.features.items()}
    return MadeBy(id, model.config.width, reads)


def load(store: FeatureStore, made: MadeBy, device: torch.device = _CPU) -> BehaviourModel:
    """The model of the store's segments.

    Raises:
        CheckpointError: its files are not in the store, are damaged, or are of other features than the store's.
    """
    model, meta = _read(store.place, made.id)
    meta.check(store.features)
    return BehaviourModel(model, meta, device)


def _read(at: Place, id: str) -> tuple[Tfam, Meta]:
    where = f"{MODELS}/{id}"
    with tempfile.TemporaryDirectory() as folder:
        for name in (WEIGHTS, META):
            if (data := at.read(f"{where}/{name}")) is None:
                raise _lost(at, where, f"no {name}")
            (Path(folder) / name).write_bytes(data)
        try:
            return read_checkpoint(Path(folder))
        except CheckpointError as error:
            raise _lost(at, where, error.what.replace(folder, where)) from error


def _lost(at: Place, where: str, received: str) -> CheckpointError:
    return CheckpointError(
        "The model of the behaviour space cannot be read.",
        received=received,
        expected=f"the files of a finished run in {at}/{where}",
        hint="`vimoclip index --behaviour RUN` puts them there.",
    )
