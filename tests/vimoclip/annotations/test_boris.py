"""BORIS: old and new headers, what is paired with what, and in which of several videos an event lies."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vimoclip.annotations.files import refusal, spans, stored, workbook, write
from vimoclip.annotations import match, read
from vimoclip.errors import LabelError

WINDOWS = "C:\\Users\\me\\a.mp4"
OLD = (
    "Observation id\tobs 1\n\nMedia file(s)\n\nPlayer #1\tC:\\Users\\me\\a.mp4\n\n"
    "Observation date\t2019-01-01T10:00:00\nDescription\tIt's\n\nTime offset (s)\t0.0\n\n"
    "independent variables\nvariable\ttype\tvalue\nsite\ttext\tTai\n\n"
    "Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tModifiers\tComment\tStatus\n"
)
NEW = (
    "Observation id,Observation date,Description,Observation duration,Observation type,Source,Time offset (s),"
    "Media duration (s),FPS,Subject,Behavior,Behavioral category,Modifier #1,Behavior type,Time,Media file name,"
    "Image index,Image file path,Comment\n"
)
AGGREGATED = (
    "Observation id,Observation date,Media file,Total length,FPS,Subject,Behavior,Modifiers,Behavior type,"
    "Start (s),Stop (s),Duration (s),Comment start,Comment stop\n"
)


def old(*events: str, media: str = WINDOWS) -> str:
    """Events as `time subject behaviour status`."""
    cells = (event.split(" ") for event in events)
    return OLD + "".join(
        f"{t}\t{media}\t60\t25\t{subject}\t{what}\t\t\t{status}\n" for t, subject, what, status in cells
    )


def new(*events: str, source: str = "player #1:/data/a.mp4", durations: str = "60", media: str = "/data/a.mp4") -> str:
    """Events as `time subject behaviour kind`, with a modifier after the behaviour's `/`."""
    rows = []
    for event in events:
        time, subject, what, kind = event.split(" ")
        behaviour, _, modifier = what.partition("/")
        start = f"obs 1,2024-01-01 10:00:00,,60,Media file(s),{source},0,{durations},25,"
        rows.append(f"{start}{subject},{behaviour},,{modifier},{kind},{time},{media},1,NA,\n")
    return NEW + "".join(rows)


def test_old_tabular_events(tmp_path: Path) -> None:
    path = write(tmp_path, "obs.tsv", old("1.5 Ada groom START", "2 Ada look POINT", "4 Ada groom STOP"))
    annotations = read(path)
    assert sorted(spans(annotations)[WINDOWS]) == [("groom", 1.5, 4.0), ("look", 2.0, 2.0)]
    # A subject is of its labels, and no longer metadata of the video: two animals would be one.
    assert {each.subject for each in annotations.videos[0].labels} == {"Ada"}
    assert annotations.videos[0].metadata == {}
    assert annotations.unpaired == annotations.unplaced == ()
    assert match(annotations, stored({"site/a.mp4": "/x/site/a.mp4"})).videos == ["site/a.mp4"]
    assert match(annotations, stored({"me/a.mp4": "/x", "you/a.mp4": "/y"})).videos == ["me/a.mp4"]
    assert match(annotations, stored({"us/a.mp4": "/x", "you/a.mp4": "/y"})).ambiguous == [WINDOWS]


def test_new_tabular_events(tmp_path: Path) -> None:
    text = new(
        "0:00:01.5 Ada groom START", "2 Bea groom START", "3 Bea groom STOP", "4 Ada groom STOP", "5 Ada x POINT"
    )
    annotations = read(write(tmp_path, "events.csv", text))
    assert annotations.videos[0].name == "/data/a.mp4"
    assert sorted(spans(annotations)["/data/a.mp4"]) == [("groom", 1.5, 4.0), ("groom", 2.0, 3.0), ("x", 5.0, 5.0)]
    found = {(each.subject, each.label, each.start_s) for each in annotations.videos[0].labels}
    assert found == {("Ada", "groom", 1.5), ("Bea", "groom", 2.0), ("Ada", "x", 5.0)}
    assert (annotations.videos[0].duration_s, annotations.videos[0].fps, annotations.clock) == (60.0, 25.0, "player")


