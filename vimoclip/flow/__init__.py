"""Optical flow between two consecutive frames: how an estimator is chosen and made.

Which there are, `vimoclip.config.store.ESTIMATORS` says, a row each.
"""

import dataclasses
import importlib
from typing import TYPE_CHECKING, Any

from vimoclip.config.store import ESTIMATORS, FlowConfig
from vimoclip.flow.estimator import FlowEstimator

if TYPE_CHECKING:  # the decoder's process comes by here, and needs no torch
    import torch

    from vimoclip.device import Resolved


def resolve(config: FlowConfig, device: "torch.device") -> FlowConfig:
    """The settings with everything that was left open decided for the device.

    Raises:
        ModelError: no such weights. UsageError: settings of a network, where `auto` is none.
    """
    if config.estimator == "auto":
        config = dataclasses.replace(config, estimator="raft-large" if device.type == "cuda" else "dis")
    if not ESTIMATORS[config.estimator].is_network:
        return config
    resolved: FlowConfig = _class_of(config).resolve(config, device)
    return resolved


def make_estimator(config: FlowConfig, device: "torch.device", precision: "Resolved") -> FlowEstimator[Any]:
    """The estimator that `config`, resolved, names. Only its own module is imported.

    device, precision: of those that are networks.

    Raises:
        ModelError: its weights cannot be had.
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
