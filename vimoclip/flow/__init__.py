"""Optical flow between two consecutive frames: which estimators there are, and how one is chosen."""

import dataclasses
from typing import TYPE_CHECKING, Any, assert_never

from vimoclip.config.store import FlowConfig
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
    if config.estimator not in ("raft-large", "raft-small"):
        return config
    from vimoclip.flow.raft_weights import resolve_weights

    return dataclasses.replace(
        config,
        weights=resolve_weights(config.estimator, config.weights),
        updates=config.updates or 12,
        # On a CPU two at once save a tenth, and more no more; on a GPU a pair of small frames leaves most of it idle.
        batch_size=config.batch_size or (2 if device.type == "cpu" else 8),
    )


def make_estimator(config: FlowConfig, device: "torch.device", precision: "Resolved") -> FlowEstimator[Any]:
    """The estimator that `config`, resolved, names. Only its own module is imported.

    device, precision: of those that are networks.

    Raises:
        ModelError: its weights cannot be had.
    """
    assert config.estimator != "auto"
    match config.estimator:
        case "dis":
            from vimoclip.flow.dis import Dis

            return Dis(config.max_width)
        case "frame-difference":
            from vimoclip.flow.frame_difference import FrameDifference

            return FrameDifference(config.max_width)
        case "raft-large" | "raft-small":
            from vimoclip.flow.raft import Raft

            return Raft(config, device, precision)
        case _:
            assert_never(config.estimator)
