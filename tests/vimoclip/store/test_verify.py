"""Faults planted in real stores, one at a time: each is found by its name, and nothing else is reported with it."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from schemas import FORMAT_KEY, SETTINGS_KEY
from schemas.labels import Label
from tests.vimoclip.stores import embedded, features, flow_bytes, make_store, ok_row
from vimoclip.errors import StoreMissingError, StoreNewerError
from vimoclip.progress import Progress
from vimoclip.store import verify as module
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import FeatureWriter
from vimoclip.store.lock import writer_lock
from vimoclip.store.snapshot import TABLES
from vimoclip.store.table import Table
from vimoclip.store.verify import verify
from vimoclip.store.verify_faults import FAULTS, MOST_OF_A_NAME, Fault
from vimoclip.store.writer import StoreWriter

Row = dict[str, Any]
Plant = Callable[[Path], None]
Found = tuple[str, str, str | None]
A = "a.mp4"
FOR_READERS_NOTHING = {"being-written", "leftover-rows", "leftover-column", "unfinished-feature", "without-feature"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a row of every status, and labels of every form."""
    path = tmp_path_factory.mktemp("whole") / "store"
    store = make_store(path)
    writer = StoreWriter(store)
    take = writer.new_take()
    writer.add(take, embedded("gone.mp4", 0, 3))
    writer.put(ok_row("gone.mp4", take, 3, store.fingerprint, status="removed"))
    none: Row = {"take": None, "frames": None, "duration_s": None, "fingerprint": None}
    broken = ok_row("broken.mp4", 0, 1, "", status="failed", error_kind="no-frames", error="It has no frames.")
    writer.put(replace(broken, **none))
    writer.put(replace(ok_row("copy.mp4", 0, 1, "", status="duplicate", duplicate_of=A), **none))
    writer.put(replace(writer.videos["one.mp4"], metadata='{"site": "Taï"}', split="train"))
    writer.flush()
    spans = [(A, -math.inf, math.inf), (A, 0.0, 0.5), ("b/c.mp4", 0.1, 0.1), ("broken.mp4", 3.0, 900.0)]
    labels = [Label(video_id=v, label="eating", source="labels.csv", start_s=s, end_s=e) for v, s, e in spans]
    writer.set_labels(labels, [label.video_id for label in labels], "labels.csv")
    return path


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "store"))


def uri(store: Path, table: str) -> str:
    return str(store / f"{table}.lance")


