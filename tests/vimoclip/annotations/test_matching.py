"""Which video is meant: folders, durations and rates that contradict, and videos of one recording in a row."""

from pathlib import Path

import pytest

from schemas.labels import Span
from tests.vimoclip.annotations.files import stored, write
from tests.vimoclip.annotations.test_boris import AGGREGATED, NEW, OLD, new
from vimoclip.annotations import Annotations, KnownVideo, Matched, VideoAnnotations, match, read


def elsewhere(*names: str, duration_s: float | None = None, fps: float | None = None) -> Annotations:
    """Labels of videos that are named by paths of another machine."""
    videos = tuple(VideoAnnotations(name, (Span("x"),), duration_s=duration_s, fps=fps) for name in names)
    return Annotations("events.tsv", Path("/labels"), videos, elsewhere=True)


def ids(*video_ids: str) -> dict[str, KnownVideo]:
    return stored({each: f"/data/videos/{each}" for each in video_ids})


@pytest.mark.parametrize(
    ("name", "video_id"),
    [
        ("D:\\study\\siteB\\IMG_0001.AVI", "siteA/IMG_0001.AVI"),
        ("/mnt/disk/siteB/IMG_0001.AVI", "siteA/IMG_0001.AVI"),
        ("D:\\study\\siteB\\100MEDIA\\IMG_0001.AVI", "siteA/100MEDIA/IMG_0001.AVI"),
        ("E:\\siteB\\2024-05-01\\IMG_0001.AVI", "siteA/2024-05-01/IMG_0001.AVI"),
        ("D:/study/siteB/videos/IMG_0001.AVI", "siteA/videos/IMG_0001.AVI"),
        ("C:\\Users\\me\\siteB\\IMG_0001.AVI", "siteA/IMG_0001.AVI"),
        ("siteB/IMG_0001.AVI", "siteA/IMG_0001.AVI"),
    ],
)
def test_a_folder_that_contradicts_is_a_contradiction(name: str, video_id: str) -> None:
    matched = match(elsewhere(name), ids(video_id))
    assert (matched.labels, matched.videos, matched.unknown, matched.ambiguous) == ([], [], [name], [])
    assert video_id in matched.nearest[name]


@pytest.mark.parametrize(
    ("name", "video_id", "told"),
    [
        ("D:\\study\\siteA\\IMG_0001.AVI", "siteA/IMG_0001.AVI", False),
        ("/home/me/siteA/x.avi", "videos/siteA/x.avi", False),
        ("D:\\study\\siteA\\x.avi", "videos/siteA/x.avi", False),
        ("C:\\Users\\me\\Videos\\IMG_0001.AVI", "IMG_0001.AVI", False),
        ("D:\\study\\SITEA\\clips\\x.avi", "siteA/x.avi", False),
        ("C:\\Users\\me\\x.avi", "siteA/x.avi", True),
        ("E:\\DCIM\\100MEDIA\\x.avi", "siteA/DCIM/100MEDIA/x.avi", True),  # off the card, whose site nobody wrote
        ("D:\\study\\siteB\\x.avi", "x.avi", False),
    ],
)
def test_a_folder_that_is_not_there_contradicts_nothing(name: str, video_id: str, told: bool) -> None:
    matched = match(elsewhere(name), ids(video_id))
    assert (matched.videos, matched.unknown) == ([video_id], [])
    assert bool(matched.notes) == told


def test_that_a_video_without_a_folder_lies_in_another_one_is_told() -> None:
    known = {"IMG_0001.AVI": KnownVideo("/data/siteA/IMG_0001.AVI")}
    matched = match(elsewhere("D:\\study\\siteB\\IMG_0001.AVI"), known)
    assert matched.videos == ["IMG_0001.AVI"]
    assert "is taken for IMG_0001.AVI" in matched.notes[0]
    assert match(elsewhere("D:\\study\\siteA\\IMG_0001.AVI"), known).notes == []


