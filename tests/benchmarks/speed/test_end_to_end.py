"""The script that types the commands from videos to Table 2, on a few short clips and a narrow model."""

import argparse
import sys
from pathlib import Path

import pytest

from benchmarks.speed import end_to_end

SMALL = ["--epochs", "1", "--seeds", "1", "--split", "test", "--clip-weights", "none"]
SMALL += ["--set", "tfam.width=16", "--set", "tfam.feed_forward=16", "--set", "tfam.layers=1"]


def test_with_a_student_it_is_taught_before_the_ablation(tmp_path: Path) -> None:
    asked = argparse.Namespace(
        videos=tmp_path, folder=tmp_path, student=True, clip_model="x", clip_weights="none", epochs=2, seeds=3, set=[]
    )
    found = end_to_end.commands(asked)
    assert [arguments[0] for arguments in found] == ["ingest", "train-motion", "embed", "ablate"]
    student = found[1][found[1].index("--run") + 1]
    assert found[2][found[2].index("--motion") + 1] == student and "--as" not in found[2]
    assert len({arguments[arguments.index("--store") + 1] for arguments in found}) == 1


def test_the_script(
    clips: Path,
    tiny_model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["e2e", str(clips), str(tmp_path), "--clip-model", tiny_model, *SMALL])
    end_to_end.main()
    printed = capsys.readouterr().out
    assert all(f"vimoclip {name}" in printed for name in ("ingest", "train-fusion", "ablate", "evaluate"))
    assert "| cross-attention |" in printed and "together" in printed
