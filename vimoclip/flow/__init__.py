"""Optical flow between consecutive frames: choosing an estimator, and making it.

`vimoclip.config.store.ESTIMATORS` lists the estimators.

- `estimator`: the protocol of all estimators, and the size that frames are scaled to.
- `dis`: dense inverse search, for machines without a GPU.
- `raft`: RAFT, a network; its weights are in `raft_weights`.
- `frame_difference`: a cheap stand-in that is not motion.
- `encoding`: flow to bytes, and bytes to the image that the motion student sees.
"""

import dataclasses
import importlib
from typing import TYPE_CHECKING, Any

from vimoclip.config.store import ESTIMATORS, FlowConfig
from vimoclip.flow.estimator import FlowEstimator

if TYPE_CHECKING:  # the decoder's process imports this package, and does not need torch
    import torch

    from vimoclip.device import Resolved


def resolve(config: FlowConfig, device: "torch.device") -> FlowConfig:
    """Decide every setting that was left open, for this device.

    Args:
        config: the settings as they were asked for.
        device: the device that makes the store.

    Returns:
        The settings as a store keeps them.

    Raises:
        ModelError: there are no such weights.
        UsageError: a network's settings were given, and `auto` chose another estimator.
    """
    if config.estimator == "auto":
        config = dataclasses.replace(config, estimator="raft-large" if device.type == "cuda" else "dis")
    if not ESTIMATORS[config.estimator].is_network:
        return config
    resolved: FlowConfig = _class_of(config).resolve(config, device)
    return resolved


def make_estimator(config: FlowConfig, device: "torch.device", precision: "Resolved") -> FlowEstimator[Any]:
    """Make the estimator that the settings name. Only its own module is imported.

    Args:
        config: settings that `resolve` returned.
        device: where a network runs.
        precision: of a network.

    Raises:
        ModelError: the weights cannot be had.
    """
    made: FlowEstimator[Any]
    if ESTIMATORS[config.estimator].is_network:
        made = _class_of(config)(config, device, precision)
    else:
        made = _class_of(config)(config.max_width)
    return made


def _class_of(config: FlowConfig) -> Any:
    row = ESTIMATORS[config.estimator]
    return getattr(importlib.import_module(row.module), row.name)