def test_of_many_folders_only_those_that_fit_count() -> None:
    cards = ids(*(f"site{n}/IMG_0001.AVI" for n in range(30)))
    assert match(elsewhere("D:\\siteB\\IMG_0001.AVI"), cards).unknown == ["D:\\siteB\\IMG_0001.AVI"]
    assert match(elsewhere("D:\\site7\\IMG_0001.AVI"), cards).videos == ["site7/IMG_0001.AVI"]
    assert match(elsewhere("C:\\Users\\me\\IMG_0001.AVI"), cards).ambiguous == ["C:\\Users\\me\\IMG_0001.AVI"]
    two = ids("us/IMG_0001.AVI", "videos/IMG_0001.AVI")
    assert match(elsewhere("D:\\siteB\\IMG_0001.AVI"), two).videos == ["videos/IMG_0001.AVI"]


@pytest.mark.parametrize(
    ("said", "known", "same"),
    [
        ({"duration_s": 30.0}, (1.0, 5.0), False),
        ({"duration_s": 1.9}, (1.0, 5.0), True),
        ({"duration_s": 2.1}, (1.0, 5.0), False),
        ({"duration_s": 3600.0}, (3650.0, 25.0), True),
        ({"duration_s": 3600.0}, (3700.0, 25.0), False),
        ({"duration_s": 30.0}, (None, None), True),
        ({"fps": 29.97}, (30.0, 30.0), True),
        ({"fps": 25.0}, (30.0, 5.0), False),
        ({"fps": 50.0}, (30.0, 25.0), True),  # an interlaced video's fields
        ({"fps": 25.0}, (30.0, 30.0), False),
    ],
)
def test_durations_and_rates_are_compared(
    said: dict[str, float], known: tuple[float | None, float | None], same: bool
) -> None:
    for name in ("a.avi", "/data/a.avi", "D:\\me\\a.avi"):
        matched = match(elsewhere(name, **said), {"a.avi": KnownVideo("/data/a.avi", *known)})
        assert matched.videos == (["a.avi"] if same else [])
        assert matched.unknown == ([] if same else [name])
    if not same:
        assert " in the file and " in matched.nearest[name]


def test_a_file_of_our_own_says_durations_and_rates_too(tmp_path: Path) -> None:
    known = {"a.avi": KnownVideo("/data/a.avi", 1.0, 5.0)}
    for column, cell in (("duration_s", "30"), ("Duration", "0:00:30"), ("fps", "25"), ("Frame Rate", "25")):
        annotations = read(write(tmp_path, "labels.csv", f"filepath,label,{column}\na.avi,x,{cell}\n"))
        assert annotations.videos[0].metadata == {column.lower(): cell}
        assert match(annotations, known).unknown == ["a.avi"]
    bouts = read(write(tmp_path, "labels.csv", "filepath,label,start_s,end_s,duration\na.avi,x,0.2,0.4,0.2\n"))
    assert match(bouts, known).videos == ["a.avi"]  # that of the bout
    assert bouts.videos[0].metadata == {}


def found(matched: Matched) -> dict[str, list[tuple[str, float, float]]]:
    """Video → labels, to the hundredth of a second."""
    spans: dict[str, list[tuple[str, float, float]]] = {}
    for each in matched.labels:
        spans.setdefault(each.video_id, []).append((each.label, round(each.start_s, 2), round(each.end_s, 2)))
    return {video_id: sorted(each) for video_id, each in spans.items()}


ROW = {"a.mp4": KnownVideo("/x/a.mp4", 10.0, 25.0), "b.mp4": KnownVideo("/x/b.mp4", 20.0, 25.0)}
IN_TWO = {"a.mp4": [("walk", 9.0, 10.0), ("x", 1.0, 1.0)], "b.mp4": [("rest", 2.0, 7.0), ("walk", 0.0, 4.0)]}
EVENTS = ("1 A x POINT", "9 A walk START", "14 A walk STOP", "12 A rest START", "17 A rest STOP")


def in_video(event: str) -> str:
    return "/data/a.mp4" if float(event.split(" ", maxsplit=1)[0]) < 10 else "/data/b.mp4"


