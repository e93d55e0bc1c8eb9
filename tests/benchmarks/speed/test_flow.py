"""The rendered motion of the flow benchmark is the motion it says it is, and the script runs."""

import subprocess
import sys

import numpy as np
import pytest

from benchmarks.speed.flow import MARGIN, Motion, frames, motions, truth
from vimoclip.flow.dis import Dis
from vimoclip.import_guard import HOME

SIZE = (160, 128)
LARGER = (320, 192)


def test_truth_against_formulas_of_its_own() -> None:
    named = {motion.name: truth(motion, SIZE) for motion in motions(SIZE)}
    assert np.allclose(named["moved by (3.3, -1.7) px"], (3.3, -1.7))
    zoomed = named["zoomed by 1.04"]
    assert np.allclose(zoomed[0, 0], (-79.5 * 0.04, -63.5 * 0.04))  # away from the middle
    turned = named["turned by 2.0°"]
    radius = np.hypot(79.5, 63.5)
    assert np.linalg.norm(turned[0, 0]) == pytest.approx(2 * radius * np.sin(np.deg2rad(1)))  # a chord
    assert np.linalg.norm(turned[63:65, 79:81], axis=-1).max() < 0.03


@pytest.mark.parametrize("motion", motions(SIZE), ids=lambda motion: motion.name)
def test_the_frames_move_as_the_truth_says(motion: Motion) -> None:
    first, second = frames(motion, SIZE, 1)
    true = truth(motion, SIZE)
    # Where a pixel of the first frame lands, the second frame shows the same.
    rows, columns = np.mgrid[32:96:5, 32:128:5]
    x, y = columns + true[rows, columns, 0], rows + true[rows, columns, 1]
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    dx, dy = (x - x0)[..., None], (y - y0)[..., None]
    there = (second[y0, x0] * (1 - dx) + second[y0, x0 + 1] * dx) * (1 - dy)
    there = there + (second[y0 + 1, x0] * (1 - dx) + second[y0 + 1, x0 + 1] * dx) * dy
    moved = np.abs(there - first[rows, columns]).mean()
    unmoved = np.abs(second[rows, columns].astype(float) - first[rows, columns]).mean()
    assert moved < 5 and moved < unmoved


DIS_ERRORS = {
    "moved by (0.5, 0.25) px": 0.079,
    "moved by (3.3, -1.7) px": 0.048,
    "moved by (12.4, 5.1) px": 0.071,
    "turned by 0.5°": 0.045,
    "turned by 2.0°": 0.104,
    "zoomed by 1.01": 0.054,
    "zoomed by 1.04": 0.115,
    "zoomed by 0.97": 0.104,
}
"""Mean end-point errors in pixels, as measured on 2026-11-25."""


@pytest.mark.parametrize("motion", motions(LARGER), ids=lambda motion: motion.name)
def test_dis_finds_the_motion_about_as_well_as_was_measured(motion: Motion) -> None:
    estimator = Dis(640)
    first, second = (estimator.prepare(frame) for frame in frames(motion, LARGER, 1))
    apart = np.linalg.norm(estimator.flow(first, second) - truth(motion, LARGER), axis=-1)
    assert apart[MARGIN:-MARGIN, MARGIN:-MARGIN].mean() < 1.5 * DIS_ERRORS[motion.name]


def test_the_script_prints_ratios_and_errors() -> None:
    for arguments, says in (
        (
            ["speed", "--size", "128x128", "--pairs", "2", "--turns", "1"],
            "raft-small, 128x128, 12 updates, batches of 2",
        ),
        (["truth", "--size", "320x192", "--turns", "1"], "dis, zoomed by 0.97"),
    ):
        command = [sys.executable, "-m", "benchmarks.speed.flow", *arguments]
        done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert says in done.stdout
