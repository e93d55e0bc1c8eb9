"""The benchmark of training runs, on sizes at which its figures mean nothing."""

import sys
from pathlib import Path

import pytest

from benchmarks.speed import train_fusion

pytestmark = pytest.mark.usefixtures("one_thread")


def test_training(
    shared_annotations: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["script", "--steps", "2", "--videos", "16", "--width", "16"])
    train_fusion.main()
    printed = capsys.readouterr().out
    assert "padding of an epoch of 24004 clips" in printed and "ours / plain" in printed