def old_row(preamble: str, total: str = "30", offset: float = 0.0) -> str:
    """The events as BORIS 7 writes them: a line above the header for each video, and in each line its video."""
    rows = ""
    for event in EVENTS:
        time, subject, what, status = event.split(" ")
        at = float(time) + offset
        rows += f"{at}\t{in_video(event)}\t{total}\t25\t{subject}\t{what}\t\t\t{status}\n"
    header = OLD.replace("Player #1\tC:\\Users\\me\\a.mp4\n", preamble)
    return header.replace("Time offset (s)\t0.0", f"Time offset (s)\t{offset}") + rows


PLAYERS = "Player #1\t/data/a.mp4\nPlayer #1\t/data/b.mp4\n"


@pytest.mark.parametrize("total", ["30", "NA", "30.4"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_lines_above_the_header_and_the_store_say_where_events_are(tmp_path: Path, total: str, offset: float) -> None:
    matched = match(read(write(tmp_path, "o.tsv", old_row(PLAYERS, total, offset))), ROW)
    assert found(matched) == IN_TWO
    assert matched.unplaced == []
    assert "placed by the durations of the stored videos: 3" in matched.notes[0]


def test_one_missing_duration_is_the_rest_of_the_total_length(tmp_path: Path) -> None:
    annotations = read(write(tmp_path, "o.tsv", old_row(PLAYERS)))
    matched = match(annotations, {"b.mp4": ROW["b.mp4"]})
    assert found(matched) == {"b.mp4": IN_TWO["b.mp4"]}
    assert matched.unknown == ["/data/a.mp4"]
    lost = match(read(write(tmp_path, "o.tsv", old_row(PLAYERS, "NA"))), {"b.mp4": ROW["b.mp4"]})
    assert (found(lost), len(lost.unplaced)) == ({}, 2)  # x is in a.mp4 as a whole, which is not known
    assert "that of '/data/a.mp4' is not known" in lost.unplaced[0]


def test_a_total_length_that_is_not_that_of_the_stored_videos_places_nothing(tmp_path: Path) -> None:
    matched = match(read(write(tmp_path, "o.tsv", old_row(PLAYERS, "300"))), ROW)
    assert (found(matched), len(matched.unplaced)) == ({}, 3)
    assert "are 30 s long together, and the file says 300 s" in matched.unplaced[0]


def test_an_event_that_would_lie_in_another_video_than_its_line_says_is_left_out(tmp_path: Path) -> None:
    swapped = PLAYERS.replace("a.mp4", "c.mp4").replace("b.mp4", "a.mp4").replace("c.mp4", "b.mp4")
    matched = match(read(write(tmp_path, "o.tsv", old_row(swapped, "NA"))), ROW)
    assert found(matched) == {"b.mp4": [("rest", 12.0, 17.0)]}
    assert len(matched.unplaced) == 2
    assert "'/data/a.mp4' is not what is played" in matched.unplaced[0]


def test_aggregated_events_of_boris_7_are_placed_where_no_video_is_missing(tmp_path: Path) -> None:
    rows = (
        "o,,/data/a.mp4,{0},25,A,x,,POINT,1,1,0,,\no,,/data/a.mp4,{0},25,A,walk,,STATE,9,14,5,,\n"
        "o,,/data/b.mp4,{0},25,A,rest,,STATE,12,17,5,,\n"
    )
    whole = read(write(tmp_path, "e.csv", AGGREGATED + rows.format(30)))
    assert found(match(whole, ROW)) == IN_TWO
    part = match(read(write(tmp_path, "e.csv", AGGREGATED + rows.format(90))), ROW)  # a third video has no events
    assert (found(part), len(part.unplaced)) == ({}, 3)


def test_one_video_in_the_lines_is_not_taken_for_the_only_one(tmp_path: Path) -> None:
    rows = "o,,/data/b.mp4,30,25,A,rest,,STATE,12,17,5,,\n"
    matched = match(read(write(tmp_path, "e.csv", AGGREGATED + rows)), ROW)
    assert (matched.labels, matched.unknown) == ([], ["/data/b.mp4"])
    assert "is 30 s long in the file and 20 s in the store" in matched.nearest["/data/b.mp4"]


@pytest.mark.parametrize("source", ["player #1:{}|player #2:/data/side.mp4", "player #1: {} player #2: /data/side.mp4"])
@pytest.mark.parametrize("named", [True, False])
def test_sources_without_durations_are_placed_by_the_store(tmp_path: Path, source: str, named: bool) -> None:
    text = NEW
    for event in EVENTS:
        media = in_video(event) if named else ""
        text += new(event, source=source.format("/data/a.mp4;/data/b.mp4"), durations="", media=media)[len(NEW) :]
    assert found(match(read(write(tmp_path, "e.csv", text)), ROW)) == IN_TWO


def test_the_longest_of_events_that_differ_by_their_modifier_counts_there_too(tmp_path: Path) -> None:
    source = {"source": "player #1:/data/a.mp4;/data/b.mp4", "durations": "", "media": "/data/b.mp4"}
    events = ("11 A eat/leaf START", "11 A eat/fruit START", "13 A eat/leaf STOP", "17 A eat/fruit STOP")
    row = new("11 A eat/x START", "19 A eat/x STOP", source="player #1:/data/b.mp4", durations="", media="/data/b.mp4")
    text = new(*events, **source) + row[len(NEW) :].replace("obs 1", "obs 2")
    matched = match(read(write(tmp_path, "e.csv", text)), ROW)
    assert found(matched) == {"b.mp4": [("eat", 1.0, 7.0), ("eat", 11.0, 19.0)]}


def test_before_boris_8_9_11_one_player_has_no_name(tmp_path: Path) -> None:
    header = (
        "Observation id,Observation date,Description,Observation type,Source,Total length,FPS,Subject,Behavior,"
        "Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s)\n"
    )
    row = "o,,,Media file,/data/a.mp4;/data/b.mp4,30.000,25.000;25.000,A,{},,,{},{},{},\n"
    bouts = [("x", "POINT", 1, 1), ("walk", "STATE", 9, 14), ("rest", "STATE", 12, 17)]
    text = header + "".join(row.format(*bout) for bout in bouts)
    matched = match(read(write(tmp_path, "e.csv", text)), ROW)
    assert found(matched) == IN_TWO
    slow = ROW | {"b.mp4": KnownVideo("/x/b.mp4", 20.0, 5.0)}
    assert match(read(write(tmp_path, "e.csv", text)), slow).unknown == ["/data/b.mp4"]
    alone = header + row.format("walk", "STATE", 2, 4).replace(";/data/b.mp4", "").replace(";25.000", "")
    assert match(read(write(tmp_path, "e.csv", alone)), ROW).unknown == ["/data/a.mp4"]  # 30 s, not 10


@pytest.mark.parametrize("name", ["siteA/IMG_0001.AVI", "D:/study/siteA/IMG_0001.AVI", "IMG_0001.AVI"])
@pytest.mark.parametrize(
    ("duration", "fps", "why"), [(30, 25, "is 30 s long"), (10, 30, "has 30 frames/s"), (10, 25, "")]
)
def test_an_export_without_source_is_held_against_length_and_rate(
    tmp_path: Path, name: str, duration: float, fps: float, why: str
) -> None:
    header = "Media file name,Media duration (s),FPS (frame/s),Behavior,Behavior type,Time\n"
    rows = "".join(f"{name},{duration},{fps},groom,{kind},{at}\n" for kind, at in (("START", 1), ("STOP", 2)))
    found = match(read(write(tmp_path, "e.csv", header + rows)), {"siteA/IMG_0001.AVI": KnownVideo("/a", 10.0, 25.0)})
    assert [label.label for label in found.labels] == ([] if why else ["groom"])
    assert why in "".join(found.nearest.values())
    assert found.unknown == ([name] if why else [])
