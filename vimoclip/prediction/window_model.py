"""WindowModel: a trained run's model, which names the behaviours of windows.

A window is scored as the video of its frames alone would be, by the very function that evaluates (fusion_task.scores):
logits in fp32, and of them the sigmoid, or the softmax for a run of cross-entropy.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.features import Feature
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.errors import RunError
from vimoclip.frames import FrameVectors
from vimoclip.models.checkpoint import META, read_checkpoint
from vimoclip.sequences.sequences import sequences_of, steps_of
from vimoclip.store.feature_store import FeatureStore
from vimoclip.training.fusion import scores
from vimoclip.training.loop import STATE


class WindowModel:
    """Attributes: `features`, those of the store that it reads; `classes`, the labels, in the order of its outputs.

    Raises:
        CheckpointError: no run's model, or of other features than the store has. RunError: the run is not finished.
        ConfigError: no such device.
    """

    def __init__(self, store: FeatureStore, folder: Path, run: RunConfig) -> None:
        if (folder / STATE).exists() and not (folder / META).exists():
            raise RunError(
                f"The run in {folder} is not finished.",
                expected="a run that has its model",
                hint="The `vimoclip train-fusion` that began it goes on with it.",
            )
        model, self._meta = read_checkpoint(folder)
        self._meta.check(store.features)
        set_threads(run)
        self._device = pick_device(run.device)
        self._model = model.to(self._device)
        self.features: list[Feature] = [store.features[source.name] for source in self._meta.features.values()]
        self.classes = tuple(self._meta.classes)

    def steps(self, window: FrameVectors) -> FrameVectors:
        """What it reads of a window."""
        return steps_of(window, self._meta)

    def probabilities(self, steps: Sequence[FrameVectors]) -> NDArray[np.float32]:
        """fp32 (n, C) of n windows, of each of which these are the steps."""
        logits = scores(self._model, sequences_of(steps, self._meta).to(self._device))
        one = self._meta.config.loss.name == "cross-entropy"
        found: NDArray[np.float32] = (logits.softmax(dim=1) if one else logits.sigmoid()).numpy()
        return found
