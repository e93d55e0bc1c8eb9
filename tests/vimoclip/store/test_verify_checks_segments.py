"""Faults planted in the segments of real stores: each is found by its name, and nothing else is reported with it."""

import math
import shutil
from pathlib import Path

import pytest

from pipelines.index import IndexRequest, run
from schemas.segments import INDEX_KEY
from tests.vimoclip.store.test_verify import Plant, again, delete, drop, instead, put, rewrite, scaled, truncate
from tests.vimoclip.stores import make_store
from vimoclip.store.verify import verify

A = "a.mp4"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with segments."""
    path = tmp_path_factory.mktemp("whole") / "store"
    run(IndexRequest(make_store(path, {A: 130, "b.mp4": 60, "one.mp4": 1}).place))
    return path


def segment(start: int, **values: object) -> Plant:
    return put("segments", {"video_id": A, "start_frame": start}, **values)


def forget_settings(store: Path) -> None:
    rewrite(store, "segments", lambda rows: rows.replace_schema_metadata({INDEX_KEY: b"{}"}))


CASES: list[tuple[str, str | None, Plant]] = [
    ("bad-segment", A, segment(0, start_frame=1)),
    ("bad-segment", A, segment(80, end_frame=131)),
    ("bad-segment", A, segment(25, end_frame=25)),
    ("bad-segment", A, segment(25, end_s=1.0)),
    ("bad-segment", A, segment(25, start_s=math.nan)),
    ("bad-segment", A, again("segments", {"video_id": A, "start_frame": 25})),
    ("bad-segment", A, delete("segments", "start_frame = 80")),
    ("bad-segment", A, delete("segments", f"video_id = '{A}' and start_frame = 0")),
    ("not-finite", A, segment(25, appearance=instead(math.nan))),
    ("not-unit", A, segment(25, motion=scaled(1.02))),
    ("other-video", A, segment(25, video_id="b.mp4")),
    ("leftover-rows", A, put("segments", {"video_id": A}, take=7)),
    ("wrong-schema", None, drop("segments", "end_s")),
    ("wrong-schema", None, drop("segments", "motion")),
    ("bad-settings", None, forget_settings),
    ("damaged-file", None, truncate("segments")),
]


@pytest.mark.parametrize(("name", "video_id", "plant"), CASES)
def test_a_planted_fault_is_found(whole: Path, tmp_path: Path, name: str, video_id: str | None, plant: Plant) -> None:
    store = Path(shutil.copytree(whole, tmp_path / "store"))
    plant(store)
    (fault,) = verify(store)
    assert (fault.name, fault.table, fault.video_id) == (name, "segments", video_id)
    assert fault.harmless == (name == "leftover-rows")
    assert ("segments.lance" in fault.remedy) == (name != "leftover-rows")


def test_what_the_remedy_says_mends_it(whole: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(whole, tmp_path / "store"))
    truncate("segments")(store)
    shutil.rmtree(store / "segments.lance")
    assert verify(store) == []
    run(IndexRequest(store))
    assert verify(store) == []


def test_a_store_of_which_nobody_knows_the_takes_still_has_sound_segments(whole: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(whole, tmp_path / "store"))
    shutil.rmtree(store / "videos.lance")
    assert {fault.table for fault in verify(store)} == {"videos"}
