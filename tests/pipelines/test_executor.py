"""Which engine an ingest takes."""

import pytest
import torch

from pipelines.executor import Engine, is_ray
from vimoclip.config.store import RunConfig
from vimoclip.errors import UsageError


@pytest.mark.parametrize(
    ("gpus", "engine", "device", "expected"),
    [
        (0, Engine(), "auto", False),
        (1, Engine(), "auto", False),
        (2, Engine(), "auto", True),
        (2, Engine(), "cuda:1", False),
        (2, Engine(), "cpu", False),
        (2, Engine("in-process"), "auto", False),
        (0, Engine("ray"), "auto", True),
        (0, Engine(workers=2), "auto", True),
        (0, Engine(address="auto"), "auto", True),
    ],
)
def test_ray_is_for_several_gpus_or_for_those_who_ask(
    gpus: int, engine: Engine, device: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert is_ray(RunConfig(device=device), engine) is expected


def test_settings_that_no_engine_has_are_refused() -> None:
    with pytest.raises(UsageError, match="--workers cannot be negative"):
        Engine("ray", workers=-1)
    with pytest.raises(UsageError, match=r"--engine in-process.*Received: --workers 2"):
        Engine("in-process", workers=2)
    with pytest.raises(UsageError, match="Received: --ray-address auto"):
        Engine("in-process", address="auto")
