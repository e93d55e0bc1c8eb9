"""The benchmark of sequences runs, on sizes at which its figures mean nothing, and its rivals read the same."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import sequences

pytestmark = pytest.mark.usefixtures("one_thread")


def test_sequences(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["script", "--videos", "16", "--frames", "4", "--turns", "1"])
    sequences.main()
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("in memory", "mapped files", "memmap", "HDF5"))


def test_all_paths_read_the_same(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 512)).astype(np.float32)
    chosen = np.array([2, 0])
    mapped = np.asarray(sequences.memmap(tmp_path / "m", 3, values)(chosen))
    packed = np.asarray(sequences.hdf5(tmp_path / "h", 3, values)(chosen))
    assert np.array_equal(mapped.transpose(0, 2, 1, 3), packed)
    assert np.array_equal(packed[1, 1], values.astype(np.float16))
