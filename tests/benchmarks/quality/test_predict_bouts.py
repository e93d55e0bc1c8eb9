"""What bouts are compared by, against known answers; and the whole script on a minute of nothing much."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.predict_bouts import LATER, Count, compared, edges, joined, main, perfect, seen, write_long
from benchmarks.worlds.train_tiny import WORLDS_SEED
from schemas.labels import Span
from vimoclip.config.store import Sampling
from vimoclip.frames import VideoDone
from vimoclip.prediction.predictions import ScoredSpan
from vimoclip.savannah import FPS, plan
from vimoclip.video.decode import FrameChunk, decode

ROOT = Path(__file__).resolve().parents[3]


def test_the_best_bout_takes_a_span_and_half_of_the_union_is_enough() -> None:
    spans = [Span("walks", 0, 4), Span("walks", 10, 14), Span("rests", 4, 10)]
    bouts = [
        ScoredSpan("walks", 0, 8, score=0.9),  # 4 of 8
        ScoredSpan("walks", 1, 4, score=0.8),  # taken
        ScoredSpan("walks", 9, 18.5, score=0.7),  # 4 of 9.5
        ScoredSpan("rests", 0, 4, score=0.9),
        ScoredSpan("digs", 0, 4, score=0.9),
    ]
    found = compared(bouts, spans)
    assert found == {"walks": Count(1, 2, 1), "rests": Count(0, 1, 1), "digs": Count(0, 1, 0)}
    assert found["walks"].f1 == pytest.approx(2 / 5)
    assert sum(found.values(), Count()) == Count(1, 4, 2)
    exact = compared([ScoredSpan(span.label, span.start_s, span.end_s, score=1.0) for span in spans], spans)
    assert sum(exact.values(), Count()).f1 == 1.0 and Count().f1 == 0.0


def test_spans_that_touch_are_one() -> None:
    assert joined([Span("a", 2, 4), Span("b", 0, 1), Span("a", 0, 2), Span("a", 5, 6)]) == [
        Span("a", 0, 4),
        Span("a", 5, 6),
        Span("b", 0, 1),
    ]


def test_the_long_video_is_its_clips(tmp_path: Path) -> None:
    scenes = plan(2, 3, ("walking", "resting"))
    spans = write_long(tmp_path / "long.mp4", scenes)
    events = list(decode(tmp_path / "long.mp4", Sampling()))
    frames = np.concatenate([event.frames for event in events if isinstance(event, FrameChunk)])
    (info,) = (event.info for event in events if isinstance(event, VideoDone))
    assert info.decoded_frames == 96 and info.duration_s == pytest.approx(4)
    expected = next(iter(scenes[1].frames()))
    assert np.abs(frames[48].astype(int) - expected.astype(int)).mean() < 4
    assert {(span.label, span.start_s < 2) for span in spans} == {
        (scenes[0].behaviour, True),
        (scenes[1].behaviour, False),
    }
    assert max(span.end_s for span in spans) <= 96 / FPS


def test_the_direction_of_errors() -> None:
    spans = [Span("walks", 0, 4), Span("walks", 10, 14), Span("rests", 20, 24)]
    bouts = [
        ScoredSpan("walks", 0.5, 4.5, score=0.9),
        ScoredSpan("walks", 9.5, 15, score=0.8),
        ScoredSpan("rests", 20, 24, score=0.7),
        ScoredSpan("rests", 30, 31, score=0.6),  # about no span
    ]
    found = edges(bouts, spans)
    assert (found.bouts, found.start_s, found.end_s) == (4, 0, 0.5)
    assert found.early == pytest.approx(1 / 3) and found.late == pytest.approx(2 / 3)
    assert found.more_time == pytest.approx(2.5 / 12) and found.f1 == pytest.approx(6 / 7)


@pytest.mark.parametrize(("window", "stride", "f1", "more_time"), [(1.0, 0.25, 0.93, 0.16), (2.0, 0.25, 0.72, 0.40)])
def test_a_perfect_classifier_has_bouts_without_a_direction(
    window: float, stride: float, f1: float, more_time: float
) -> None:
    """On the film of RESULTS. The union of windows had F1 of 0.818 and 0.593, and 64% and 147% more time."""
    scenes = plan(300, LATER)
    spans = seen(scenes)
    assert len(spans) == 405
    windows = perfect(spans, 600.0, window, stride)
    now, before = edges(windows.bouts(0.5), spans), edges(windows.unions(0.5), spans)
    assert now.f1 >= f1 and abs(now.more_time) <= more_time
    assert abs(now.start_s) <= stride and abs(now.end_s) <= stride
    assert before.f1 < f1 - 0.1 and before.more_time > 3 * more_time
    assert before.start_s == pytest.approx(-window / 2) and before.end_s == pytest.approx(window / 2)


@pytest.mark.parametrize("seed", [WORLDS_SEED - LATER, WORLDS_SEED])
def test_the_world_of_vimoclip_tiny_is_refused(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--perfect", "--seed", str(seed)])
    assert "which vimoclip-tiny was trained on" in capsys.readouterr().err


def test_a_perfect_classifier_by_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--perfect", "--minutes", "0.2", "--clip-s", "2"])
    printed = capsys.readouterr().out
    assert "windows of 2 s, one every 0.5 s, of 0.2 minutes of 6 clips" in printed
    assert "before" in printed and "now" in printed


@pytest.mark.usefixtures("one_thread")
def test_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    small = ["--minutes", "0.1", "--clip-s", "2", "--train", "5", "--behaviours", "walking", "resting"]
    main([*small, "--epochs", "2", "--layers", "1", "--memory", "0.05", "--folder", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "144 frames, 0.1 minutes of 3 clips, 9 windows of 2 s" in printed
    assert "0.05 minutes, 72 frames: peak" in printed and "walking" in printed
    taken = ["--store", str(tmp_path / "store"), "--run", str(tmp_path / "run")]
    main([*small, *taken, "--memory", "--folder", str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[2:] == printed.splitlines()[2:-1]
    main([*taken, "--stored", "--window", "1", "--stride", "0.5"])
    assert "4 s of stored videos, 7 windows of 1 s" in capsys.readouterr().out
    for wrong in (taken[:2], ["--stored"]):
        with pytest.raises(SystemExit):
            main(wrong)