def rewrite(store: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    rows = change(lance.dataset(uri(store, table)).to_table())
    lance.write_dataset(rows, uri(store, table), schema=rows.schema, mode="overwrite")


def edit(table: str, change: Callable[[list[Row]], list[Row] | None]) -> Plant:
    """Plant by changing a table's rows, sorted by video and frame: in place, or by returning others."""

    def edited(rows: pa.Table) -> pa.Table:
        listed: list[Row] = rows.to_pylist()
        listed.sort(key=lambda row: (row.get("video_id") or row.get("name"), row.get("frame_index", 0)))
        return pa.Table.from_pylist(change(listed) or listed, schema=rows.schema)

    return lambda store: rewrite(store, table, edited)


def put(table: str, where: Row, **values: Any) -> Plant:
    """Plant by giving columns of the rows `where` other values; a callable makes them from the old."""

    def change(rows: list[Row]) -> None:
        chosen = [row for row in rows if where.items() <= row.items()]
        assert chosen
        for row in chosen:
            row |= {name: value(row[name]) if callable(value) else value for name, value in values.items()}

    return edit(table, change)


def frame(index: int, **values: Any) -> Plant:
    return put("frames", {"video_id": A, "frame_index": index}, **values)


def video(video_id: str, **values: Any) -> Plant:
    return put("videos", {"video_id": video_id}, **values)


def flow(index: int, **values: Any) -> Plant:
    return put("flow", {"video_id": A, "frame_index": index}, **values)


def delete(table: str, where: str) -> Plant:
    def plant(store: Path) -> None:
        dataset = lance.dataset(uri(store, table))
        before = dataset.count_rows()
        dataset.delete(where)
        assert lance.dataset(uri(store, table)).count_rows() < before

    return plant


def again(table: str, where: Row) -> Plant:
    """Plant the rows `where` a second time."""
    return edit(table, lambda rows: rows + [dict(row) for row in rows if where.items() <= row.items()])


def label(video_id: str, start_s: float, end_s: float) -> Plant:
    row = {"video_id": video_id, "label": "drinking", "source": "x.csv", "start_s": start_s, "end_s": end_s}
    return edit("labels", lambda rows: [*rows, row])


def drop(table: str, *columns: str) -> Plant:
    return lambda store: rewrite(store, table, lambda rows: rows.drop_columns(list(columns)))


def retype(table: str, column: str, field: pa.Field) -> Plant:
    def change(rows: pa.Table) -> pa.Table:
        at = rows.schema.get_field_index(column)
        return rows.set_column(at, field, rows[column].cast(field.type))

    return lambda store: rewrite(store, table, change)


def spoil_index(store: Path) -> None:
    lance.dataset(uri(store, "frames")).create_scalar_index("take", "BTREE", name="take")
    (file,) = (store / "frames.lance" / "_indices").glob("*/page_data.lance")
    file.write_bytes(b"")


def metadata(change: Callable[[dict[bytes, bytes]], dict[bytes, bytes]]) -> Plant:
    return lambda store: rewrite(
        store, "videos", lambda rows: rows.replace_schema_metadata(change(rows.schema.metadata))
    )


def remove_table(table: str) -> Plant:
    return lambda store: shutil.rmtree(uri(store, table))


def spoil_manifests(table: str) -> Plant:
    def plant(store: Path) -> None:
        for manifest in Path(uri(store, table)).glob("_versions/*.manifest"):
            manifest.write_bytes(b"not a manifest")

    return plant


def truncate(table: str) -> Plant:
    def plant(store: Path) -> None:
        for file in Path(uri(store, table)).glob("data/*.lance"):
            file.write_bytes(file.read_bytes()[:-20])

    return plant


def leave_rows(store: Path) -> None:
    """What a kill between two commits leaves."""
    writer = StoreWriter(FeatureStore.open(store))
    writer.add(writer.new_take(), embedded("late.mp4", 0, 4))
    writer.flush()


def begin_feature(store: Path) -> FeatureWriter:
    """Begin to add a feature."""
    (feature,) = features({"other": 6})
    return FeatureWriter(FeatureStore.open(store), replace(feature, settings="{}"))


def leave_feature(store: Path) -> None:
    """What a kill leaves of a feature that is being added."""
    begin_feature(store)


def finish_without(video_id: str) -> Plant:
    """Add a feature to all videos but one."""

    def plant(store: Path) -> None:
        writer = begin_feature(store)
        for row in writer.todo():
            if row.video_id != video_id:
                writer.add(row, embedded(row.video_id, 0, row.frames or 0, {"other": 6}))
                writer.end(row, reduced_batch=False)
        writer.finish()

    return plant


def lose_feature(store: Path) -> None:
    """What a kill leaves of a feature that is being dropped."""
    begin_feature(store)
    delete("features", "name = 'other'")(store)


def huge(data: bytes) -> bytes:
    """The same JPEG, whose header promises 65,500 rows and columns."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + (65500).to_bytes(2, "big") * 2 + data[at + 4 :]


def scaled(factor: float) -> Callable[[list[float]], list[float]]:
    return lambda vector: [factor * value for value in vector]


def instead(value: float | None) -> Callable[[list[float]], list[float | None]]:
    return lambda vector: [value, *vector[1:]]


@dataclass(frozen=True)
class Case:
    """A planted fault. name, table, video_id: how it must be reported; also: what it cannot but entail."""

    name: str
    table: str
    video_id: str | None
    plant: Plant
    also: tuple[Found, ...] = ()


UNIT = [1.0, *[0.0] * 7]
LEFT_A = (("leftover-rows", "frames", A), ("leftover-rows", "flow", A))
CASES = [
    *(Case("missing-table", table, None, remove_table(table)) for table in TABLES),
    *(Case("unreadable-table", table, None, spoil_manifests(table)) for table in TABLES),
    *(Case("damaged-file", table, None, truncate(table)) for table in TABLES),
    Case("wrong-schema", "frames", None, drop("frames", "flow_speed")),
    Case("wrong-schema", "frames", None, drop("frames", "time_s")),
    Case("wrong-schema", "frames", None, drop("frames", "clip_norm")),
    Case("wrong-schema", "frames", None, retype("frames", "clip", pa.field("clip", pa.list_(pa.float32(), 8)))),
    Case("wrong-schema", "frames", None, retype("frames", "take", pa.field("take", pa.int64()))),
    Case("wrong-schema", "flow", None, retype("flow", "flow", pa.field("flow", pa.large_binary(), nullable=False))),
    Case("wrong-schema", "videos", None, drop("videos", "codec")),
    Case("wrong-schema", "videos", None, drop("videos", "status")),
    Case("wrong-schema", "labels", None, drop("labels", "end_s")),
    Case("wrong-schema", "features", None, drop("features", "precision")),
    Case("bad-settings", "videos", None, metadata(lambda old: {FORMAT_KEY: b"1"})),
    Case("bad-settings", "videos", None, metadata(lambda old: {SETTINGS_KEY: b"{}"})),
    Case("bad-settings", "videos", None, metadata(lambda old: old | {SETTINGS_KEY: b'{"colour": 1}'})),
    Case("bad-settings", "videos", None, metadata(lambda old: old | {SETTINGS_KEY: b"[]"})),
    Case("feature-fingerprint", "features", None, put("features", {"name": "clip"}, fingerprint="0" * 16)),
    Case("feature-fingerprint", "features", None, put("features", {"name": "clip"}, precision="bf16")),
    Case("duplicate-feature", "features", None, again("features", {"name": "clip"})),
    Case("missing-feature", "features", None, delete("features", "name = 'moclip'")),
    Case("missing-feature", "frames", None, drop("frames", "moclip", "moclip_norm")),
    Case("duplicate-video", "videos", A, again("videos", {"video_id": A})),
    Case("unknown-status", "videos", A, video(A, status="okay")),
    Case("video-without-take", "videos", A, video(A, take=None), also=LEFT_A),
    Case(
        "shared-take",
        "videos",
        "b/c.mp4",
        edit("videos", lambda rows: rows[1].update(take=rows[0]["take"])),
        also=(("leftover-rows", "frames", "b/c.mp4"), ("leftover-rows", "flow", "b/c.mp4")),
    ),
    Case("wrong-fingerprint", "videos", A, video(A, fingerprint="0" * 16)),
    Case("wrong-fingerprint", "videos", A, video(A, fingerprint=None)),
    Case("failed-without-reason", "videos", "broken.mp4", video("broken.mp4", error_kind=None)),
    Case("duplicate-of-unknown", "videos", "copy.mp4", video("copy.mp4", duplicate_of="nowhere.mp4")),
    Case("duplicate-of-unknown", "videos", "copy.mp4", video("copy.mp4", duplicate_of="copy.mp4")),
    Case("duplicate-of-unknown", "videos", "copy.mp4", video("copy.mp4", duplicate_of=None)),
    *(Case("bad-metadata", "videos", A, video(A, metadata=text)) for text in ("", "{", "[]", "null", '{"age": 3}')),
    Case("label-of-unknown", "labels", "nowhere.mp4", label("nowhere.mp4", 0, 1)),
    Case("duplicate-label", "labels", A, again("labels", {"video_id": A, "start_s": 0.0})),
    Case("duplicate-label", "labels", A, again("labels", {"video_id": A, "start_s": -math.inf})),
    Case("bad-span", "labels", A, label(A, 0.2, 0.1)),
    Case("bad-span", "labels", A, label(A, -0.1, 0.1)),
    Case("bad-span", "labels", A, label(A, 0.1, math.nan)),
    Case("bad-span", "labels", A, label(A, math.nan, 0.1)),
    Case("bad-span", "labels", A, label(A, 0.1, 0.71)),  # the video ends at 0.2
    Case("bad-span", "labels", A, label(A, 0.1, math.inf)),
    Case("bad-span", "labels", A, label(A, -math.inf, 0.1)),
    Case("bad-span", "labels", "broken.mp4", label("broken.mp4", 2, 1)),
    Case("video-without-frames", "frames", "one.mp4", delete("frames", "video_id = 'one.mp4'")),
    Case("frame-count", "frames", A, delete("frames", f"video_id = '{A}' and frame_index = 4")),
    Case("frame-count", "frames", "one.mp4", video("one.mp4", frames=None)),
    Case("frame-count", "frames", A, video(A, frames=6), also=(("flow-count", "flow", A),)),
    Case("frame-gap", "frames", A, frame(4, frame_index=7)),
    Case("frame-gap", "frames", A, frame(0, frame_index=-1), also=(("missing-vector", "frames", A),)),
    Case(
        "frame-gap",
        "frames",
        A,
        delete("frames", f"video_id = '{A}' and frame_index = 2"),
        also=(("frame-count", "frames", A),),
    ),
    Case("frame-gap", "flow", A, flow(4, frame_index=9)),
    Case("frame-gap", "flow", A, flow(1, frame_index=0)),
    Case("duplicate-frame", "frames", A, frame(4, frame_index=3)),
    Case("duplicate-frame", "flow", A, flow(4, frame_index=3)),
    Case("other-video", "frames", A, frame(2, video_id="b/c.mp4")),
    Case("other-video", "flow", A, flow(2, video_id="nowhere.mp4")),
    Case("source-order", "frames", A, frame(3, source_frame=2)),
    Case("source-order", "frames", A, frame(1, source_frame=-1)),
    Case("time-order", "frames", A, frame(3, time_s=0.08)),
    Case("time-order", "frames", A, frame(4, time_s=math.nan)),
    Case("time-order", "frames", A, frame(0, time_s=0.01)),
    Case("time-order", "frames", "one.mp4", put("frames", {"video_id": "one.mp4"}, time_s=math.nan)),
    Case("missing-vector", "frames", A, frame(0, clip=None, clip_norm=None)),
    Case("missing-vector", "frames", A, frame(1, moclip=None, moclip_norm=None)),
    Case("motion-at-start", "frames", A, frame(0, moclip=UNIT, moclip_norm=1.0)),
    Case("not-finite", "frames", A, frame(2, clip=instead(math.nan))),
    Case("not-finite", "frames", A, frame(2, moclip=instead(-math.inf))),
    Case("not-finite", "frames", A, frame(2, clip=instead(None))),
    Case("not-unit", "frames", A, frame(2, clip=scaled(1.02))),
    Case("not-unit", "frames", A, frame(2, moclip=scaled(0.98))),
    Case("not-unit", "frames", A, frame(2, clip=scaled(0))),
    *(Case("bad-norm", "frames", A, frame(2, clip_norm=norm)) for norm in (None, math.nan, math.inf, 0.0, -1.0)),
    Case("flow-count", "flow", A, delete("flow", f"video_id = '{A}' and frame_index = 4")),
    Case("flow-count", "flow", A, delete("flow", f"video_id = '{A}'")),
    Case("flow-unreadable", "flow", A, flow(2, flow=b"")),
    Case("damaged-index", "frames", None, spoil_index),
    Case("flow-unreadable", "flow", A, flow(2, flow=lambda data: data[: len(data) // 2])),
    Case("flow-unreadable", "flow", A, flow(2, flow=huge)),
    Case("unfinished-feature", "features", None, leave_feature),
    Case("leftover-column", "frames", None, lose_feature),
    Case("without-feature", "frames", "one.mp4", finish_without("one.mp4")),
    Case(
        "leftover-rows", "frames", "late.mp4", leave_rows, also=(("leftover-rows", "flow", "late.mp4"),)
    ),  # no videos row
]


def keys(faults: list[Fault]) -> list[Found]:
    return [(fault.name, fault.table, fault.video_id) for fault in faults]


def test_whole_store_has_no_faults(whole: Path) -> None:
    assert verify(whole) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.table}")
def test_planted_fault_is_named_and_nothing_else(case: Case, store: Path) -> None:
    case.plant(store)
    faults = verify(store)
    assert sorted(keys(faults), key=str) == sorted([(case.name, case.table, case.video_id), *case.also], key=str)
    for fault in faults:
        assert fault.count == 1
        assert fault.detail
        assert fault.remedy
        assert fault.harmless == (fault.name in FOR_READERS_NOTHING)


def test_every_name_is_planted() -> None:
    elsewhere = {"bad-segment", "missing-model"}  # in test_segment_faults.py and test_model_faults.py
    elsewhere |= {"being-written"}  # below
    assert {case.name for case in CASES} | elsewhere == set(FAULTS)


def test_order_of_rows_on_disk_means_nothing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_ROWS", {"frames": 2, "flow": 2})
    for table in ("frames", "flow"):
        rewrite(store, table, lambda rows: rows.take([7 * i % rows.num_rows for i in range(rows.num_rows)]))
    order = lance.dataset(uri(store, "frames")).to_table()["frame_index"].to_pylist()
    assert sorted(order) != order
    assert verify(store) == []
    frame(3, clip=scaled(2), time_s=0.0)(store)
    flow(2, flow=b"x")(store)
    details = {fault.name: fault.detail for fault in verify(store)}
    assert details == {
        "not-unit": "clip at frame 3",
        "time-order": "0.0 at frame 3",
        "flow-unreadable": "flow at frame 2",
    }


def test_many_faults_of_a_video_are_one_with_their_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_ROWS", {"frames": 4, "flow": 4})
    make_store(tmp_path / "store", {A: 30})
    put("frames", {"video_id": A}, moclip=None)(tmp_path / "store")
    [fault] = verify(tmp_path / "store")
    assert (fault.name, fault.count) == ("missing-vector", 29)
    assert fault.detail == "; ".join(f"moclip at frame {i}" for i in range(1, 6)) + "; and 24 more"


def test_faults_of_very_many_videos_are_capped_and_counted(store: Path) -> None:
    names = [f"{i}.mp4" for i in range(150)]
    row = {"label": "x", "source": "x.csv", "start_s": -math.inf, "end_s": math.inf}
    edit("labels", lambda rows: rows + [row | {"video_id": name} for name in names])(store)
    frame(2, clip=None)(store)  # is not crowded out
    faults = verify(store)
    unknown = [fault for fault in faults if fault.name == "label-of-unknown"]
    assert len(unknown) == MOST_OF_A_NAME + 1
    assert unknown[-1].video_id is None
    assert sum(fault.count for fault in unknown) == 150
    assert keys(faults)[-1] == ("missing-vector", "frames", A)


@pytest.mark.parametrize("table", TABLES)
def test_damage_that_only_reading_meets(table: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Table, "validate", lambda self: None)
    truncate(table)(store)
    assert keys(verify(store)) == [("damaged-file", table, None)]


def test_damaged_tables_do_not_hide_other_faults(store: Path) -> None:
    for plant in (remove_table("features"), spoil_manifests("labels"), truncate("flow"), frame(1, clip=scaled(2))):
        plant(store)
    assert keys(verify(store)) == [
        ("missing-table", "features", None),
        ("unreadable-table", "labels", None),
        ("damaged-file", "flow", None),
        ("not-unit", "frames", A),
    ]


def test_without_videos_every_take_is_checked(store: Path) -> None:
    for plant in (remove_table("videos"), frame(1, moclip=None), flow(2, flow=b"x"), label("nowhere.mp4", 2, 1)):
        plant(store)
    frame(4, video_id="b/c.mp4")(store)
    assert keys(verify(store)) == [
        ("missing-table", "videos", None),
        ("bad-span", "labels", "nowhere.mp4"),
        ("other-video", "frames", A),
        ("missing-vector", "frames", A),
        ("flow-unreadable", "flow", A),
    ]


def test_removed_videos_are_not_looked_into(store: Path) -> None:
    put("frames", {"video_id": "gone.mp4"}, clip=None, frame_index=5, time_s=math.nan)(store)
    put("flow", {"video_id": "gone.mp4"}, flow=b"")(store)
    assert verify(store) == []


def test_removal_and_optimize_leave_a_whole_store(store: Path) -> None:
    writer = StoreWriter(FeatureStore.open(store))
    writer.put(replace(writer.videos[A], status="removed"))
    writer.flush()
    assert verify(store) == []
    writer.optimize(timedelta(0))
    assert lance.dataset(uri(store, "frames")).count_rows(f"video_id = '{A}'") == 0
    assert verify(store) == []


def test_the_video_that_a_writer_is_at_is_no_leftover(store: Path) -> None:
    before = StoreWriter(FeatureStore.open(store))
    before.add(before.new_take(), embedded("old.mp4", 0, 2))
    before.flush()
    time.sleep(1.1)  # the lock's note has whole seconds
    with writer_lock(store) as lock:
        writer = StoreWriter(FeatureStore.open(store), lock.check)
        writer.add(writer.new_take(), embedded("new.mp4", 0, 2))
        writer.flush()
        faults = verify(store)
        assert {(fault.name, fault.video_id) for fault in faults} == {
            ("being-written", "new.mp4"),
            ("leftover-rows", "old.mp4"),
        }
        assert all(fault.harmless for fault in faults)
    assert {fault.name for fault in verify(store)} == {"leftover-rows"}


def test_leftovers_of_a_replacement_are_harmless_and_dropped(store: Path) -> None:
    writer = StoreWriter(FeatureStore.open(store))
    take = writer.new_take()
    writer.add(take, embedded(A, 0, 2))
    writer.put(replace(writer.videos[A], take=take, frames=2))
    writer.flush()
    faults = verify(store)
    assert keys(faults) == [("leftover-rows", "frames", A), ("leftover-rows", "flow", A)]
    assert all(fault.harmless for fault in faults)
    assert StoreWriter(FeatureStore.open(store)).drop_orphan_rows() == 1
    assert verify(store) == []


def test_moved_video_leaves_a_whole_store(store: Path) -> None:
    writer = StoreWriter(FeatureStore.open(store))
    old = writer.videos["b/c.mp4"]
    writer.move(old, replace(old, video_id="new.mp4"))
    writer.flush()
    assert verify(store) == []
    assert writer.drop_orphan_rows() > 0
    assert verify(store) == []


def test_store_without_flow(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make_store(path, {A: 3, "b.mp4": 1}, keep_flow=False)
    assert verify(path) == []
    take = FeatureStore.open(path).live_takes()[0]
    row = {"video_id": A, "take": take, "frame_index": 1, "flow": flow_bytes(0)}
    edit("flow", lambda rows: [row])(path)
    assert keys(verify(path)) == [("flow-count", "flow", A)]


def test_empty_store_is_whole(tmp_path: Path) -> None:
    assert verify(make_store(tmp_path / "store", {}).place) == []


def test_verify_changes_nothing(store: Path) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in store.rglob("*")}

    frame(2, clip=None)(store)
    before = state()
    assert len(verify(store)) == 1
    assert state() == before


def test_progress_is_told_of_every_row(store: Path) -> None:
    class Counting(Progress):
        def __init__(self) -> None:
            self.expected: dict[str, int] = {}
            self.read: dict[str, int] = {}
            self.name = ""

        def stage(self, name: str, total: int | None = None) -> None:
            if total is not None:  # else no table is read yet
                self.name = name
                self.expected[name], self.read[name] = total, 0

        def advance(self, n: int = 1, note: str | None = None) -> None:
            self.read[self.name] += n

    counting = Counting()
    verify(store, counting)
    assert counting.read == counting.expected
    assert counting.read == {table: lance.dataset(uri(store, table)).count_rows() for table in TABLES}


def test_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match="no store"):
        verify(tmp_path / "nowhere")


def test_newer_store_is_refused(store: Path) -> None:
    metadata(lambda old: old | {FORMAT_KEY: b"99"})(store)
    with pytest.raises(StoreNewerError, match="format 99"):
        verify(store)
