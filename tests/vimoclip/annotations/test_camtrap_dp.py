"""Camtrap DP: observations of a file and of an event, in seconds of the videos they are in."""

import contextlib
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vimoclip.annotations.files import refusal, spans, stored, write
from vimoclip.annotations import match, read
from vimoclip.errors import LabelError

MEDIA = (
    "mediaID,deploymentID,captureMethod,timestamp,filePath,filePublic,fileName,fileMediatype\n"
    "m1,d1,activityDetection,2024-05-01T10:00:00+02:00,media/d1/0001.mp4,true,0001.mp4,video/mp4\n"
    "m2,d1,activityDetection,2024-05-01T10:01:00+02:00,media/d1/0002.mp4,true,0002.mp4,video/mp4\n"
    "m3,d2,activityDetection,2024-05-01T08:00:00Z,https://example.org/d2/0001.mp4,true,0001.mp4,video/mp4\n"
    "m4,d2,activityDetection,2024-05-01T08:00:00Z,media/d2/0001.jpg,true,0001.jpg,image/jpeg\n"
)
HEADER = (
    "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,scientificName,"
    "behavior\n"
)
WHOLE = (float("-inf"), float("inf"))


def package(folder: Path, *observations: str, media: str = MEDIA) -> Path:
    """Observations as `deployment media start end type species behaviour`, with `-` for nothing; all on one day."""
    write(folder, "media.csv", media)
    rows = []
    for number, observation in enumerate(observations):
        cells = ["" if cell == "-" else cell for cell in observation.split(" ")]
        deployment, media_id, start, end, kind, species, behaviour = cells
        times = [f"2024-05-01T{time}" if time else "" for time in (start, end)]
        level = "media" if media_id else "event"
        rows.append(f"o{number},{deployment},{media_id},e,{','.join(times)},{level},{kind},{species},{behaviour}\n")
    return write(folder, "observations.csv", HEADER + "".join(rows))


def test_observations_of_a_file(tmp_path: Path) -> None:
    path = package(
        tmp_path,
        "d1 m1 10:00:00+0200 10:00:00+0200 animal Pan feeding|walking",
        "d1 m1 08:00:05Z 08:00:07.5Z animal Gorilla feeding",
        "d1 m2 - - blank - -",
        "d2 m3 08:00:00Z 08:00:04Z animal Pan -",
        "d2 m4 08:00:00Z 08:00:00Z animal Pan feeding",
        "d2 m3 08:00:00Z 08:00:04Z human Homo walking",
    )
    annotations = read(path)
    assert spans(annotations) == {
        "media/d1/0001.mp4": [("feeding", *WHOLE), ("walking", *WHOLE), ("feeding", 5.0, 7.5)],
        "media/d1/0002.mp4": [],
        "https://example.org/d2/0001.mp4": [],
    }
    assert [video.metadata for video in annotations.videos] == [
        {"species": "Pan; Gorilla", "deployment": "d1"},
        {"deployment": "d1"},
        {"species": "Pan", "deployment": "d2"},
    ]
    known = {"d1/0001.mp4": "/x/d1/0001.mp4", "d1/0002.mp4": "/x/d1/0002.mp4", "d2/0001.mp4": "/x/d2/0001.mp4"}
    assert match(annotations, stored(known)).videos == list(known)
    # Two of the written names end in 0001.mp4, which therefore says too little.
    assert match(annotations, stored({"d3/0001.mp4": "/x/d3/0001.mp4", "0002.mp4": "/x/0002.mp4"})).videos == [
        "0002.mp4"
    ]


def test_sites_come_from_the_deployments(tmp_path: Path) -> None:
    write(tmp_path, "deployments.csv", "deploymentID,locationID,locationName\nd1,l1,Taï\nd2,l2,\n")
    path = package(tmp_path, "d1 m1 - - animal Pan x", "d2 m3 - - animal Pan x")
    assert [video.metadata.get("site") for video in read(path).videos] == ["Taï", None]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("10:00:00+02:00", "10:00:00+02:00", {"media/d1/0001.mp4": WHOLE}),
        ("10:00:00+02:00", "10:00:08+02:00", {"media/d1/0001.mp4": (0.0, 8.0)}),
        ("09:59:00+02:00", "10:00:08+02:00", {"media/d1/0001.mp4": (0.0, 8.0)}),
        ("10:00:03+02:00", "10:00:08+02:00", {"media/d1/0001.mp4": (3.0, 8.0)}),
        ("10:00:03+02:00", "-", {"media/d1/0001.mp4": (3.0, 3.0)}),
        ("10:00:00+02:00", "10:01:00+02:00", {"media/d1/0001.mp4": WHOLE, "media/d1/0002.mp4": WHOLE}),
        ("09:59:00+02:00", "10:01:05+02:00", {"media/d1/0001.mp4": WHOLE, "media/d1/0002.mp4": (0.0, 5.0)}),
        ("10:02:00+02:00", "10:02:05+02:00", {"media/d1/0002.mp4": (60.0, 65.0)}),
    ],
)
def test_events_of_a_deployment(tmp_path: Path, start: str, end: str, expected: dict[str, tuple[float, float]]) -> None:
    annotations = read(package(tmp_path, f"d1 - {start} {end} animal Pan feeding"))
    assert spans(annotations) == {name: [("feeding", *span)] for name, span in expected.items()}
    assert annotations.unplaced == ()


