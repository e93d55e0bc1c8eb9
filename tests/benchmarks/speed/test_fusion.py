"""The scripts about sequences and training run, on sizes at which their figures mean nothing."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.quality import table2
from benchmarks.quality.animal_kingdom import TRAIN, clips, lengths
from benchmarks.quality.animal_kingdom import sequences as animal_kingdom
from benchmarks.speed import sequences, train_fusion

pytestmark = pytest.mark.usefixtures("one_thread")


def run(script: object, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["script", *arguments])
    script.main()  # type: ignore[attr-defined]


def test_lengths_are_those_of_the_data_set_in_the_mean() -> None:
    assert lengths(24_004).mean() == pytest.approx(50 * 3600 / 30_100 * 30, rel=0.01)


def test_clips_are_the_published_ones(shared_annotations: Path) -> None:
    path = shared_annotations / "animal_kingdom" / TRAIN
    listed = clips(path)
    assert len(listed) == 24_004 and listed[0] == ("AAACXZTV.mp4", [2, 40])
    made = animal_kingdom(path, "cross", "raw", 30, torch.device("cpu"))
    labels = dict(listed)
    for video, video_id in enumerate(made.video_ids):
        assert made.targets[video].nonzero().flatten().tolist() == sorted(labels[video_id])
    batch = made.batch(np.arange(30))
    norms = batch.vectors["image"][batch.present["image"]].norm(dim=-1)
    assert norms.mean().item() == pytest.approx(10, rel=0.05) and batch.present["motion"].any()


def test_sequences(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(sequences, monkeypatch, "--videos", "16", "--frames", "4", "--turns", "1")
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("in memory", "mapped files", "memmap", "HDF5"))


def test_all_paths_read_the_same(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 512)).astype(np.float32)
    chosen = np.array([2, 0])
    mapped = np.asarray(sequences.memmap(tmp_path / "m", 3, values)(chosen))
    packed = np.asarray(sequences.hdf5(tmp_path / "h", 3, values)(chosen))
    assert np.array_equal(mapped.transpose(0, 2, 1, 3), packed)
    assert np.array_equal(packed[1, 1], values.astype(np.float16))


def test_training(
    shared_annotations: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(train_fusion, monkeypatch, "--steps", "2", "--videos", "16", "--width", "16")
    printed = capsys.readouterr().out
    assert "padding of an epoch of 24004 clips" in printed and "ours / plain" in printed


def test_table_2(shared_annotations: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(table2, monkeypatch, "--share", "0.0002", "--width", "16", "--threads", "1")
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("cross", "temporal", "embedding", "image", "motion"))
    assert "extrapolated from this share" in printed
