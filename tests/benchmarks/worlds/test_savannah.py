"""The script runs, and its sheet shows the clips."""

import subprocess
import sys
from pathlib import Path

import cv2

from vimoclip.import_guard import HOME
from vimoclip.savannah import SIZE


def test_it_prints_rates_and_writes_a_sheet_and_a_folder(tmp_path: Path) -> None:
    arguments = ["--clips", "1", "--flow", "--sheet", str(tmp_path / "sheet.png"), "--encode", str(tmp_path / "clips")]
    command = [sys.executable, "-m", "benchmarks.worlds.savannah", *arguments]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a second of processor time") == 3
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.shape == (SIZE[1] + 20, 8 * SIZE[0], 3)
    assert {path.name for path in (tmp_path / "clips").iterdir()} == {"clip-0000.mp4", "labels.csv"}
