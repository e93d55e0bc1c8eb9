"""The short form of benchmarks/reliability/kills.py, and that what it looks with does see what it looks for."""

import collections
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.reliability import kills
from benchmarks.reliability.compare import check_snapshot, differences, store_digest
from schemas.labels import Label
from tests.vimoclip.stores import make_store
from vimoclip.store.table import Table
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter


def test_kills_leave_whole_videos_and_reruns_complete_them(tmp_path: Path) -> None:
    outcomes = kills.run_kills(kills.plan_kills(5, seed=1), tmp_path)
    points = collections.Counter(outcome.kill.point for outcome in outcomes)
    assert points == dict.fromkeys(kills.POINTS, 1)
    assert [outcome for outcome in outcomes if not outcome.good] == []
    between = [outcome for outcome in outcomes if outcome.kill.point == kills.BETWEEN]
    assert all(outcome.leftovers for outcome in between)  # or the kill was not where it was meant to be


@pytest.mark.parametrize("call", ["replace", "upsert"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_move_cut_short_leaves_nothing_that_the_next_run_does_not_forget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, when: str
) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 5, "b.mp4": 3})
    writer = StoreWriter(store)
    writer.set_labels([Label(video_id="a.mp4", label="resting", source="by hand")], ["a.mp4"], "by hand")
    row = writer.videos["a.mp4"]
    writer.move(row, replace(row, video_id="c.mp4"))
    real = getattr(Table, call)

    def cut_short(self: Table, *args: Any) -> None:
        if when == "after":
            real(self, *args)
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Table, call, cut_short)
        writer.flush()
    faults = verify(tmp_path / "store")
    assert faults
    assert all(fault.harmless for fault in faults), faults
    seen = store.refresh()
    assert sorted(seen.videos()["video_id"]) == ["a.mp4", "b.mp4"]
    assert seen.labels()["video_id"].to_list() == ["a.mp4"]
    StoreWriter(seen).drop_orphan_rows()
    assert verify(tmp_path / "store") == []
    assert {row.video_id for row in store.refresh().rows()} == {"a.mp4", "b.mp4"}
    assert [label.video_id for label in store.refresh().label_rows()] == ["a.mp4"]


def test_plan_has_a_fifth_at_each_named_point_and_follows_from_the_seed() -> None:
    points = collections.Counter(kill.point for kill in kills.plan_kills(30, seed=1))
    assert points == dict.fromkeys(kills.POINTS, 6)
    assert kills.plan_kills(30, seed=1) == kills.plan_kills(30, seed=1) != kills.plan_kills(30, seed=2)


@pytest.mark.parametrize("table", ["frames", "flow"])
def test_the_reader_sees_partial_and_doubled_videos(tmp_path: Path, table: str) -> None:
    make_store(tmp_path / "store", {"a.mp4": 5, "b.mp4": 3})
    faults: list[str] = []
    assert check_snapshot(tmp_path / "store", -1, faults) == 2
    assert faults == []
    rows = Table.open(tmp_path / "store", table)
    last = rows.read(where=(pc.field("video_id") == "a.mp4") & (pc.field("frame_index") == 4))
    rows.append(last)
    check_snapshot(tmp_path / "store", 2, faults)
    rows.latest().delete((pc.field("video_id") == "a.mp4") & (pc.field("frame_index") == 4))
    check_snapshot(tmp_path / "store", 2, faults)
    first = int(table == "flow")
    seen = [[*range(first, 5), 4], list(range(first, 4))]
    assert faults == [f"{table} of a.mp4: {indices}, not 5" for indices in seen]


def test_the_reader_sees_videos_vanish_and_rows_twice(tmp_path: Path) -> None:
    make_store(tmp_path / "store", {"a.mp4": 5, "b.mp4": 3})
    videos = Table.open(tmp_path / "store", "videos")
    row = videos.read(where=pc.field("video_id") == "a.mp4")
    videos.append(row)
    faults: list[str] = []
    check_snapshot(tmp_path / "store", 2, faults)
    assert faults == ["2 rows of a.mp4"]
    videos.latest().delete(pc.field("video_id") == "a.mp4")
    faults.clear()
    assert check_snapshot(tmp_path / "store", 2, faults) == 1
    assert faults == ["2 videos became 1"]


def test_contents_differ_by_one_bit_and_by_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_store(tmp_path / name, {"a.mp4": 5})
    one, other = store_digest(tmp_path / "a"), store_digest(tmp_path / "b")
    assert differences(one, other) == []  # though the takes differ
    frames = Table.open(tmp_path / "b", "frames")
    rows = frames.read()
    at = rows.schema.get_field_index("clip_norm")
    norms = rows["clip_norm"].combine_chunks()
    bits = norms.view(pa.int32()).to_numpy().copy()
    bits[2] ^= 1
    frames.replace(rows.set_column(at, rows.schema.field(at), pa.array(bits).view(pa.float32())))
    changed = differences(one, store_digest(tmp_path / "b"))
    assert [line.partition(":")[0] for line in changed] == ["frames a.mp4 clip_norm"]
