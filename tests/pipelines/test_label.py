"""Labels in a store: whose word they are, which clock they count from, and what copies of a video say."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import label
from pipelines.label import LabelReport
from schemas.labels import Label
from schemas.videos import Video
from tests.vimoclip.made_up_predictions import prediction, predictions
from tests.vimoclip.stores import make_store
from vimoclip.api import Store
from vimoclip.errors import LabelError
from vimoclip.prediction.export import Form, boris_rows
from vimoclip.store.labels import label_spans
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

ROWS = list[tuple[str, str, float | None, float | None, str, str | None]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """a.mp4, of 2 s, and b.mp4, of 4 s."""
    make_store(tmp_path / "store", {"a.mp4": 50, "b.mp4": 100})
    return tmp_path / "store"


def apply(store: Path, name: str, text: str) -> LabelReport:
    file = store.parent / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return label.run(store, file)


def rows(store: Path) -> ROWS:
    return Store.open(store).labels().select("video_id", "label", "start_s", "end_s", "source", "subject").rows()


def put(store: Path, *changed: Video) -> None:
    writer = StoreWriter(Store.open(store))
    writer.put(*changed)
    writer.flush()


def of(store: Path, video_id: str) -> Video:
    return next(row for row in Store.open(store).rows() if row.video_id == video_id)


HEADER = "filepath,label,start_s,end_s\n"


def test_each_source_keeps_its_own_word(store: Path) -> None:
    apply(store, "first.csv", "filepath,label\na.mp4,groom\nb.mp4,rest\n")
    apply(store, "second.csv", "filepath,label\na.mp4,groom\n")
    assert rows(store) == [
        ("a.mp4", "groom", None, None, "first.csv", None),
        ("a.mp4", "groom", None, None, "second.csv", None),
        ("b.mp4", "rest", None, None, "first.csv", None),
    ]
    report = apply(store, "first.csv", "filepath,label\na.mp4,\nb.mp4,rest\n")  # takes its word back, and no other's
    assert (report.labels, report.changed, report.taken_back) == (1, 1, 1)
    assert rows(store) == [
        ("a.mp4", "groom", None, None, "second.csv", None),
        ("b.mp4", "rest", None, None, "first.csv", None),
    ]
    assert verify(store) == []


def test_what_two_sources_say_counts_once(store: Path) -> None:
    for name in ("first.csv", "second.csv"):
        apply(store, name, HEADER + "a.mp4,groom,0.2,0.4\n")
    assert len(rows(store)) == 2
    assert [(span.label, span.start_s, span.end_s) for span in label_spans(Store.open(store))["a.mp4"]] == [
        ("groom", 0.2, 0.4)
    ]


def test_sources_that_disagree_on_a_span_are_told(store: Path) -> None:
    apply(store, "first.csv", HEADER + "a.mp4,groom,0.2,0.4\na.mp4,rest,1,1.5\nb.mp4,groom,0,1\n")
    report = apply(store, "second.csv", HEADER + "a.mp4,groom,0.2,0.8\na.mp4,rest,1,1.5\nb.mp4,groom,2,3\n")
    assert report.disagreeing == ["a.mp4: 'groom' from 0.2 s to 0.8 s, and first.csv has from 0.2 s to 0.4 s"]
    assert report.complete
    assert len(rows(store)) == 6


def test_sources_are_listed_and_taken_out(store: Path) -> None:
    apply(store, "first.csv", HEADER + "a.mp4,groom,0.2,0.4\na.mp4,groom,1,1.5\nb.mp4,rest,,\n")
    apply(store, "second.csv", "filepath,label\na.mp4,groom\n")
    assert [(s.source, s.labels, s.videos, s.classes, s.subjects) for s in label.sources(store)] == [
        ("first.csv", 3, 2, 2, 0),
        ("second.csv", 1, 1, 1, 0),
    ]
    assert label.remove_source(store, "first.csv") == 3
    assert rows(store) == [("a.mp4", "groom", None, None, "second.csv", None)]
    with pytest.raises(LabelError, match=r"Received: second.*second\.csv.*--sources"):
        label.remove_source(store, "second")
    assert rows(store) == [("a.mp4", "groom", None, None, "second.csv", None)]


def test_sources_that_write_a_label_with_other_capitals_are_told(store: Path) -> None:
    apply(store, "first.csv", "filepath,label\na.mp4,Groom\nb.mp4,Groom\n")
    report = apply(store, "second.csv", "filepath,label\na.mp4,groom\nb.mp4,rest\n")
    assert report.notes == ["labels 'groom' (1) and 'Groom' (2, from first.csv) differ by case alone"]


def test_splits_alone_are_counted(store: Path) -> None:
    report = apply(store, "splits.csv", "filepath,label,split\na.mp4,,train\nb.mp4,,val\n")
    assert (report.videos, report.labels, report.changed, report.splits, report.videos_changed) == (2, 0, 0, 2, 2)
    report = apply(store, "splits.csv", "filepath,label,split\na.mp4,,train\nb.mp4,,train\n")
    assert (report.splits, report.videos_changed) == (2, 1)


# The player's clock.

BORIS = "Media file name,Behavior,Behavior type,Time\n{0},groom,START,3.0\n{0},groom,STOP,4.0\n"


def test_boris_counts_from_the_beginning_of_the_file(store: Path) -> None:
    """A player shows 0 where sound begins, 2.5 s before the first picture."""
    put(store, replace(of(store, "b.mp4"), container_start_s=10.0, first_frame_s=12.5))
    assert apply(store, "e.csv", BORIS.format("b.mp4")).complete
    assert rows(store) == [("b.mp4", "groom", 0.5, 1.5, "e.csv", None)]
    apply(store, "own.csv", HEADER + "b.mp4,groom,3,4\n")  # our own files count from the first frame
    assert rows(store)[1:] == [("b.mp4", "groom", 3.0, 4.0, "own.csv", None)]


@pytest.mark.parametrize("form", ["aggregated", "tabular"])
def test_boris_events_of_predictions_come_back_where_they_were(store: Path, form: Form) -> None:
    """A file whose sound begins 2.3 s before its pictures: written on the player's clock, read from the first frame."""
    put(store, replace(of(store, "b.mp4"), container_start_s=0.1, first_frame_s=2.4))
    scores = [[n % 4 / 4 + 0.1, n // 4 / 2] for n in range(3)]
    made = prediction("b.mp4", [(n, n + 1.1) for n in range(3)], scores)
    made = replace(made, path="/videos/b.mp4", duration_s=4.0, fps=25.0, clock_offset_s=2.4 - 0.1)
    report = apply(store, "e.csv", boris_rows(predictions(made), form))
    assert report.complete and report.labels == len(made.bouts) > 0
    assert [row[1:4] for row in rows(store)] == sorted(
        ((bout.label, bout.start_s, bout.end_s) for bout in made.bouts), key=lambda bout: (bout[1], bout[0])
    )


def test_what_lies_before_the_first_picture_is_told(store: Path) -> None:
    put(store, replace(of(store, "b.mp4"), container_start_s=0.0, first_frame_s=3.6))
    report = apply(store, "e.csv", BORIS.format("b.mp4"))
    assert rows(store) == [("b.mp4", "groom", 0.0, 0.4, "e.csv", None)]
    assert report.past_end == [
        "b.mp4: 'groom' from 3 s to 4 s, and its first frame comes at 3.6 s of the player's clock"
    ]
    put(store, replace(of(store, "b.mp4"), container_start_s=0.0, first_frame_s=5.0))
    report = apply(store, "e.csv", BORIS.format("b.mp4"))
    assert (rows(store), len(report.past_end)) == ([], 1)


def test_labels_of_a_video_that_is_not_decoded_yet_wait_for_its_clock(store: Path) -> None:
    whole = of(store, "b.mp4")
    failed = replace(whole, status="failed", take=None, duration_s=None, error_kind="unreadable", error="cut short")
    put(store, failed)
    apply(store, "e.csv", BORIS.format("b.mp4"))
    (waiting,) = Store.open(store).label_rows()
    assert (waiting.start_s, waiting.clock, rows(store)) == (3.0, "player", [])
    put(store, replace(whole, container_start_s=0.0, first_frame_s=2.0))
    assert rows(store) == [("b.mp4", "groom", 1.0, 2.0, "e.csv", None)]  # readers see the right times at once
    assert verify(store) == []
    writer = StoreWriter(Store.open(store))
    writer.settle_labels()
    (settled,) = Store.open(store).label_rows()
    assert (settled.start_s, settled.end_s, settled.clock) == (1.0, 2.0, None)


# Copies.


def as_copy(store: Path) -> None:
    """b.mp4 becomes a copy of a.mp4."""
    row = of(store, "b.mp4")
    put(store, replace(row, status="duplicate", duplicate_of="a.mp4", take=None, frames=None, duration_s=None))


def test_a_copy_keeps_labels_and_split_of_its_own(store: Path) -> None:
    whole = of(store, "b.mp4")
    as_copy(store)
    report = apply(store, "l.csv", "filepath,label,split\na.mp4,groom,train\nb.mp4,rest,val\n")
    assert report.copies == [
        "b.mp4 is a copy of a.mp4, whose split is 'train', and has 'val'",
        "b.mp4 is a copy of a.mp4, which shows groom, and is said to show rest",
    ]
    assert [row[:2] for row in rows(store)] == [("a.mp4", "groom"), ("a.mp4", "rest")]
    assert Store.open(store).splits() == {"a.mp4": "train"}
    put(store, replace(whole, split=of(store, "b.mp4").split))  # it gets content of its own
    assert [row[:2] for row in rows(store)] == [("a.mp4", "groom"), ("b.mp4", "rest")]
    assert Store.open(store).splits() == {"a.mp4": "train", "b.mp4": "val"}


def test_a_copy_speaks_for_a_video_that_is_not_named(store: Path) -> None:
    as_copy(store)
    report = apply(store, "l.csv", "filepath,label,split,site\nb.mp4,rest,val,Taï\n")
    assert report.copies == []
    assert rows(store) == [("a.mp4", "rest", None, None, "l.csv", None)]
    seen = Store.open(store).videos()
    assert seen.select("video_id", "split", "site").rows() == [("a.mp4", "val", "Taï")]


def test_a_label_on_both_is_seen_once(store: Path) -> None:
    as_copy(store)
    assert apply(store, "l.csv", "filepath,label\na.mp4,rest\nb.mp4,rest\n").copies == []
    assert rows(store) == [("a.mp4", "rest", None, None, "l.csv", None)]
    assert len(Store.open(store).label_rows()) == 2


def test_the_key_tells_subjects_apart(store: Path) -> None:
    labels = [
        Label(video_id="a.mp4", label="groom", source="s", start_s=0.0, end_s=end, subject=who)
        for who, end in (("m1", 1.0), ("m2", 1.5), (None, 0.5))
    ]
    StoreWriter(Store.open(store)).set_labels(labels, ["a.mp4"], "s")
    assert {(row[3], row[5]) for row in rows(store)} == {(0.5, None), (1.0, "m1"), (1.5, "m2")}
    assert verify(store) == []


def test_times_before_the_first_frame_are_cut() -> None:
    whole = Label(video_id="a", label="x", source="s", clock="player")
    assert whole.from_first_frame(3.0) == replace(whole, clock=None)
    span = replace(whole, start_s=1.0, end_s=4.0)
    assert span.from_first_frame(3.0) == replace(span, start_s=0.0, end_s=1.0, clock=None)
    assert span.from_first_frame(4.0) is None
    assert span.from_first_frame(-1.0) == replace(span, start_s=2.0, end_s=5.0, clock=None)
    moment = replace(whole, start_s=3.0, end_s=3.0)
    assert moment.from_first_frame(3.0) == replace(moment, start_s=0.0, end_s=0.0, clock=None)
    assert moment.from_first_frame(3.1) is None
    assert math.isinf(whole.end_s)
