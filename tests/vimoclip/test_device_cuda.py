"""Every forward path on a CUDA device that is not there: nothing meets a tensor of another device, and no step waits for
the card by copying to the host. That this would be noticed is shown by leaving out each move to the device in turn.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.fake_cuda import CUDA, HostCopyError, fake_cuda, on_cuda, plants, step
from tests.models import write_tiny_clip
from tests.vimoclip.made_up_sequences import CONFIG, sequences
from vimoclip.config.fusion import HEADS, FusionConfig, LossConfig
from vimoclip.config.motion import MotionConfig
from vimoclip.config.store import ClipConfig, FlowConfig
from vimoclip.flow import raft
from vimoclip.flow.raft import Raft
from vimoclip.frames import Embeddings, FrameBatch
from vimoclip.models import clip, clip_text
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.clip_text import TextTower
from vimoclip.models.motion_student import MoClip, MotionStudent
from vimoclip.sequences import sequences as sequences_module
from vimoclip.sequences.sequences import Sequences
from vimoclip.training.fusion import Calibration, FusionTask, apply_calibration
from vimoclip.training.motion import MotionTask, Shown
from vimoclip.training.motion_dataset import ClipBatch

pytestmark = pytest.mark.slow

Path_ = Callable[[], None]
TIMM = {"timm_model_name": "test_efficientnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 64}
RESNET = {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64, "patch_size": None}
FRAMES = np.zeros((3, 40, 60, 3), np.uint8)
PLANES = np.full((3, 2, 224, 224), 128, np.uint8)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Within it, everything is fake. What reads weights has to be called before (`loaded`)."""
    with fake_cuda(monkeypatch):
        yield monkeypatch


@functools.cache
def loaded(model: str) -> tuple[Any, dict[str, Any]]:
    return clip.load_model(ClipConfig(model, clip.resolve_weights(ClipConfig(model)), precision="fp32"))