def test_two_animals_doing_the_same_from_the_same_time_on(tmp_path: Path) -> None:
    path = package(
        tmp_path, "d1 m1 08:00:01Z 08:00:03Z animal Pan feeding", "d1 m1 08:00:01Z 08:00:09Z animal Gorilla feeding"
    )
    assert spans(read(path)) == {"media/d1/0001.mp4": [("feeding", 1.0, 9.0)]}


def test_events_in_no_video_are_named(tmp_path: Path) -> None:
    annotations = read(package(tmp_path, "d1 - 09:00:00+02:00 09:00:09+02:00 animal Pan x", "d1 - - - animal Pan x"))
    assert annotations.videos == ()
    assert annotations.unplaced == (
        "line 2: event of d1 at 2024-05-01T09:00:00+02:00 (no video)",
        "line 3: event of d1 at no time (no video)",
    )


@pytest.mark.parametrize(
    ("observation", "wrong"),
    [
        ("d1 m9 - - animal Pan x", "no mediaID 'm9' in media.csv"),
        ("d1 m1 soon - animal Pan x", "'2024-05-01Tsoon' is not an ISO 8601 time"),
        ("d1 m1 08:00:05 08:00:06 animal Pan x", "one has a time zone"),
        ("d1 m1 08:00:06Z 08:00:05Z animal Pan x", "before eventStart"),
    ],
)
def test_refusals_name_the_line(tmp_path: Path, observation: str, wrong: str) -> None:
    message = refusal(package(tmp_path, "d1 m1 - - animal Pan x", observation))
    assert [part for part in ("observations.csv", "line 3: ", wrong, "problems: 1.") if part not in message] == []


def test_media_of_no_type_are_looked_for_as_videos(tmp_path: Path) -> None:
    path = package(tmp_path, "d1 m1 - - animal Pan x", media=MEDIA.replace("0001.mp4,video/mp4", "0001.mp4,"))
    assert spans(read(path)) == {"media/d1/0001.mp4": [("x", *WHOLE)]}


def test_an_id_of_two_media_is_refused(tmp_path: Path) -> None:
    for again, line in (("m1", 4), ("m4", 5)):
        path = package(tmp_path, "d1 m1 - - animal Pan x", media=MEDIA.replace("m3,d2", f"{again},d2"))
        assert f"media.csv, line {line}: a second mediaID '{again}'" in refusal(path)


def test_without_media_it_says_where_they_belong(tmp_path: Path) -> None:
    path = package(tmp_path, "d1 m1 - - animal Pan x")
    (tmp_path / "media.csv").unlink()
    assert f"Put it at {tmp_path / 'media.csv'}." in refusal(path)
    write(tmp_path, "media.csv", MEDIA.replace("m2,", ",").replace("08:00:00Z,h", "noon,h"))
    message = refusal(path)
    assert [part for part in ("media.csv, line 3: no mediaID", "media.csv, line 4: ") if part not in message] == []


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 5000)), unique_by=lambda each: each[0], max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, bouts: list[tuple[int, int]]) -> None:
    begin = datetime.fromisoformat("2024-05-01T08:00:00Z")
    times = [[(begin + timedelta(milliseconds=ms)).isoformat()[11:] for ms in (at, at + long)] for at, long in bouts]
    path = package(tmp_path, *(f"d1 m1 {first} {last} animal Pan x" for first, last in times))
    expected = {"media/d1/0001.mp4": [("x", at / 1000, (at + long) / 1000) for at, long in bouts]} if bouts else {}
    assert spans(read(path)) == expected


@given(st.lists(st.lists(st.text('ab,"0159.:-TZ\nm1d', max_size=6), max_size=11), max_size=5))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_are_read_or_refused(tmp_path: Path, rows: list[list[str]]) -> None:
    text = "".join(",".join(row) + "\n" for row in rows)
    write(tmp_path, "media.csv", MEDIA + text)
    with contextlib.suppress(LabelError):
        read(write(tmp_path, "observations.csv", HEADER + text))
