"""BORIS projects: events of media with their durations, offset and subjects, and what is no event of a video."""

import contextlib
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vimoclip.annotations.files import refusal, spans, write
from vimoclip.annotations import KnownVideo, match, read
from vimoclip.errors import LabelError

BEHAVIOURS = {
    "0": {"type": "State event", "code": "groom"},
    "1": {"type": "Point event", "code": "look"},
    "2": {"type": "State event with coding map", "code": "at"},
}


def project(folder: Path, *events: list[Any], name: str = "p.boris", **observation: Any) -> Path:
    """A project with one observation, by default of a.mp4 of 60 s."""
    info = {"length": {"v/a.mp4": 60.0, "v/b.mp4": 30.0}, "fps": {"v/a.mp4": 25.0, "v/b.mp4": 25.0}}
    about = {"file": {"1": ["v/a.mp4"], "2": []}, "type": "MEDIA", "time offset": 0.0, "media_info": info}
    document = {"behaviors_conf": BEHAVIOURS, "observations": {"o": about | {"events": events} | observation}}
    return write(folder, name, json.dumps(document, indent=1))


def test_states_are_paired_and_points_are_points(tmp_path: Path) -> None:
    path = project(
        tmp_path,
        [5.0, "Ada", "groom", "", "", 125],
        [1.0, "Ada", "groom", "", ""],
        [2.0, "Bea", "groom", "", ""],
        [3.0, "No focal subject", "look", "left", "a comment"],
        [9.0, "Bea", "groom", "", ""],
        [4, "", "at", "", ""],
        [6, "", "at", "", ""],
    )
    annotations = read(path)
    (video,) = annotations.videos
    assert {(each.label, each.start_s, each.end_s, each.subject) for each in video.labels} == {
        ("groom", 1.0, 5.0, "Ada"), ("groom", 2.0, 9.0, "Bea"), ("look", 3.0, 3.0, None), ("at", 4.0, 6.0, None),
    }  # fmt: skip
    assert (video.name, video.duration_s, video.fps, annotations.clock) == ("v/a.mp4", 60.0, 25.0, "player")
    assert annotations.unpaired == annotations.unplaced == ()
    assert match(annotations, {"v/a.mp4": KnownVideo("/x/v/a.mp4", 5.0)}).unknown == ["v/a.mp4"]


def test_offsets_and_videos_in_a_row(tmp_path: Path) -> None:
    events = [[1058.0, "", "groom", "", ""], [1062.0, "", "groom", "", ""], [1070.0, "", "look", "", ""]]
    row: dict[str, Any] = {"file": {"1": ["v/a.mp4", "v/b.mp4"], "2": ["side.mp4"]}, "time offset": 1000.0}
    expected = {"v/a.mp4": [("groom", 58.0, 60.0)], "v/b.mp4": [("groom", 0.0, 2.0), ("look", 10.0, 10.0)]}
    assert spans(read(project(tmp_path, *events, **row))) == expected
    lost = read(project(tmp_path, *events, media_info={}, **row))
    assert lost.videos == ()
    assert len(match(lost, {}).unplaced) == 2
    known = {name: KnownVideo(f"/x/{name}", length) for name, length in (("v/a.mp4", 60.0), ("v/b.mp4", 30.0))}
    assert sorted(match(lost, known).videos) == ["v/a.mp4", "v/b.mp4"]


@pytest.mark.parametrize(
    ("observation", "why"),
    [
        ({"type": "LIVE", "file": {}}, "a live observation has no video"),
        ({"type": "IMAGES"}, "an observation of pictures has no video"),
        ({"file": {"1": []}}, "no video"),
        ({"media_creation_date_as_offset": True}, "count from the date"),
    ],
)
def test_events_of_no_video_are_named(tmp_path: Path, observation: dict[str, Any], why: str) -> None:
    annotations = read(project(tmp_path, [1.0, "Ada", "look", "", ""], **observation))
    assert annotations.videos == ()
    (unplaced,) = annotations.unplaced
    assert unplaced.startswith("event 1: point of 'look' of Ada of o at 1 s (")
    assert why in unplaced


def test_lost_halves_and_unknown_behaviours_are_named(tmp_path: Path) -> None:
    annotations = read(project(tmp_path, [1.0, "", "groom", "", ""], [2.0, "", "dance", "", ""]))
    assert spans(annotations) == {"v/a.mp4": []}
    assert annotations.unpaired == ("event 1: start of 'groom' of o at 1 s",)
    assert "does not say whether this behaviour is a state or a point" in annotations.unplaced[0]


def test_compressed(tmp_path: Path) -> None:
    path = project(tmp_path, [1.0, "", "look", "", ""])
    packed = tmp_path / "p.boris.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert spans(read(packed)) == {"v/a.mp4": [("look", 1.0, 1.0)]}
    packed.write_bytes(gzip.compress(path.read_bytes())[:60])
    assert "cannot be read" in refusal(packed)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"images": [], "annotations": []}', "is JSON, and not a BORIS project. Received: 'images', 'annotations'"),
        ('[{"video": "a.mp4"}]', "is JSON, and not a BORIS project. Received: list"),
        ('{"observations": ', "begins as JSON and is not"),
        ('{"observations": {"o": []}}', "observation 'o' has no list of events"),
    ],
)
def test_other_json_is_refused_as_what_it_is(tmp_path: Path, text: str, wrong: str) -> None:
    assert wrong in refusal(write(tmp_path, "labels.csv", text))


def test_malformed_events_are_named(tmp_path: Path) -> None:
    message = refusal(project(tmp_path, ["soon", "", "groom", "", ""], [1.0], [1.0, "", None, ""]))
    assert "event 1 of observation 'o': ['soon', '', 'groom', '', '']" in message
    assert "problems: 3." in message


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just("MEDIA"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["file", "events", "1", "type"]), inner)
    ),
    max_leaves=12,
)


@given(JSON, JSON)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_or_refused(tmp_path: Path, observation: Any, behaviours: Any) -> None:
    document = {"observations": {"o": observation}, "behaviors_conf": behaviours}
    with contextlib.suppress(LabelError):
        read(write(tmp_path, "p.boris", json.dumps(document)))