def test_modifiers_and_subjects_tell_bouts_apart(tmp_path: Path) -> None:
    text = new("1 Ada eat/leaf START", "1 Ada eat/fruit START", "3 Ada eat/leaf STOP", "7 Ada eat/fruit STOP")
    # The same label with the same start: the longer one holds both.
    assert spans(read(write(tmp_path, "events.csv", text))) == {"/data/a.mp4": [("eat", 1.0, 7.0)]}


def test_what_has_no_other_half_is_named_and_not_invented(tmp_path: Path) -> None:
    text = old("1 Ada x START", "2 Ada x START", "3 Ada x STOP", "4 Ada x STOP", "5 Bea y START", "6 Ada y STOP")
    annotations = read(write(tmp_path, "obs.tsv", text))
    assert spans(annotations) == {WINDOWS: [("x", 2.0, 3.0)]}
    assert annotations.unpaired == (
        "line 17: start of 'x' of Ada of obs 1 at 1 s",
        "line 20: stop of 'x' of Ada of obs 1 at 4 s",
        "line 21: start of 'y' of Bea of obs 1 at 5 s",
        "line 22: stop of 'y' of Ada of obs 1 at 6 s",
    )


@pytest.mark.parametrize("column", ["Media file", "Media file path", "Media file name"])
def test_aggregated_events(tmp_path: Path, column: str) -> None:
    text = AGGREGATED.replace("Media file", column) + (
        "obs 1,2019-01-01,a.mp4,60,25,Ada,groom,,STATE,1.5,4,2.5,,\n"
        "obs 1,2019-01-01,a.mp4,60,25,No focal subject,look,,POINT,2,NA,NA,,\n"
        "obs 1,2019-01-01,a.mp4,60,25,Ada,rest,,STATE,9,NA,NA,,\n"
        "obs 2,2019-01-01,b.mp4,60,25,Bea,look,,POINT,3,3,0,,\n"
    )
    annotations = read(write(tmp_path, "events.csv", text))
    assert {name: sorted(each) for name, each in spans(annotations).items()} == {
        "a.mp4": [("groom", 1.5, 4.0), ("look", 2.0, 2.0)],
        "b.mp4": [("look", 3.0, 3.0)],
    }
    assert annotations.unpaired == ("line 4: start of 'rest' of Ada of obs 1 at 9 s",)
    subjects = [{(each.label, each.subject) for each in video.labels} for video in annotations.videos]
    assert subjects == [{("groom", "Ada"), ("look", None)}, {("look", "Bea")}]


TWO = "player #1:/data/a.mp4;/data/b.mp4|player #2:/data/side.mp4"


def test_events_of_several_videos_in_a_row(tmp_path: Path) -> None:
    events = ("1 A x POINT", "9 A walk START", "14 A walk STOP", "10 A x POINT", "12 A rest START", "40 A rest STOP")
    annotations = read(write(tmp_path, "events.csv", new(*events, source=TWO, durations="10.000;20.5|99", media="")))
    assert {name: sorted(each) for name, each in spans(annotations).items()} == {
        "/data/a.mp4": [("walk", 9.0, 10.0), ("x", 1.0, 1.0)],
        "/data/b.mp4": [("rest", 2.0, 30.0), ("walk", 0.0, 4.0), ("x", 0.0, 0.0)],
    }
    annotations = read(write(tmp_path, "events.csv", new(*events, source=TWO, durations="NA", media="/data/b.mp4")))
    assert annotations.videos == ()
    unplaced = match(annotations, {}).unplaced  # what the file leaves open, the stored videos' durations may say
    assert len(unplaced) == 4
    assert "its observation has several videos, and their durations are not given" in unplaced[0]


def test_old_exports_of_several_videos_say_too_little(tmp_path: Path) -> None:
    media = [("o", "a.mp4"), ("o", "b.mp4"), ("p", "c.mp4;d.mp4")]
    rows = "".join(f"{observation},,{name},60,25,A,x,,POINT,7,7,0,,\n" for observation, name in media)
    annotations = read(write(tmp_path, "events.csv", AGGREGATED + rows))
    assert annotations.videos == ()
    assert len(match(annotations, {}).unplaced) == 3


