"""The script of calibration: what it draws, and one small run."""

import sys

import pytest
import torch

from benchmarks.quality import calibration
from benchmarks.quality.calibration import CLASSES, STEPS, made_up


def test_noise_shows_nothing_and_learnable_labels_are_in_the_vectors() -> None:
    learnable, noise = made_up(300, 49, "learnable"), made_up(300, 49, "noise")
    assert torch.equal(learnable.targets, noise.targets) and learnable.targets.shape == (300, CLASSES)
    assert 1 <= int(noise.targets.sum(dim=1).min()) <= int(noise.targets.sum(dim=1).max()) <= 3
    means = [
        part.float().view(300, STEPS, -1).mean(1)
        for part in learnable.rows.parts  # type: ignore[attr-defined]
    ]
    shown = learnable.targets[:, 0] == 1
    assert (means[0][shown].mean(0) - means[0][~shown].mean(0)).norm() > 0.3


@pytest.mark.usefixtures("one_thread")
def test_the_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--videos", "12", "--epochs", "1", "--width", "16", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", ["calibration", *asked])
    calibration.main()
    printed = capsys.readouterr().out
    assert "learnable labels, 12 training videos" in printed and "noise labels" in printed
    assert all(way in printed for way in ("raw", "train", "unseen", "further videos"))
