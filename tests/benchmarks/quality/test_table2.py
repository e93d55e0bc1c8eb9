"""The benchmark of Table 2 runs, on a share of the clips at which its figures mean nothing."""

import sys
from pathlib import Path

import pytest

from benchmarks.quality import table2

pytestmark = pytest.mark.usefixtures("one_thread")


def test_table_2(shared_annotations: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["script", "--share", "0.0002", "--width", "16", "--threads", "1"])
    table2.main()
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("cross", "temporal", "embedding", "image", "motion"))
    assert "extrapolated from this share" in printed
