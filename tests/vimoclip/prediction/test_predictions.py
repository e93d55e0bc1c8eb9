"""Windows to bouts, and predictions as tables."""

import itertools
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.labels import Span
from tests.vimoclip.made_up_predictions import prediction, predictions
from vimoclip.prediction.predictions import predicted_bouts, spoken_for
from vimoclip.store.labels import held_by
from vimoclip.windows import spans


def test_bouts_against_a_known_answer() -> None:
    starts = np.arange(8.0)
    walks = [0.9, 0.8, 0.1, 0.1, 0.1, 0.6, 0.2, 0.7]
    rests = [0.1, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1]
    found = predicted_bouts(["walks", "rests"], starts, starts + 2, np.array([walks, rests], np.float32).T, 0.5)
    assert [(bout.label, bout.start_s, bout.end_s) for bout in found] == [
        ("walks", 0.0, 2.5),  # from the beginning to the middle between 1 to 3 and 2 to 4
        ("rests", 3.5, 4.5),
        ("walks", 5.5, 6.5),
        ("walks", 7.5, 9.0),  # to the end; 6 to 8, which lies between, does not walk
    ]
    assert np.allclose([bout.score for bout in found], [0.9, 0.5, 0.6, 0.7])
    assert predicted_bouts(["walks"], starts, starts + 1, np.zeros((8, 1), np.float32), 0.5) == ()


@pytest.mark.parametrize(
    ("window", "stride", "event", "expected"),
    [
        (2.0, 0.5, (10.1, 12.1), [(10.25, 12.25)]),  # as long as a window; all of its windows: 9.5 to 13
        (2.0, 0.5, (10.1, 16.1), [(10.25, 16.25)]),
        (2.0, 0.5, (10.1, 10.7), [(9.25, 11.25)]),  # shorter than a window: it lasts a window; all: 8.5 to 12
        (2.0, 0.5, (0.0, 3.1), [(0.0, 3.25)]),  # from the beginning of the video
        (2.0, 0.5, (16.9, 20.0), [(16.75, 20.0)]),  # to its end
        (2.0, 1.9, (16.3, 20.0), [(17.15, 20.0)]),  # where the last window begins less than a stride after another
        (2.0, 2.0, (10.1, 14.1), [(10.0, 14.0)]),  # windows that touch speak for themselves
        (1.0, 4.0, (7.0, 13.0), [(8.0, 9.0), (12.0, 13.0)]),  # and nothing is said about what lies between others
        (30.0, 15.0, (2.0, 18.0), [(0.0, 20.0)]),  # one window
    ],
)
def test_a_bout_begins_and_ends_when_its_event_does(
    window: float, stride: float, event: tuple[float, float], expected: list[tuple[float, float]]
) -> None:
    """By a perfect classifier, within half a stride, and not always too early and too late."""
    starts, ends = spans(20.0, window, stride)
    held = held_by(Span("walks", *event), starts, ends)
    found = predicted_bouts(["walks"], starts, ends, held[:, None].astype(np.float32), 0.5)
    assert [(bout.start_s, bout.end_s) for bout in found] == expected


def test_two_events_with_a_pause_are_two_bouts() -> None:
    """A pause of half a window is seen; the windows of both overlap."""
    starts, ends = spans(20.0, 2.0, 0.25)
    held = held_by(Span("walks", 4.1, 8.1), starts, ends) | held_by(Span("walks", 9.2, 13.0), starts, ends)
    found = predicted_bouts(["walks"], starts, ends, held[:, None].astype(np.float32), 0.5)
    assert [(bout.start_s, bout.end_s) for bout in found] == [(4.125, 8.125), (9.125, 13.125)]


def test_no_moment_is_spoken_for_twice() -> None:
    starts, ends = np.array([0.0, 1.0, 4.0, 4.5]), np.array([2.0, 3.0, 6.0, 6.5])  # nothing was seen from 3 s to 4 s
    from_s, to_s = spoken_for(starts, ends)
    assert from_s.tolist() == [0.0, 1.5, 4.0, 5.25] and to_s.tolist() == [1.5, 3.0, 5.25, 6.5]


SCORES = st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.5, 0.7]), st.sampled_from([0.0, 0.49, 0.5, 1.0])), min_size=1)


@settings(max_examples=150, deadline=None)
@given(SCORES, st.integers(1, 9), st.integers(1, 9))
def test_they_cover_exactly_the_moments_whose_nearest_window_is_above_the_threshold(
    scores: list[tuple[float, float]], window: int, stride: int
) -> None:
    duration = ((len(scores) - 1) * stride + window) * 0.1
    starts, ends = spans(duration, window * 0.1, stride * 0.1)
    assert len(starts) == len(scores)
    middles = (starts + ends) / 2
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
            holding = np.flatnonzero((starts <= at) & (at < ends))
            nearest = holding[np.abs(middles[holding] - at).argsort()[:1]]
            assert covered == bool(np.isin(nearest, above).any())
        for bout in own:
            inside = [scores[one][n] for one in above if bout.start_s < middles[one] < bout.end_s]
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