def test_the_time_offset_is_taken_off(tmp_path: Path) -> None:
    text = old("11 A x POINT", "9 A x POINT").replace("Time offset (s)\t0.0", "Time offset (s)\t10")
    annotations = read(write(tmp_path, "obs.tsv", text))
    assert spans(annotations) == {WINDOWS: [("x", 1.0, 1.0)]}
    assert annotations.unplaced[0].endswith("at -1 s (it is before the first video begins)")


def test_live_observations_have_no_video(tmp_path: Path) -> None:
    annotations = read(write(tmp_path, "events.csv", new("1 A x POINT", source="NA", durations="NA", media="NA")))
    assert (annotations.videos, annotations.unplaced) == ((), ("line 2: point of 'x' of A of obs 1 at 1 s (no video)",))


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        ("soon A x POINT", "'soon' is not a time in seconds"),
        ("inf A x POINT", "'inf' is not a time in seconds"),
        ("1:2:3:4 A x POINT", "'1:2:3:4' is not a time in seconds"),
        ("1 A x DURING", "'DURING' is not START, STOP or POINT"),
        ("1 A  POINT", "no behaviour"),
    ],
)
def test_refusals_name_the_line(tmp_path: Path, event: str, wrong: str) -> None:
    message = refusal(write(tmp_path, "obs.tsv", old("0 A y POINT", event)))
    assert [part for part in ("obs.tsv", "line 18: ", wrong, "problems: 1.") if part not in message] == []


def test_aggregated_stop_before_start(tmp_path: Path) -> None:
    text = AGGREGATED + "o,,a.mp4,60,25,A,x,,STATE,5,4,,,\n"
    assert "line 2: it stops at 4 s, before it starts at 5 s" in refusal(write(tmp_path, "e.csv", text))


@given(
    st.lists(
        st.tuples(st.sampled_from(["groom", "eat", "x y"]), st.integers(0, 99), st.integers(0, 99)),
        unique_by=lambda each: each[:2],
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, bouts: list[tuple[str, int, int]]) -> None:
    rows = "".join(f"o,,a.mp4,60,25,S,{what},,STATE,{at},{at + long},{long},,\n" for what, at, long in bouts)
    expected = sorted((what, float(at), float(at + long)) for what, at, long in bouts)
    assert sorted(spans(read(write(tmp_path, "e.csv", AGGREGATED + rows))).get("a.mp4", [])) == expected
    # As tabular events, of a subject each, so that none is taken for another's end.
    events = [(at, f"{at} s{n} {what.replace(' ', '_')} START") for n, (what, at, _) in enumerate(bouts)]
    events += [
        (at + long, f"{at + long} s{n} {what.replace(' ', '_')} STOP") for n, (what, at, long) in enumerate(bouts)
    ]
    annotations = read(write(tmp_path, "e.csv", new(*(event for _, event in sorted(events, key=lambda each: each[0])))))
    assert annotations.unpaired == ()
    assert sorted((w.replace("_", " "), *t) for w, *t in spans(annotations).get("/data/a.mp4", [])) == expected


@given(
    st.lists(st.lists(st.text('ab,;\t"0159.:-\nSTARP', max_size=6), max_size=14), max_size=5),
    st.sampled_from([OLD, NEW, AGGREGATED]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_are_read_or_refused(tmp_path: Path, rows: list[list[str]], header: str) -> None:
    between = "\t" if header == OLD else ","
    path = write(tmp_path, "e.csv", header + "".join(between.join(row) + "\n" for row in rows))
    with contextlib.suppress(LabelError):
        read(path)


def test_a_video_with_nothing_but_a_lost_half_is_still_named(tmp_path: Path) -> None:
    annotations = read(write(tmp_path, "obs.tsv", old("1 Ada x START")))
    assert spans(annotations) == {WINDOWS: []}
    assert len(annotations.unpaired) == 1


def test_workbooks(tmp_path: Path) -> None:
    rows = [line.split("\t") for line in old("1.5 Ada groom START", "4 Ada groom STOP").splitlines()]
    cells = [[float(cell) if cell in ("1.5", "4") else cell for cell in row] for row in rows]
    path = tmp_path / "events.xlsx"
    assert spans(read(workbook(path, obs=cells))) == {WINDOWS: [("groom", 1.5, 4.0)]}
    assert "Received: ['one', 'two']" in refusal(workbook(path, one=cells, notes=[("x",)], two=cells))
