"""Our own file as people write it: columns of times, missing words, splits, subjects, row numbers and encodings."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import Span
from tests.vimoclip.annotations.files import refusal, spans, workbook, write
from vimoclip.annotations import Annotations, read
from vimoclip.annotations.csv_columns import seconds

WHOLE = (-math.inf, math.inf)


def labels(folder: Path, header: str, *rows: str) -> Annotations:
    return read(write(folder, "labels.csv", "\n".join([header, *rows]) + "\n"))


@pytest.mark.parametrize(
    "names",
    [
        "start_s,end_s", "start,stop", "start_time,end_time", "time_start,time_end", "Start (s),Stop (s)",
        "st_time,ed_time", "t_start,t_end", "startTime,endTime", "STARTTIME,ENDTIME", "begin,end",
        "Begin Time - ss.msec,End Time - ss.msec",
        "onset,offset", "onset_s,offset_s", "start [s],end [s]", "start_sec,end_sec", "start_seconds,stop_seconds",
        "event_start,event_end", "bout_onset (s),bout_offset (s)", "from,to", "begin_time,finish_time",
    ],
)  # fmt: skip
def test_spans_under_the_names_that_people_use(tmp_path: Path, names: str) -> None:
    for cells in ("0.2,0.4", "0:00.2,0:00.4", "00:00:00.200,00:00:00.400"):
        annotations = labels(tmp_path, f"filepath,label,{names}", f"a.avi,groom,{cells}", "b.avi,rest,,")
        assert spans(annotations) == {"a.avi": [("groom", 0.2, 0.4)], "b.avi": [("rest", *WHOLE)]}
        assert [video.metadata for video in annotations.videos] == [{}, {}]


@pytest.mark.parametrize(
    ("names", "cells", "expected"),
    [
        ("start_ms,end_ms", "200,400", (0.2, 0.4)),
        ("Begin Time - msec,End Time - msec", "200,400", (0.2, 0.4)),
        ("start_frame,end_frame,fps", "1,2,5", (0.2, 0.4)),
        ("frame_start,frame_end,frame_rate", "1,2,5", (0.2, 0.4)),
        ("startFrame,stopFrame,FPS (frame/s)", "1,2,5", (0.2, 0.4)),
        ("first_frame,last_frame,fps", "1,2,5", (0.2, 0.6)),  # the last frame is part of the bout
        ("start_frame,end_frame,annotation_fps", "1,2,1", (1.0, 2.0)),
        ("start_s,end_s,start_frame,end_frame", "0.2,0.4,1,2", (0.2, 0.4)),
        ("start_s,duration", "0.2,0.3", (0.2, 0.5)),
        ("start_frame,duration_frames,fps", "1,2,5", (0.2, 0.6)),
        ("start,end,duration", "0.2,0.4,0.2", (0.2, 0.4)),
        ("start,end", "1.5 s,2s", (1.5, 2.0)),
        ("start,end", "1:30,1:01:00", (90.0, 3660.0)),
    ],
)
def test_units(tmp_path: Path, names: str, cells: str, expected: tuple[float, float]) -> None:
    (video,) = labels(tmp_path, f"filepath,label,{names}", f"a.avi,groom,{cells}").videos
    (label,) = video.labels
    assert (label.start_s, label.end_s) == pytest.approx(expected)
    assert not {"duration", "start_frame", "end_frame"} & set(video.metadata)


def test_several_bouts_with_frames_beside_seconds(tmp_path: Path) -> None:
    rows = ("a.avi,x,0.2,0.4,1,2", "a.avi,x,0.6,0.8,3,4")
    assert spans(labels(tmp_path, "filepath,label,start_s,end_s,start_frame,end_frame", *rows)) == {
        "a.avi": [("x", 0.2, 0.4), ("x", 0.6, 0.8)]
    }


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas(tmp_path: Path, delimiter: str) -> None:
    rows = (["filepath", "label", "start", "end"], ["a.avi", "x", "1,5", "0:02,25"])
    annotations = labels(tmp_path, *(delimiter.join(row) for row in rows))
    assert spans(annotations) == {"a.avi": [("x", 1.5, 2.25)]}


def test_times_of_a_workbook(tmp_path: Path) -> None:
    import datetime

    rows = [("filepath", "label", "start", "end"), ("a.avi", "x", datetime.time(0, 1, 5), datetime.timedelta(hours=25))]
    assert spans(read(workbook(tmp_path / "labels.xlsx", s=rows))) == {"a.avi": [("x", 65.0, 90000.0)]}


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("time", "0.2"), ("time", "0:01"), ("frame", "12"), ("frame_idx", "12"), ("timecode", "00:00:01:12"),
        ("clip_start", "0.2"), ("start_min", "2"), ("interval", "0.2-0.4"), ("frames", "12-20"), ("t", "3"),
        ("t0", "3"), ("time_range", "[1, 2]"), ("start_position", "3"),
        ("time_s", "1,5"), ("seconds", "3"), ("offset", "3"),  ("starting_at", "1.5"), ("Segment", "0:01 - 0:05"),
    ],
)  # fmt: skip
def test_what_looks_like_a_time_is_not_kept_beside_a_label_of_the_whole_video(
    tmp_path: Path, column: str, cell: str
) -> None:
    message = refusal(write(tmp_path, "labels.csv", f'filepath,label,{column}\na.avi,x,"{cell}"\nb.avi,y,NA\n'))
    assert "look like times, and their names are not understood" in message
    assert repr(column) in message


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("start_date", "2024-05-01"), ("start_time", "2024-05-01T10:00:00"), ("timestamp", "2024-05-01 10:00"),
        ("timestamp", "1714557600"), ("time_of_day", "10:30"), ("time", "morning"), ("recorded_at", "10:30"),
        ("weekend", "1"), ("gender", "f"), ("frame", "carbon"), ("frame_width", "640"), ("n_frames", "250"),
        ("frames", "250"), ("end_lat", "1.5"), ("start_depth_m", "12"), ("exposure_time", "0.01"),
        ("local_time", "10:30"),
        ("segment_id", "3"), ("latency_s", "3"), ("sunset", "18:30"), ("body_length", "12"), ("event_id", "7"),
        ("total_length", "250"), ("start_zone", "b"),
    ],
)  # fmt: skip
def test_what_is_no_time_in_the_video_is_metadata(tmp_path: Path, column: str, cell: str) -> None:
    (video,) = labels(tmp_path, f"filepath,label,{column}", f"a.avi,x,{cell}").videos
    assert (video.labels, video.metadata) == ((Span("x"),), {column: cell})


def test_a_time_beside_a_date_is_that_of_the_day(tmp_path: Path) -> None:
    (video,) = labels(tmp_path, "filepath,label,date,time", "a.avi,x,2024-05-01,10:30").videos
    assert video.metadata == {"date": "2024-05-01", "time": "10:30"}


def test_frames_without_a_rate_say_which_column_to_add(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "labels.csv", "filepath,label,start_frame,end_frame\na.avi,x,1,2\n"))
    assert "has times in frames, and no rate. Received: 'start_frame'" in message
    assert "Add a column fps" in message
    message = refusal(write(tmp_path, "labels.csv", "filepath,label,start_frame,end_frame,fps\na.avi,x,1,2,NA\n"))
    assert "line 2: start '1' and end '2' are not two numbers: frames without a rate" in message


@pytest.mark.parametrize("word", ["NA", "NaN", "N/A", "#N/A", "None", "NULL", "-", " na ", "<NA>", ""])
def test_missing_words(tmp_path: Path, word: str) -> None:
    header = "filepath,label,split,start_s,end_s,site,subject"
    annotations = labels(tmp_path, header, f"a.avi,groom,{word},{word},{word},{word},{word}", f"NA,{word},,,,,")
    first, second = annotations.videos
    assert (first.labels, first.split, first.metadata) == ((Span("groom"),), None, {})
    assert (second.name, second.labels) == ("NA", ())  # a file may be called so
    assert "one of them is missing" in refusal(write(tmp_path, "x.csv", f"path,label,start,end\na,x,1,{word}\n"))


def test_splits_compare_without_case_and_blanks(tmp_path: Path) -> None:
    written = ["train", "Train", " TRAIN ", "val", "Validation", "valid", "Test", "Fold 1", "fold 1"]
    annotations = labels(tmp_path, "filepath,label,split", *(f"{n}.avi,x,{each}" for n, each in enumerate(written)))
    assert [video.split for video in annotations.videos] == ["train"] * 3 + ["val"] * 3 + ["test"] + ["fold 1"] * 2
    assert annotations.notes == ("split 'fold 1' on 2 videos is none of train, val, test",)
    (video,) = labels(tmp_path, "filepath,label,split", "a.avi,x,Train", "a.avi,y,train ").videos
    assert video.split == "train"


def test_labels_are_composed_and_those_that_differ_by_case_are_told(tmp_path: Path) -> None:
    rows = ("a.avi,groom", "b.avi,Groom", "c.avi,groom ", "d.avi,re\u0301sting", "e.avi,r\u00e9sting")
    annotations = labels(tmp_path, "filepath,label", *rows)
    assert [video.labels[0].label for video in annotations.videos] == ["groom", "Groom", "groom", *["r\u00e9sting"] * 2]
    assert annotations.notes == ("labels 'Groom' (1) and 'groom' (2) differ by case alone, and are 2 labels",)
    (video,) = labels(tmp_path, "filepath,label", "a.avi,re\u0301sting", "a.avi,r\u00e9sting").videos
    assert video.labels == (Span("r\u00e9sting"),)


def test_subjects_are_of_their_labels(tmp_path: Path) -> None:
    rows = ("a.avi,groom,1,2,Ada", "a.avi,groom,1,5,Bea", "a.avi,groom,1,9,NA", "b.avi,rest,,,Ada", "c.avi,,,,Cleo")
    for column in ("subject", "Individual"):
        first, second, third = labels(tmp_path, f"filepath,label,start_s,end_s,{column}", *rows).videos
        assert first.labels == (Span("groom", 1, 2, "Ada"), Span("groom", 1, 5, "Bea"), Span("groom", 1, 9))
        assert (second.labels, second.metadata) == ((Span("rest", subject="Ada"),), {})
        assert (third.labels, third.metadata) == ((), {column.lower(): "Cleo"})


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "...1", "X", "index", "rowname"])
def test_row_numbers_are_not_metadata(tmp_path: Path, name: str) -> None:
    for first in (0, 1):
        rows = [f"{first},a.avi,x", f"{first + 1},a.avi,y"]
        (video,) = labels(tmp_path, f'"{name}",filepath,label', *rows).videos
        assert (len(video.labels), video.metadata) == (2, {})
    (video,) = labels(tmp_path, "index,filepath,label", "7,a.avi,x").videos
    assert video.metadata == {"index": "7"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("filepath\tlabel\r\nTaï.avi\trésting\r\n".encode(encoding))
    assert spans(read(path)) == {"Taï.avi": [("résting", *WHOLE)]}


@given(st.integers(0, 10**9), st.sampled_from([".", ","]))
def test_hours_minutes_and_seconds_round_trip(ms: int, mark: str) -> None:
    minutes, rest = divmod(ms, 60_000)
    text = f"{rest // 1000:02d}{mark}{rest % 1000:03d}"
    for written in (f"{minutes // 60}:{minutes % 60:02d}:{text}", f"{minutes}:{text}"):
        assert seconds(written, comma=mark == ",") == pytest.approx(ms / 1000, abs=1e-9)
        assert seconds(f"-{written}", comma=mark == ",") == pytest.approx(-ms / 1000, abs=1e-9)
    assert seconds(str(ms), "ms") == ms / 1000
    assert seconds(f"{ms / 1000} s", "frame") == ms / 1000


@given(st.floats(0, 1e7, allow_subnormal=False), st.sampled_from([5.0, 29.97, 1000.0]))
def test_numbers_round_trip(value: float, fps: float) -> None:
    assert seconds(repr(value)) == value
    assert seconds(repr(value), "frame", fps) == value / fps


@pytest.mark.parametrize("cell", ["soon", "1:60", "0:75:00", "1:2:3:4", "1.5:00", "1,5", "1:2a", "::", "1:-2", ""])
def test_what_is_no_time(cell: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        seconds(cell)
