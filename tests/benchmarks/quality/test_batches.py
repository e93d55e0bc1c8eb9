"""What the batches before are, by the review's own figures, and what the script prints of those now."""

import sys

import numpy as np
import pytest

from benchmarks.quality import batches
from benchmarks.quality.animal_kingdom import lengths
from benchmarks.quality.batches import before, cut_batches, now, tenths


def test_before_the_weights_followed_the_lengths() -> None:
    steps = lengths(41)
    found = before(steps, 8, 0)
    assert found.steps == 14 and found.weights.max() / found.weights.min() == pytest.approx(7)
    shortest, middle, longest = tenths(steps, found.weights)
    assert shortest > 1.3 and longest > 1.5 and middle < 0.7
    assert sorted(np.concatenate(cut_batches(steps, 8, 49, 0)).tolist()) == list(range(41))


@pytest.mark.parametrize("videos", [9, 41, 200])
def test_now_all_are_1(videos: int) -> None:
    found = now(lengths(videos), 8, 3)
    assert found.steps == -(-videos // 8) and found.alone == 0 and found.padding <= 0.05
    np.testing.assert_allclose(found.weights, 1, rtol=1e-5)


def test_the_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["batches", "--videos", "41", "--epochs", "1"])
    batches.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if "│ 41" in line]
    assert (
        len(rows) == 2 and " before " in rows[0] and " 14.0 " in rows[0] and " now " in rows[1] and " 1.00 " in rows[1]
    )
