"""Windows to bouts, and predictions as tables."""

import itertools
import json

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vimoclip.made_up_predictions import prediction, predictions
from vimoclip.prediction.predictions import predicted_bouts
from vimoclip.windows import spans


def test_bouts_against_a_known_answer() -> None:
    starts = np.arange(8.0)
    walks = [0.9, 0.8, 0.1, 0.1, 0.1, 0.6, 0.2, 0.7]
    rests = [0.1, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1]
    found = predicted_bouts(["walks", "rests"], starts, starts + 2, np.array([walks, rests], np.float32).T, 0.5)
    assert [(bout.label, bout.start_s, bout.end_s) for bout in found] == [
        ("walks", 0.0, 3.0),  # 0 to 2 and 1 to 3
        ("rests", 3.0, 5.0),
        ("walks", 5.0, 9.0),  # 5 to 7 touches 7 to 9
    ]
    assert np.allclose([bout.score for bout in found], [0.9, 0.5, 0.7])
    assert predicted_bouts(["walks"], starts, starts + 1, np.zeros((8, 1), np.float32), 0.5) == ()


SCORES = st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.5, 0.7]), st.sampled_from([0.0, 0.49, 0.5, 1.0])), min_size=1)


@settings(max_examples=150, deadline=None)
@given(SCORES, st.integers(1, 9), st.integers(1, 9))
def test_they_cover_exactly_the_windows_above_the_threshold(
    scores: list[tuple[float, float]], window: int, stride: int
) -> None:
    duration = ((len(scores) - 1) * stride + window) * 0.1
    starts, ends = spans(duration, window * 0.1, stride * 0.1)
    assert len(starts) == len(scores)
    found = predicted_bouts("ab", starts, ends, np.array(scores, np.float32), 0.5)
    assert list(found) == sorted(found, key=lambda bout: (bout.start_s, bout.label))
    for n, label in enumerate("ab"):
        own = [bout for bout in found if bout.label == label]
        above = [at for at, both in enumerate(scores) if np.float32(both[n]) >= 0.5]
        assert all(0 <= bout.start_s < bout.end_s <= duration + 1e-6 for bout in own)
        assert all(one.end_s < other.start_s for one, other in itertools.pairwise(own))
        for tick in range(round(duration * 20)):  # the middles of twentieths of a second
            at = (tick + 0.5) / 20
            covered = any(bout.start_s <= at < bout.end_s for bout in own)
            assert covered == any(starts[one] <= at < ends[one] for one in above)
        for bout in own:
            inside = [scores[one][n] for one in above if bout.start_s - 1e-6 <= starts[one] < bout.end_s]
            assert np.float32(bout.score) == np.float32(max(inside))


def test_tables() -> None:
    found = predictions(
        prediction("a.mp4", [(0, 2), (1, 3)], [[0.9, 0.2], [0.6, 0.1]]),
        prediction("b.mp4", [(0, 1.5)], [[0.1, 0.2]]),
        window_s=2.0,
    )
    assert found.frame().rows() == [
        ("a.mp4", "walks", float(np.float32(0.9))),
        ("a.mp4", "rests", float(np.float32(0.2))),
        ("b.mp4", "rests", float(np.float32(0.2))),
        ("b.mp4", "walks", float(np.float32(0.1))),
    ]
    assert found.frame(1)["label"].to_list() == ["walks", "rests"]
    assert found.bouts().select("video", "start_s", "end_s", "label").rows() == [("a.mp4", 0.0, 3.0, "walks")]
    assert found.windows().columns == ["video", "start_s", "end_s", "p(walks)", "p(rests)"]
    assert found.windows().filter(pl.col("video") == "a.mp4")["p(walks)"].to_list() == [
        np.float32(0.9),
        np.float32(0.6),
    ]
    document = json.loads(json.dumps(found.to_dict(1)))
    assert [len(video["labels"]) for video in document["videos"]] == [1, 1]
    assert document["videos"][0]["bouts"][0] | {"score": 0} == {
        "label": "walks", "start_s": 0.0, "end_s": 3.0, "score": 0
    }  # fmt: skip
    assert "walks" in repr(found) and len(found[:1]) == 1


def test_nothing_was_predicted() -> None:
    found = predictions()
    assert found.frame().is_empty() and found.bouts().is_empty() and found.windows().is_empty()
