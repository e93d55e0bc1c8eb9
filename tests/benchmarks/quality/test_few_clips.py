"""What is trained on is never scored."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import few_clips
from tests.pipelines.test_train_fusion import labelled
from tests.vimoclip.made_up_sequences import sequences


def test_no_clip_is_scored_by_a_model_that_was_trained_on_it() -> None:
    made = sequences(60, 1)
    made.video_ids = [f"clips/{n}_{n % 7}_1.avi" for n in range(60)]
    for by, count in (("sequence", 7), ("folds", 5)):
        parts = list(few_clips.cuts(made, by, 0, 0, 0))
        assert len(parts) == count and sorted(np.concatenate([test for _, test in parts]).tolist()) == list(range(60))
        assert all(sorted([*train.tolist(), *test.tolist()]) == list(range(60)) for train, test in parts)
    assert all(len({n % 7 for n in test}) == 1 for _, test in few_clips.cuts(made, "sequence", 0, 0, 0))
    ((train, test),) = few_clips.cuts(made, "draw", 3, 20, 30)
    assert (len(train), len(test), len(set(train) | set(test))) == (20, 30, 50)


def test_it_prints_a_line_a_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = "linear,linear without thirds,prototype,cross"
    words = ["few_clips", str(labelled(tmp_path)), "--heads", heads, "--epochs", "1", "--width", "16"]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setenv("COLUMNS", "160")
    few_clips.main()
    said = capsys.readouterr().out
    assert "23 clips, 3 classes, one a clip" in said
    for head in heads.split(","):
        assert re.search(rf"{head} +│ +\d+\.\d │ +\d+–\d+ │ +\d+\.\d │ +\d+\.\d │", said)
